"""Options are declared once: schema, flags and messages agree with what the component itself accepts."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from filial import Component, UsageError
from filial.contracts.errors import PluginError
from filial.contracts.kinds import InputFile
from filial.plugins.options import click_options, find_files, from_flags, json_schema, locate_files, summary, validate
from filial.plugins.yaml import dump


class Weight(BaseModel):
    title: str = "none"
    share: float = Field(1.0, ge=0)


class Options(Component):
    """Every type an option may have.

    More about it.
    """

    requires: ClassVar = ("json",)
    word: str = Field("plain", description="A word.")
    count: Annotated[int, Field(ge=1, le=9, description="How many.")] = 3
    half_open: float = Field(0.5, gt=0, lt=1)
    free: int = 0
    level: Literal["low", "high"] = Field("low", description="How strict.")
    size: Literal[1, 2] = 1
    only: Literal["one"] = "one"
    strict: bool = Field(False, description="Be strict.")
    maybe: int | None = Field(None, ge=1)
    maybe_switch: bool | None = None
    words: list[str] = ["a", "b"]
    numbers: tuple[int, ...] = ()
    levels: list[Literal["low", "high"]] = []
    rates: dict[str, float] = Field({}, description="Rate per task.")
    weight: Weight = Weight()
    weights: list[Weight] = []
    pair: tuple[int, int] = (1, 2)
    either: int | str = 3
    file: Path = Path("seeds.jsonl")


class Needy(Component):
    """Has an option that must be given."""

    model: str = Field(description="Which model.")


def call(cls: type[Component], args: list[str]) -> Any:
    """The component that a command line gives, through click's own parser."""
    out: list[Any] = []
    command = click.Command(
        "x", params=list(click_options(cls)), callback=lambda **v: out.append(from_flags(cls, v, "x"))
    )
    command.main(args, standalone_mode=False)
    return out[0]


def help_of(cls: type[Component]) -> str:
    command = click.Command("x", params=list(click_options(cls)))
    return " ".join(CliRunner().invoke(command, ["--help"], terminal_width=200).output.split())


def test_schema_is_self_contained_and_says_what_matters():
    schema = json_schema(Options)
    Draft202012Validator.check_schema(schema)
    text = str(schema)
    assert "$ref" not in text
    assert "$defs" not in text
    assert schema["additionalProperties"] is False
    assert schema["description"] == "Every type an option may have."
    assert schema["properties"]["count"] == {
        "type": "integer", "minimum": 1, "maximum": 9, "default": 3, "description": "How many.",
    }  # fmt: skip
    assert set(schema["properties"]) == set(Options.model_fields)
    assert "title" not in schema["properties"]["word"]
    weight = schema["properties"]["weight"]["properties"]
    assert weight["title"] == {"type": "string", "default": "none"}, "an option may be called title"
    assert json_schema(Needy)["required"] == ["model"]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 12)
    | st.sampled_from(["low", "high", "x", "one", "a/b"])
    | st.floats(0, 2),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["title", "share", "z"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from([*Options.model_fields, "unknown"]), json_values, max_size=3))
def test_schema_accepts_what_pydantics_own_schema_accepts(instance):
    ours, theirs = Draft202012Validator(json_schema(Options)), Draft202012Validator(Options.model_json_schema())
    assert ours.is_valid(instance) == theirs.is_valid(instance)
    if ours.is_valid(instance):
        Options.model_validate(instance)


words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8).filter(lambda s: s.strip())
values = st.fixed_dictionaries(
    {},
    optional={
        "word": words, "count": st.integers(1, 9), "half_open": st.floats(0.001, 0.999), "free": st.integers(),
        "level": st.sampled_from(["low", "high"]), "size": st.sampled_from([1, 2]), "only": st.just("one"),
        "strict": st.booleans(), "maybe": st.integers(1), "maybe_switch": st.booleans(),
        "words": st.lists(words, min_size=1, max_size=3), "numbers": st.lists(st.integers(), min_size=1, max_size=3),
        "levels": st.lists(st.sampled_from(["low", "high"]), min_size=1, max_size=2),
        "rates": st.dictionaries(words, st.floats(0, 9), max_size=2),
        "weight": st.fixed_dictionaries({"title": words, "share": st.floats(0, 2)}),
        "weights": st.lists(st.fixed_dictionaries({"title": words}), max_size=2),
        "pair": st.tuples(st.integers(), st.integers()).map(list), "either": st.integers(0, 9),
        "file": st.sampled_from(["a.jsonl", "b c.jsonl"]),
    },
)  # fmt: skip


