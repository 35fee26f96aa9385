"""What flows and what plugins are: records, messages, the kinds and their contexts, errors. Public as `filial`."""
