"""Send requests to a teacher: window, rate limits, retries, budget, ledger, and which key may go to which host."""

from typing import TYPE_CHECKING

from filial.contracts.lazy import lazy

__all__ = ["Budget", "BudgetAccount", "Gateway", "Usage", "config_folder", "key_bindings", "raise_stop_error", "secret"]
__all__ += ["Entry", "Ledger", "TeacherKeys", "decode_reply", "encode_request", "make_entry"]
__all__ += ["fault_of_end", "write_failure"]

if TYPE_CHECKING:
    from filial.gateway.budget import Budget, BudgetAccount, Usage
    from filial.gateway.gateway import Gateway, raise_stop_error
    from filial.gateway.keys import config_folder, key_bindings, secret
    from filial.gateway.ledger import Entry, Ledger, TeacherKeys, decode_reply, encode_request, make_entry
    from filial.gateway.replies import fault_of_end, write_failure
else:  # 'filial keys' must import neither sqlite3 nor msgspec
    __getattr__ = lazy(globals(), "filial.gateway", "keys", "budget", "ledger", "replies", "gateway")
