"""Models of this machine: loading them, and their answers."""
