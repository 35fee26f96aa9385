"""How a teacher is asked: window, rate limits, retries, budget, ledger, and which key may go to which host."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filial.gateway.budget import Budget, BudgetAccount, Usage
    from filial.gateway.endings import fault_of_end
    from filial.gateway.gateway import Gateway, stopping
    from filial.gateway.keys import allow_key, config_folder, forget_key, key_bindings, secret
    from filial.gateway.ledger import Entry, Ledger, TeacherKeys, encode_request, sealed, served

__all__ = [
    "Budget",
    "BudgetAccount",
    "Entry",
    "Gateway",
    "Ledger",
    "TeacherKeys",
    "Usage",
    "allow_key",
    "config_folder",
    "encode_request",
    "fault_of_end",
    "forget_key",
    "key_bindings",
    "sealed",
    "secret",
    "served",
    "stopping",
]

# 'filial keys' must import neither sqlite3 nor msgspec: names resolve on first use.
_HOME = {
    "filial.gateway.budget": ("Budget", "BudgetAccount", "Usage"),
    "filial.gateway.endings": ("fault_of_end",),
    "filial.gateway.gateway": ("Gateway", "stopping"),
    "filial.gateway.keys": ("allow_key", "config_folder", "forget_key", "key_bindings", "secret"),
    "filial.gateway.ledger": ("TeacherKeys", "Entry", "Ledger", "encode_request", "sealed", "served"),
}
_WHERE = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        from importlib import import_module

        value = globals()[name] = getattr(import_module(_WHERE[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
