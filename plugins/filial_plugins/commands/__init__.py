"""Commands on the public modules alone, as anybody's package may bring them: one a module, and what they share."""
