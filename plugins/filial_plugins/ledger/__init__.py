"""Looking after the ledger: statistics, damage, pruning, and answers that travel."""
