"""How an option of a component is declared: pydantic's ``Field`` with a type of its own; what keys of a recipe share.

pydantic's is a field specifier (PEP 681): for type checkers ``Field("cornish", …)`` has no default, because they read
the keyword ``default`` only. For them, this one is a function that returns the default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

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

__all__ = ["Field", "Keys"]


class Keys(BaseModel):
    """Keys of a recipe: frozen, no others, and one that is there has a value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_null(cls, value: Any, info: ValidationInfo) -> Any:
        """A key that is there has a value, so that a cap left empty is no missing cap."""
        field = cls.model_fields[str(info.field_name)]
        if value is None and field.default is None and field.annotation is not Any:
            raise PydanticCustomError("value_missing", "the value is missing; write one, or remove the key")
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        schema: dict[str, Any] = handler.resolve_ref_schema(handler(core_schema))
        for name, field in schema.get("properties", {}).items():
            members = [member for member in field.pop("anyOf", ()) if member != {"type": "null"}]
            union = {} if not members else members[0] if len(members) == 1 else {"anyOf": members}
            beside = {key: value for key, value in field.items() if (key, value) != ("default", None)}
            schema["properties"][name] = union | beside
        return schema
