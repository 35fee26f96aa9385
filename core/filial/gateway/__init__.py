"""How a teacher is asked: window, rate limits, retries, budget, ledger, and which key may go to which host."""

from typing import TYPE_CHECKING

from filial.contracts.lazy import lazy

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

if TYPE_CHECKING:
    from filial.gateway.budget import Budget, BudgetAccount, Usage
    from filial.gateway.replies import fault_of_end
    from filial.gateway.gateway import Gateway, stopping
    from filial.gateway.keys import allow_key, config_folder, forget_key, key_bindings, secret
    from filial.gateway.ledger import Entry, Ledger, TeacherKeys, encode_request, sealed, served
else:  # 'filial keys' must import neither sqlite3 nor msgspec
    __getattr__ = lazy(globals(), "filial.gateway", "keys", "budget", "replies", "ledger", "gateway")
