"""A secret in a recipe is refused, and no message repeats it."""

from __future__ import annotations

from pathlib import Path

import pytest
import recipe_kit
from recipe_kit import GOOD, faults

from filial.plugins import Manager

manager, base = recipe_kit.manager, recipe_kit.base

SECRETS = [
    "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789", "hf_abcdefghijklmnopqrstuvwxyzABCDEF", "AKIAABCDEFGHIJKLMNOP",
    "ghp_abcdefghijklmnopqrstuvwxyzABCDEF0123", "Bearer abcdefghijklmnopqrstuvwxyz",
    "https://user:password@example.org/v1", "https://example.org/v1?api_key=abcdef",
]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "place", ["base_url: S", "api_key: S", "temperature: S", "max_retries: S", "api_key_env: S", "headers: [{a: S}]"]
)
def test_a_secret_is_refused_wherever_it_stands_and_never_repeated(
    place: str, secret: str, manager: Manager, base: Path
) -> None:
    text = "data: seeds.jsonl\nteacher: {use: remote, model: m, " + place.replace("S", f"'{secret}'") + "}\n"
    found = faults(text, manager, base)
    column = text.splitlines()[1].index(f"'{secret}'") + 1
    assert any(f.startswith(f"r.yaml:2:{column}: this ") and "environment variable" in f for f in found)
    assert not any(secret in f for f in found)


def test_a_key_under_a_telling_name_is_a_secret_though_its_form_is_unknown(manager: Manager, base: Path) -> None:
    text = "data: seeds.jsonl\nteacher: {use: remote, model: m, api_key: 0123456789abcdef0123456789abcdef}\n"
    (fault,) = faults(text, manager, base)
    assert "API key" in fault
    assert faults(text.replace("api_key:", "api_key_env:").replace("0123456789abcdef", "NAME_"), manager, base) == []


def test_a_secret_on_the_command_line_is_not_repeated(manager: Manager, base: Path) -> None:
    for text in (f"teacher.api_key={SECRETS[0]}", SECRETS[0], f"{SECRETS[0]}=1"):
        found = faults(GOOD, manager, base, text)
        assert found
        assert not any(SECRETS[0] in f for f in found)
