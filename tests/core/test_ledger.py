"""No paid answer is lost, none is served for another request, none that is damaged is served at all."""

import asyncio
import contextlib
import sqlite3
import zlib
from contextlib import closing

import msgspec
import pytest

from filial import FilialError, Message, Reply, Request
from filial.gateway import Ledger, TeacherKeys, encode_request, make_entry


def request(text="Name a river.", **more):
    return Request(messages=(Message(role="user", content=text),), **more)


def answer_key(use, identity, question):
    return TeacherKeys(use, identity).key(encode_request(question))


@pytest.fixture
def ledger(tmp_path):
    opened = Ledger(tmp_path / ".filial" / "ledger.sqlite")
    yield opened
    opened.close()


def store(ledger, question, text="The Rhine."):
    key = answer_key("scripted", {}, question)
    return key, asyncio.run(ledger.put(key, "scripted", encode_request(question), Reply(text=text, prompt_tokens=4)))


def test_an_answer_comes_back_with_its_key(ledger):
    key, stored = store(ledger, request())
    assert stored.key == key
    assert ledger.get(key) == stored == Reply(text="The Rhine.", prompt_tokens=4, key=key)


def test_an_answer_is_on_disk_before_it_counts(ledger):
    key, _ = store(ledger, request())
    other = sqlite3.connect(ledger.path)
    assert other.execute("select count(*) from answers where key=?", (key,)).fetchone() == (1,)
    other.close()


def test_an_answer_that_could_not_be_stored_does_not_count(cli):
    """The file itself refuses new answers: whoever asked is told, and gets none."""
    assert cli("ask", "echo", "Name a river.") == 0
    with contextlib.closing(sqlite3.connect(cli.folder / ".filial" / "ledger.sqlite")) as db:
        db.execute("create trigger full before insert on answers begin select raise(abort, 'no room'); end")
    assert cli("ask", "echo", "Name a lake.") == 1
    assert cli.out == ""
    assert "the ledger cannot be written: no room" in cli.err
    assert cli("ask", "echo", "Name a river.") == 0, "what was stored before is there"


@pytest.mark.parametrize(
    "changed",
    [
        request("Name a lake."), request(draw=1), request(temperature=0.5), request(top_p=0.9), request(max_tokens=5),
        request(stop=("\n",)), request(seed=1), request(schema={"type": "object"}),
    ],
)  # fmt: skip
def test_whatever_shapes_the_answer_shapes_the_key(changed):
    assert answer_key("openai", {"model": "m"}, changed) != answer_key("openai", {"model": "m"}, request())


def test_the_teacher_is_part_of_the_key_and_the_order_of_its_options_is_not():
    key = answer_key("openai", {"model": "m", "base_url": "u"}, request())
    assert key == answer_key("openai", {"base_url": "u", "model": "m"}, request())
    assert key != answer_key("openai", {"model": "n", "base_url": "u"}, request())
    assert key != answer_key("other", {"model": "m", "base_url": "u"}, request())


def test_many_answers_of_one_turn_of_the_loop_are_all_kept(ledger):
    async def all_at_once():
        questions = [request(f"Name river {i}.") for i in range(200)]
        keys = [answer_key("scripted", {}, q) for q in questions]
        pairs = zip(keys, questions, strict=True)
        await asyncio.gather(*(ledger.put(k, "scripted", encode_request(q), Reply(text=k)) for k, q in pairs))
        return keys

    for key in asyncio.run(all_at_once()):
        assert ledger.get(key).text == key


def test_a_damaged_answer_is_counted_and_never_served(ledger):
    key, _ = store(ledger, request())
    blob = bytearray(ledger._db.execute("select reply from answers").fetchone()[0])
    blob[-1] ^= 1
    ledger._db.execute("update answers set reply=?", (bytes(blob),))
    assert ledger.get(key) is None
    assert ledger.damaged == 1


def test_an_answer_moved_under_another_key_is_not_served(ledger):
    store(ledger, request())
    ledger._db.execute("update answers set key='someone-elses'")
    assert ledger.get("someone-elses") is None


def test_text_that_is_hard_to_store_survives(ledger):
    key, stored = store(ledger, request(), text="a\u2028b\x00c \U0001f600 \u0985")
    assert ledger.get(key).text == stored.text


def test_a_file_that_is_no_ledger_is_a_clear_error(tmp_path):
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database, and long enough to be sure of it" * 30)
    with pytest.raises(FilialError, match="ledger cannot be opened"):
        Ledger(tmp_path / "ledger.sqlite")


def test_the_request_is_kept_beside_its_answer(ledger):
    import zlib

    store(ledger, request("What was asked?"))
    blob = ledger._db.execute("select request from answers").fetchone()[0]
    assert msgspec.json.decode(zlib.decompress(blob))["messages"][0]["content"] == "What was asked?"


def test_a_reply_without_thoughts_is_stored_in_the_bytes_it_always_had(ledger):
    plain = Reply(text="The Rhine.", prompt_tokens=4)
    assert msgspec.json.encode(plain) == b'{"text":"The Rhine.","prompt_tokens":4}'
    entry = make_entry("k", "i", b"{}", plain)
    assert zlib.decompress(entry.reply) == b'{"text":"The Rhine.","prompt_tokens":4}'
    assert entry.decode()[1].reasoning == ""


def test_thoughts_come_back_from_the_ledger_beside_the_text(ledger):
    question = Request(messages=(Message(role="user", content="Which river?"),))
    said = Reply(text="The Rhine.", reasoning="Long, in Basel.")
    asyncio.run(ledger.put("k" * 32, "scripted", encode_request(question), said))
    found = ledger.get("k" * 32)
    assert (found.text, found.reasoning) == ("The Rhine.", "Long, in Basel.")


