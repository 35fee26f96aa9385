"""``filial show``: look at records and drops in a terminal."""
