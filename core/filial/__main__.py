"""``python -m filial`` is ``filial``."""

from filial.cli import main

main()
