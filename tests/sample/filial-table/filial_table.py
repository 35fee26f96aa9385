"""Tables in text: a line of column names, then a row on each line."""

import csv
import io

from filial import Field, Format, hookimpl
from filial.formats import Fault


class Table(Format):
    """Comma-separated values; the format of the rows is found by the names of the columns."""

    holds = ("input",)
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="What stands between two values.")

    def read(self, stream):
        lines = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline=""), delimiter=self.delimiter)
        names = next(lines, [])
        for line in lines:
            if len(line) == len(names):
                yield dict(zip(names, line, strict=True))
            else:
                yield Fault("", f"has {len(line)} values, and there are {len(names)} columns")

    def write(self, records, stream):
        text = io.TextIOWrapper(stream, "utf-8", newline="", write_through=True)
        lines = csv.writer(text, delimiter=self.delimiter, lineterminator="\n")
        lines.writerow(["instruction", "input", "output"])
        for record in records:
            lines.writerow([record.instruction, record.input, record.output])
        text.detach()


@hookimpl
def register_formats(register):
    register("table", Table)
