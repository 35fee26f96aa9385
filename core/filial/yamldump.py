"""Plain data as YAML that `filial.yamlmarks` (and any YAML 1.2 reader) reads back to the same data."""

from __future__ import annotations

import re
from typing import Any

import yaml

from filial.yamlmarks import OLD_BREAKS


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper without aliases, and with quotes round text that only YAML 1.2 takes for a number."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Escape what YAML 1.1 takes for a line break and YAML 1.2 does not."""
        style = '"' if any(char in data for char in OLD_BREAKS) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(str, _Dumper.represent_str)
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"0o[0-7]+$"), ["0"])


def dump(data: dict[str, Any]) -> str:
    """Mappings keep their order; text is not escaped beyond what YAML demands."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text
