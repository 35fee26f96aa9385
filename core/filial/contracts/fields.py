"""How an option of a component is declared: pydantic's ``Field`` with a type of its own.

pydantic's is a field specifier (PEP 681): for type checkers ``Field("cornish", …)`` has no default, because they read
the keyword ``default`` only. For them, this one is a function that returns the default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import EllipsisType
    from typing import TypedDict, TypeVar, Unpack, overload

    Option = TypeVar("Option")

    class Facts(TypedDict, total=False):
        """What can be declared about an option in addition to its default."""

        description: str
        title: str
        examples: list[Any]
        ge: float
        gt: float
        le: float
        lt: float
        multiple_of: float
        allow_inf_nan: bool
        min_length: int
        max_length: int
        pattern: str
        strict: bool
        discriminator: str
        exclude: bool
        repr: bool
        validate_default: bool
        json_schema_extra: dict[str, Any]

    @overload
    def Field(default: Option, **facts: Unpack[Facts]) -> Option: ...
    @overload
    def Field(*, default_factory: Callable[[], Option], **facts: Unpack[Facts]) -> Option: ...
    @overload
    def Field(default: EllipsisType = ..., **facts: Unpack[Facts]) -> Any: ...
    def Field(*default: Any, **facts: Any) -> Any:
        """Declare an option by its default, a description and bounds; without a default it is required."""
else:
    from pydantic import Field

__all__ = ["Field"]
