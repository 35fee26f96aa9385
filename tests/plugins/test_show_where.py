"""The language of ``filial show --where``: what holds for which record, and what is said of what is no expression."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filial import Message, Origin, Record, UsageError
from filial.commands import DropRow
from filial_plugins.show.expression import Expression
from filial_plugins.show.rows import Row

EVOLVED = Record(
    id="e", instruction="Name three rivers of Asia, the longest first.", output="Sorry, I can't.", task="lists",
    scores={"agreement": 0.25, "two words": 1.0}, tags=("hard", "geo"),
    extra={"lang": "de", "n": "35", "deep": {"x": [1, 2]}, "customer message": "Ciao", "empty": ""},
    origin=Origin(stage="02-evolve", plugin="filial:deepen==0.2.0", parents=("p", "q"), round=2),
)  # fmt: skip
PLAIN = Record(id="p", instruction="không có bò", output="x " * 60)
CHAT = Record(
    id="c", label=False, extra={"lang": "vi", "n": 7},
    messages=(
        Message("user", "Hi"), Message("assistant", "Hello", train=False), Message("tool", "42"),
        Message("assistant", "It is 42."),
    ),
)  # fmt: skip
ROWS = [Row(1, EVOLVED), Row(2, PLAIN), Row(3, CHAT)]


def fits(text, rows=ROWS, dropped=False):
    return "".join(row.id for row in rows if Expression(text, dropped).test(row))


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        # texts
        ("task=lists", "e"), ("task==lists", "e"), ("task!=lists", "pc"), ("task = 'lists'", "e"), ("task=Lists", ""),
        ("task in (lists, poems)", "e"), ("task not in ('lists')", "pc"), ("task=''", "pc"), ("id>='e'", "ep"),
        ("instruction contains RIVERS", "e"), ("instruction not contains rivers", "pc"),
        ("instruction contains 'bo\u0300'", "p"), ("instruction contains bo", ""),
        ("output~^Sorry", "e"), ("output =~ '^Sorry, I can'", "e"), ("output!~^Sorry", "pc"),
        (r"instruction~'\bof (Asia|Africa)\b'", "e"), ("output~(?i)^SORRY", None), ("output~'(?i)^SORRY'", "e"),
        (r"output contains 'can\'t'", "e"), ('output contains "can\'t"', "e"),
        # numbers
        ("words>50", "p"), ("words>=11 and words<50", "e"), ("round=2", "e"), ("round!=2", "pc"), ("round=2.0", "e"),
        ("scores.agreement<0.5", "e"), ("scores.agreement>=.25e0", "e"), ('scores."two words"=1', "e"),
        ("number<3", "ep"), ("number>-1", "epc"),
        # measures of texts and lists
        ("instruction.words>5", "e"), ("output.length<20", "ec"), ("messages.length=4", "c"), ("tags.length=2", "e"),
        ("tags.words=1", "e"), ("extra.n.length=2", "e"),
        ("messages.content.words=3", "c"), ("extra.length=x", ""),
        # lists: one value is enough
        ("tags=geo", "e"), ("tags!=geo", "pc"), ("tags contains GE", "e"), ("parents=q", "e"),
        ("messages.role=tool", "c"), ("messages.content~42", "c"), ("messages.0.content=Hi", "c"), ("tags.1=geo", "e"),
        ("messages.train=false", "c"), ("extra.deep.x=2", "e"), ("extra.deep.x.0=1", "e"), ("extra.deep.x.9=1", ""),
        # columns of the data's own; a cell of a CSV file is a text
        ("extra.lang=de", "e"), ("extra.lang!=de", "pc"), ("extra.n>30", "e"), ("extra.n<30", "c"), ("extra.n=7", "c"),
        ('extra."customer message"=Ciao', "e"), ("extra.none<1", ""), ("not extra.none<1", "epc"),
        # something or nothing
        ("output", "ep"), ("not output", "c"), ("not answer", ""), ("extra.lang", "ec"), ("extra.empty", ""),
        ("extra.lang=null", "p"), ("extra.lang!=null", "ec"), ("scores.agreement=null", "pc"), ("label", ""),
        ("label=false", "c"), ("label=null", "ep"), ("tags", "e"), ("extra.deep", "e"),
        # what is made of a record
        ("strategy=deepen", "e"), ("plugin=filial:deepen==0.2.0", "e"), ("stage=02-evolve", "e"), ("text~42", "c"),
        ("question=Hi", "c"), ("answer contains 42", "c"), ("text contains sorry", "e"),
        # joined
        ("task=lists and words>5", "e"), ("task=lists AND round=1", ""), ("task=lists or label=false", "ec"),
        ("not task=lists", "pc"), ("not (task=lists or label=false)", "p"), ("not not task=lists", "e"),
        ("id=c or id=p and task=lists", "c"), ("(id=c or id=p) and words>50", "p"), ("(id=c)or(id=p)", "pc"),
        ("task='and'", ""), ("extra.and=1", ""),
    ],
)  # fmt: skip
def test_what_holds_for_which_record(text, ids):
    if ids is None:
        with pytest.raises(UsageError):
            fits(text)
    else:
        assert fits(text) == ids


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the expression is empty"),
        ("words>", "column 7: a value is missing behind '>'"),
        ("words>50 and", "column 13: a field is missing"),
        ("words>50 and and", "column 14: a field is missing"),
        ("words", "words needs a comparison, such as words>50; put the whole in quotes"),
        ("scores.agreement", "needs a comparison"),
        ("words>many", "column 7: words is a number, and 'many' is none"),
        ("words<null", "'null' is none"),
        ("words~5", "words is a number; compare it with"),
        ("instruction>5", "write instruction.words>5"),
        ("task=a b", "'b' was not expected; join comparisons with 'and' or 'or'"),
        ("task=a, round=1", "',' is not known here; write 'and'"),
        ("task=a && round=1", "'&' is not known here; write 'and'"),
        ("task=a | round=1", "write 'or'"),
        ("task in lists", "a list in parentheses must follow 'in'"),
        ("task in (a b)", "a ',' or ')' is missing"),
        ("(task=a", "a ')' is missing"),
        ("task='a", "a quotation mark is not closed"),
        ("output~'(a'", "is no regular expression: missing )"),
        ("output~(a", "one with blanks, commas or parentheses goes in quotes"),
        ("task=and", "put the word 'and' in quotes"),
        ("tsk=a", "there is no field 'tsk' (did you mean 'task'?)"),
        ("agreement<1", "a score scores.agreement"),
        ("messages.rol=a", "messages has no 'rol' (did you mean 'role'?)"),
        ("reason=a", "add --dropped"),
        ("__class__=a", "there is no field '__class__'"),
        ("instruction.__class__.words>1", None),
        ("().__class__", "a field is missing"),
        ("__import__('os')", "there is no field"),
        ("(" * 500 + "task=a" + ")" * 500, "nested too deeply"),
        ("not " * 500 + "task=a", "nested too deeply"),
    ],
)
def test_what_is_no_expression_is_said_with_its_place(text, said):
    if said is None:
        assert fits(text) == ""
        return
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        Expression(text)
    assert str(caught.value).startswith("--where")


@given(st.text("abd.ortinw =!<>~()'\",5&\\_", max_size=40) | st.text(max_size=40))
def test_any_text_is_an_expression_or_a_sentence(text):
    try:
        test = Expression(text).test
    except UsageError:
        return
    assert all(test(row) in (True, False) for row in ROWS)


@given(st.text(min_size=1).filter(lambda text: "\\" not in text))
def test_any_text_can_be_named_in_quotes(text):
    row = Row(1, Record(instruction="x", task=text))
    named = "'" + text.replace("'", "\\'") + "'"
    assert Expression(f"task={named}").test(row)
    assert Expression(f"not task!={named}").test(row)
    assert Expression(f"task in ({named}, other)").test(row)


def test_drops_have_fields_of_their_own_and_those_of_their_record():
    drop = DropRow(
        stage="03-filter", plugin="filial:novelty==0.2.0", reason="too-similar", detail="ROUGE-L 0.8", record=EVOLVED,
        parent="p", answer="raw text",
    )  # fmt: skip
    bare = DropRow(stage="02-evolve", plugin="x:y==1", reason="refused")
    rows = [Row(1, EVOLVED, drop), Row(2, None, bare)]
    for text in ("reason=too-similar", "stage=03-filter", "plugin~novelty", "strategy=deepen", "task=lists", "raw~text",
                 "parent=p", "detail contains rouge", "words>5"):  # fmt: skip
        assert [row.number for row in rows if Expression(text, True).test(row)] == [1], text
    assert [row.number for row in rows if Expression("reason=refused and not output", True).test(row)] == [2]


@pytest.mark.parametrize(("text", "behind"), [("task in (", "in ("), ("task in (a,", ","), ("task =", "=")])
def test_a_missing_value_is_told_by_the_sign_that_stands_there(text, behind):
    with pytest.raises(UsageError, match=re.escape(f"a value is missing behind {behind!r}")):
        Expression(text)
