"""Prices of models: the user's own, or the shipped table, which says its date."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from filial import Price, UsageError
from filial.gateway import config_folder

TABLE = Path(__file__).with_name("prices.json")
WRITE_RATIO = 1.25
"""What OpenAI and Anthropic charge for a token written to the cache, in prompt tokens."""
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class Charges(BaseModel):
    """US dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: float = Field(ge=0, description="Price of prompt tokens.")
    completion: float = Field(ge=0, description="Price of answer tokens, with reasoning.")
    cached: float | None = Field(None, ge=0, description="Price of prompt tokens from the endpoint's cache.")
    cache_write: float | None = Field(
        None,
        ge=0,
        description="Price of prompt tokens that the endpoint writes to its cache; default: 1.25 times prompt.",
    )

    @property
    def write_ratio(self) -> float:
        """How many prompt tokens one token counts for that is written to the cache."""
        return max(1.0, WRITE_RATIO if self.cache_write is None or not self.prompt else self.cache_write / self.prompt)

    def to_price(self, source: str) -> Price:
        return Price(prompt=self.prompt, completion=self.completion, cached=self.cached, source=source)


def find_price(model: str, host: str) -> Price | None:
    """Return the price of a model at a host; None if it is unknown.

    A snapshot of a model (``gpt-4o-2024-08-06``) costs the same as the model, unless it has a price of its own.

    Raises:
        UsageError: the user's price file is damaged.
    """
    own = config_folder() / "prices.json"
    tables = [(_read_user_table(own), "your prices.json")] if own.exists() else []
    shipped = json.loads(TABLE.read_bytes())
    tables.append(({shipped["host"]: shipped["models"]}, f"table of {shipped['date']}"))
    for table, source in tables:
        models = table.get(host, {})
        found = models.get(model, models.get(_SNAPSHOT.sub("", model)))
        if found is not None:
            return Charges.model_validate(found).to_price(source)
    return None


def _read_user_table(path: Path) -> dict[str, dict[str, Any]]:
    try:
        table = json.loads(path.read_bytes())
        for models in table.values():
            for charges in models.values():
                Charges.model_validate(charges)
    except (OSError, ValueError, AttributeError, ValidationError) as err:
        example = '{"api.example.com": {"my-model": {"prompt": 0.5, "completion": 1.5}}}'
        raise UsageError(
            f"{path}: cannot be read as prices in US dollars per million tokens; it should look like {example}"
        ) from err
    return dict(table)
