"""What the mix stage is made of: mixtures of mixtures, numbers of records, and which records are drawn."""
