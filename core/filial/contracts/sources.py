"""Where records are read from, and how."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import ValidationInfo, field_validator, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from filial.contracts.errors import FilialError
from filial.contracts.fields import Field, Keys
from filial.contracts.kinds import InputFile

Word = Annotated[str, Field(min_length=1)]


class SourceSpec(Keys):
    """Where records are read from, and how. In a recipe the path alone, or a mapping of these keys."""

    owner: ClassVar[str] = "the source"
    file: InputFile = Field(description="The records: a file, pkg:PACKAGE/FILE, hf:NAME or a folder.")
    format: Word | dict[str, Any] = Field(
        "auto", description="The format, or {use: NAME, option: …}. auto: detected by suffix and content."
    )
    columns: dict[Word, Word] = Field(
        {}, description="Fields and their columns, FIELD: COLUMN. A dot in COLUMN reads a key of an object."
    )
    keep: list[Word] | None = Field(None, description="Other columns to keep in extra. Default: all.")
    ignore: list[Word] = Field([], description="Columns to ignore.")
    split: Word | None = Field(None, description="Split of a data set. Default: train.")
    revision: Word | None = Field(None, description="Revision of a data set on the hub.")
    encoding: Word | None = Field(
        None, description="Encoding of a text file. Default: UTF-8, or the one that its byte order mark names."
    )
    strict: bool = Field(False, description="End with an error at a line that is not a record. Default: drop the line.")

    @field_validator("format")
    @classmethod
    def _check_format(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what names no format, if the validation context can build one (``build_format``)."""
        if isinstance(value, dict) and not isinstance(value.get("use"), str):
            raise PydanticCustomError("no_format", "write the name of a format, or {use: NAME, option: …}")
        if info.context and "build_format" in info.context and value not in ("auto", "filial"):
            try:
                info.context["build_format"](value)
            except FilialError as err:
                raise PydanticCustomError("no_format", "{why}", {"why": str(err)}) from err
        return value

    @model_validator(mode="before")
    @classmethod
    def _read_path(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"file": data}
        if not isinstance(data, dict | SourceSpec):
            raise PydanticCustomError("no_source", "write a path, or {file: PATH, columns: …}")
        return data

    @model_serializer(mode="wrap")
    def _write_short(self, handler: Any) -> Any:
        fields = type(self).model_fields
        said = {key: value for key, value in handler(self).items() if getattr(self, key) != fields[key].default}
        return self.file if len(said) == 1 else said

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        whole = super().__get_pydantic_json_schema__(core_schema, handler)
        return {"anyOf": [{key: whole["properties"]["file"][key] for key in ("type", "minLength", "format")}, whole]}

    def __str__(self) -> str:
        return self.file

    def options(self) -> dict[str, Any]:
        """How it is read, as the arguments of `filial.formats.read`."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "file"}