def as_flags(given_values: dict[str, Any]) -> list[str]:
    """How a user would type these values."""
    args = []
    for name, value in given_values.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            args.append(flag if value else f"--no-{flag[2:]}")
        elif name in ("words", "numbers", "levels"):
            args += [f"{flag}={item}" for item in value]
        elif isinstance(value, dict | list):
            args.append(f"{flag}={dump(value)}")
        else:
            args.append(f"{flag}={value}")
    return args


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(values)
def test_flags_give_what_python_gives(given_values):
    assert call(Options, as_flags(given_values)) == Options.model_validate(given_values)


def test_what_is_not_given_is_not_set():
    assert call(Options, []).model_fields_set == set()
    assert call(Options, ["--count", "3"]).model_fields_set == {"count"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--rates", "{a: ["], "is not a YAML or JSON value"),
        (["--maybe", "null"], "this is not a value; leave the flag out"),
        (["--half_open", "0.3"], "No such option"),
    ],
)
def test_wrong_flags_are_click_errors(args, message):
    with pytest.raises(click.UsageError, match=message.replace("(", r"\(")):
        call(Options, args)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--count", "0"], "x: --count: 0 should be greater than or equal to 1"),
        (["--half-open", "1"], "x: --half-open: 1 should be less than 1"),
        (["--maybe", "0"], "x: --maybe: 0 should be greater than or equal to 1"),
        (["--level", "hihg"], "x: --level: 'hihg' should be 'low' or 'high'; did you mean 'high'?"),
        (["--size", "3"], "x: --size: 3 should be 1 or 2"),
        (["--levels", "odd"], "x: --levels[0]: 'odd' should be 'low' or 'high'"),
        (["--numbers", "1", "--numbers", "x"], "x: --numbers[1]: 'x' should be a valid integer"),
        (["--rates", "{a: many}"], "x: --rates.a: 'many' should be a valid number"),
        (
            ["--weights", "[{share: -1}]"],
            "x: --weights[0].share: -1 should be greater than or equal to 0",
        ),
        (["--rates", "[1]"], "x: --rates: this should be a mapping ('key: value'), not a list"),
    ],
)
def test_a_wrong_value_names_the_flag(args, message):
    with pytest.raises(UsageError) as err:
        call(Options, args)
    assert message in str(err.value)
    assert "pydantic" not in str(err.value)


def test_a_value_on_the_command_line_is_yaml_as_in_a_recipe():
    """YAML 1.2: ``no`` is a word, not false, and a date is text."""
    assert call(Options, ["--either", "no"]).either == "no"
    assert call(Options, ["--either", "2024-01-01"]).either == "2024-01-01"
    assert call(Options, ["--rates", "{no: 1e3}"]).rates == {"no": 1000.0}


def test_all_faults_in_one_sentence():
    with pytest.raises(UsageError) as err:
        from_flags(Needy, {}, "teacher 'needy'")
    assert str(err.value) == "teacher 'needy' needs --model (Which model)"
    with pytest.raises(UsageError) as err:
        from_flags(Options, {"count": 77, "free": "x"}, "x")
    assert (
        str(err.value)
        == "x: --count: 77 should be less than or equal to 9; and x: --free: 'x' should be a valid integer"
    )


def test_validators_of_the_component_speak_for_themselves():
    from pydantic import model_validator

    class Ordered(Component):
        """Low below high."""

        low: int = 1
        high: int = 2

        @model_validator(mode="after")
        def ordered(self) -> Ordered:
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    with pytest.raises(UsageError, match=r"^x: low is above high$"):
        from_flags(Ordered, {"low": 9}, "x")


