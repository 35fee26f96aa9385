"""Broken: imports what is not installed."""

import does_not_exist
