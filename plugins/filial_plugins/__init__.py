"""filial's built-ins. They import only the public ``filial`` API and register through entry points, as anyone's do."""
