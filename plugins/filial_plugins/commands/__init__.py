"""Commands, made of public modules only, like those of any package: one per module, and what they share."""