def put(ledger, teacher, text, question=None):
    asked = encode_request(question or request())
    ledger.store_teacher(teacher)
    return asyncio.run(ledger.put(teacher.key(asked), teacher.identity, asked, Reply(text=text)))


def found(ledger, use, *claimants, options=None):
    """The text that a teacher is said to have answered, and what the user is told."""
    teacher = TeacherKeys(use, options or {"model": "m"})
    news = ledger.recognize(teacher, claimants)
    reply = ledger.find(teacher, encode_request(request()))
    return reply and reply.text, news


def test_two_distributions_teachers_of_one_name_share_nothing(ledger):
    put(ledger, TeacherKeys("a-pack:sage", {"model": "m"}), "a")
    assert found(ledger, "a-pack:sage", "a-pack:sage", "b-pack:sage") == ("a", "")
    assert found(ledger, "b-pack:sage", "a-pack:sage", "b-pack:sage") == (None, "")


def test_answers_under_a_bare_name_are_their_only_claimants_for_ever(ledger):
    kept = put(ledger, TeacherKeys("sage", {"model": "m"}), "old")
    assert found(ledger, "b-pack:sage", options={"model": "other"}) == (None, ""), "another teacher"
    text, news = found(ledger, "a-pack:sage", "a-pack:sage")
    assert text == "old"
    assert "holds 1 answers under the bare name 'sage'" in news
    assert news.endswith("they are those of a-pack:sage")
    assert found(ledger, "a-pack:sage", "a-pack:sage", "b-pack:sage") == ("old", ""), "told once, true for ever"
    assert found(ledger, "b-pack:sage", "b-pack:sage") == (None, "")
    assert ledger.get(kept.key) == kept, "its key is what it was: runs and cassettes list it"


def test_answers_under_a_bare_name_that_several_claim_are_nobodys_and_that_is_said(ledger):
    put(ledger, TeacherKeys("sage", {"model": "m"}), "old")
    text, news = found(ledger, "a-pack:sage", "a-pack:sage", "b-pack:sage")
    assert text is None
    assert "which a-pack:sage and b-pack:sage claim; they are not used" in news
    assert news.endswith("run this once with FILIAL_BLOCK=b-pack")
    assert found(ledger, "a-pack:sage", "a-pack:sage")[0] == "old", "as with the other blocked"


def test_answers_under_several_spellings_of_one_name_are_all_found(ledger):
    options = {"model": "m"}
    questions = {word: request(f"Say {word}.") for word in ("sage", "a-pack:sage", "A_Pack:sage", "b-pack:sage")}
    for word, question in questions.items():
        put(ledger, TeacherKeys(word, options), f"{word} was asked", question)
    put(ledger, TeacherKeys("sage", options), "by the bare name")
    put(ledger, TeacherKeys("a-pack:sage", options), "in full")
    teacher = TeacherKeys("a-pack:sage", options)
    ledger.recognize(teacher, ["a-pack:sage"])
    replies = {word: ledger.find(teacher, encode_request(question)) for word, question in questions.items()}
    assert {word for word, reply in replies.items() if reply} == {"sage", "a-pack:sage", "A_Pack:sage"}
    assert ledger.find(teacher, encode_request(request())).text == "in full"
    assert ledger.latest_request(teacher) == request()
    assert len(ledger) == 6, "nothing is lost"


def test_a_dry_look_notes_nothing(ledger):
    put(ledger, TeacherKeys("sage", {"model": "m"}), "old")
    teacher = TeacherKeys("a-pack:sage", {"model": "m"})
    assert ledger.recognize(teacher, ["a-pack:sage"], dry=True) == ""
    assert ledger.find(teacher, encode_request(request())).text == "old"
    assert ledger.owners() == {}


def test_of_two_answers_to_one_question_the_first_is_kept_and_served_to_both(ledger):
    key, first = store(ledger, request(), "The Rhine.")
    with closing(Ledger(ledger.path)) as other:
        assert store(other, request(), "The Po.") == (key, first)
    assert ledger.get(key) == first


def test_an_answer_takes_the_place_of_a_damaged_one(ledger):
    key, _ = store(ledger, request())
    ledger._db.execute("update answers set reply=x'00'")
    assert store(ledger, request(), "The Po.")[1].text == "The Po."
    assert ledger.get(key).text == "The Po."


def test_what_a_teacher_usually_takes_is_the_mean_of_its_latest_answers_that_tell(ledger):
    keys, other = TeacherKeys("pkg:one", {"model": "a"}), TeacherKeys("pkg:two", {})
    assert (ledger.mean_tokens(keys), ledger.latest_request(keys)) == (None, None)
    counts = [(10, 4), (30, 9), (0, 0), (20, 2)]
    for teacher, shift in ((keys, 0), (other, 1000)):
        ledger.store_teacher(teacher)
        for n, (prompt, completion) in enumerate(counts):
            question = encode_request(request(f"Name river {n}."))
            reply = Reply(text="The Rhine.", prompt_tokens=prompt + shift, completion_tokens=completion + shift)
            asyncio.run(ledger.put(teacher.key(question), teacher.identity, question, reply))
    assert ledger.mean_tokens(keys) == (20, 5)
    assert ledger.mean_tokens(other) == (1015, 1003.75)
    assert ledger.latest_request(keys) == request("Name river 3.")


def test_a_ledger_makes_the_folders_it_needs(tmp_path):
    path = tmp_path / "a" / "b" / "ledger.sqlite"
    Ledger(path).close()
    assert path.exists()
