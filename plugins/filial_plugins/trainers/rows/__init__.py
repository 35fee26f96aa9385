"""From records to rows of tokens that say which of them are trained, prepared once and kept on disk."""
