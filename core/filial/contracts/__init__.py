"""The data that flows and what plugins are: records, messages, kinds, contexts, errors. Public as `filial`."""