class Limits(BaseModel):
    model_config = ConfigDict(extra="forbid")
    most: int = Field(1, ge=1, description="How many at most.")
    kind: str = Field(description="Of which kind.")


class Deep(Component):
    """Has models inside options, and unions."""

    limits: Limits | None = None
    each: dict[str, Limits] = {}
    either: list[int] | Literal["all"] | float = "all"
    name: str = ""
    day: date | None = None

    @field_validator("name")
    @classmethod
    def _checked(cls, name: str) -> str:
        if name == "x":
            raise ValueError("x is no name")
        return name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limits": {"mots": 1, "kind": "a"}}, "d has no 'mots'; did you mean 'most'?"),
        ({"limits": {}}, "d needs 'kind' (Of which kind)"),
        ({"each": {"a": {"most": 0, "kind": "b"}}}, "d: 'each.a.most': 0 should be greater than or equal to 1"),
        ({"either": True}, "d: 'either': true should be a list ([ ]) or 'all' or a valid number"),
        ({"either": [1, "x"]}, "d: 'either[1]': 'x' should be a valid integer"),
        ({"name": "x"}, "d: 'name': x is no name"),
        ({"limits": 3}, "d: 'limits': 3 should be a mapping ('key: value')"),
    ],
)
def test_faults_inside_options_are_told_at_their_place(options, message):
    with pytest.raises(UsageError) as err:
        validate(Deep, options, owner="d")
    assert str(err.value) == message


def test_other_types_are_named_as_pydantic_names_them():
    with pytest.raises(UsageError, match=r"^d: 'day': 'soon' should be a valid date"):
        validate(Deep, {"day": "soon"}, owner="d")


def test_a_value_that_may_be_a_secret_is_not_shown():
    class Secretive(Component):
        """Takes a key by mistake."""

        model_config = ConfigDict(hide_input_in_errors=True)
        size: int = 1

    with pytest.raises(UsageError) as err:
        validate(Secretive, {"size": "correct horse battery staple"}, owner="s")
    assert str(err.value) == "s: 'size': a hidden text should be a valid integer"


def test_files_of_a_mapping_are_found_where_the_recipe_is(tmp_path):
    class Named(Component):
        """Names files by task."""

        files: dict[str, InputFile] = {"a": "seeds.jsonl"}

    assert list(find_files(Named, {"files": {"b": "x.jsonl"}})) == [(("files", "b"), "x.jsonl")]
    assert locate_files(Named(), tmp_path).files == {"a": str(tmp_path / "seeds.jsonl")}


def test_help_shows_description_choices_bounds_and_default():
    text = help_of(Options)
    assert "--word TEXT A word. [default: plain]" in text
    assert "--count INTEGER How many. [default: 3; >= 1; <= 9]" in text
    assert "--level [low|high] How strict. [default: low]" in text
    assert "--strict / --no-strict Be strict. [default: off]" in text
    assert "--words TEXT [default: a, b] May be repeated." in text
    assert "--rates YAML Rate per task." in text
    assert "--model TEXT Which model. [required]" in help_of(Needy)


def test_required_option_is_required():
    with pytest.raises(click.MissingParameter):
        call(Needy, [])
    assert call(Needy, ["--model", "m"]).model == "m"


def test_summary_is_the_classes_own():
    assert summary(Options) == "Every type an option may have."

    class Bare(Options):
        pass

    assert summary(Bare) == ""


def test_types_without_a_schema_are_refused():
    class Call(Component):
        pattern: click.Path | None = None
        model_config = {"arbitrary_types_allowed": True}

    with pytest.raises(PluginError, match="Call has an option without a JSON Schema"):
        json_schema(Call)


class Tree(BaseModel):
    children: list[Tree] = []


def test_types_that_contain_themselves_are_refused():
    class Rooted(Component):
        tree: Tree = Tree()

    with pytest.raises(PluginError, match="the option type Tree contains itself"):
        json_schema(Rooted)


def test_components_are_frozen_and_closed():
    with pytest.raises(ValidationError):
        Options(unknown=1)
