"""Read records of any format, and write them; `RowFormat` is the base class for formats of your own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from filial.contracts.lazy import lazy
from filial.contracts.records import BESIDE, MEANING
from filial.formats.base import Bad, BadLine, Fault, Unfit
from filial.formats.catalogue import tells_format
from filial.formats.jsontext import Row, json_type, parse_object
from filial.formats.opening import compress, open_file
from filial.formats.reading import read, read_rows
from filial.formats.streams import lines
from filial.formats.writing import add_extra, check_fits, describe_losses, write

__all__ = [
    "BESIDE", "MEANING", "Bad", "BadLine", "Fault", "Row", "RowFormat", "SourceSpec", "Unfit", "add_extra",
    "check_fits", "compress", "describe_losses", "json_type", "lines", "open_file", "parse_object", "read", "read_rows",
    "tells_format", "write",
]  # fmt: skip

if TYPE_CHECKING:
    from filial.contracts.sources import SourceSpec
    from filial.formats.rows import RowFormat
else:  # they need pydantic, which reading filial's own lines does not
    __getattr__ = lazy(globals(), "filial", "formats.rows", "contracts.sources")
