"""The built-in hooks: plugins that wrap every question to a teacher."""
