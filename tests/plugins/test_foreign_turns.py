"""What turns of public data sets say: reasoning, marks for training, speakers; and what makes a row bad."""

from typing import Any

import pytest
from foreign_rows_kit import ANSWER, GPT, HUMAN, SYSTEM, THINKING, USER, A, Q, U, Y, read_one, talk

from filial import Message, UsageError
from filial.formats import BadLine, read_rows
from filial_plugins.formats import names


def test_what_an_instance_of_a_seed_task_says_beside_is_kept() -> None:
    instances = [{"input": "", "output": A, "constraints": "None."}, {"output": "Lena"}]
    found = list(read_rows([{"id": "s", "instruction": Q, "instances": instances, "name": "t", "task": "u"}]))
    assert [(r.id, r.output, r.task, r.extra) for r in found] == [
        ("s#1", A, "t", {"task": "u", "instance": {"constraints": "None."}}), ("s#2", "Lena", "t", {"task": "u"}),
    ]  # fmt: skip


def test_what_a_turn_says_beside_is_kept_with_what_was_kept_before() -> None:
    row = {"messages": [U, {**Y, "score": 2}], "messages_extra": [{"a": 1}, {"b": 2}]}
    assert read_one(row).extra == {"messages_extra": [{"a": 1}, {"b": 2, "score": 2}]}


THOUGHT: dict[str, tuple[dict[str, Any], Message, list[str]]] = {
    "OpenRouter's details": (
        {"content": A, "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]}, THINKING, [],
    ),
    "details of a model that signs": (
        {"content": A, "reasoning_details": [{"type": "reasoning.summary", "summary": "Hm.", "signature": "x"}]},
        THINKING, ["reasoning_details"],
    ),
    "details beside the text of them": (
        {"content": A, "reasoning": "Hm.", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
        THINKING, ["reasoning_details"],
    ),
    "details in front of the text of them": (
        {"reasoning_details": [{"type": "reasoning.text", "text": "Hm."}], "content": A, "reasoning": "Hm."},
        THINKING, ["reasoning"],
    ),
    "sealed details": (
        {"content": A, "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
        ANSWER, ["reasoning_details"],
    ),
    "LiteLLM's blocks": ({"content": A, "thinking_blocks": [{"type": "thinking", "thinking": "Hm."}]}, THINKING, []),
    "Anthropic's parts": (
        {"content": [{"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "text", "text": A}]},
        THINKING, ["content"],
    ),
    "Anthropic's sealed parts": (
        {"content": [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": A}]}, ANSWER, ["content"],
    ),
    "Gemini's parts": ({"parts": [{"thought": True, "text": "Hm."}, {"text": A}]}, THINKING, []),
    "an empty name first": ({"content": A, "reasoning": "", "reasoning_content": "Hm."}, THINKING, []),
    "a refusal": ({"content": None, "refusal": A}, ANSWER, []),
    "a refusal of an empty answer": ({"content": "", "refusal": A}, ANSWER, []),
    "no refusal": ({"content": A, "refusal": None, "audio": None, "tool_calls": None}, ANSWER, []),
    "citations and figures": (
        {"content": A, "annotations": [{"url": "x"}], "tokens": 5, "id": "3", "model": "m", "prefix": False},
        ANSWER, ["annotations", "id", "model", "prefix", "tokens"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", THOUGHT)
def test_what_a_turn_says_beside_its_text_is_read_or_named(kind: str) -> None:
    turn, expected, kept = THOUGHT[kind]
    said: list[str] = []
    [record] = read_rows([{"messages": [U, {"role": "assistant", **turn}]}], format="openai", note=said.append)
    assert record.messages == (USER, expected)
    assert sorted(key for part in record.extra.get("messages_extra", []) for key in part) == kept
    assert said == ["records: read as openai (messages)" + (
        f"; kept as extra: messages_extra ({', '.join(kept)})" if kept else ""
    )]  # fmt: skip


@pytest.mark.parametrize(
    "system", ["Be brief.", [{"type": "text", "text": "Be "}, {"text": "brief."}], {"parts": [{"text": "Be brief."}]}]
)
def test_a_system_text_in_parts(system: Any) -> None:
    expected = talk(SYSTEM, USER, ANSWER)
    assert read_one({"system": system, "messages": [U, Y]}) == expected
    contents = [{"role": "user", "parts": [{"text": Q}]}, {"role": "model", "parts": [{"text": A}]}]
    assert read_one({"systemInstruction": system, "contents": contents}) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(42, "42"), (0, "0"), (True, "true"), (False, "false"), (3.5, "3.5"), (0.1 + 0.2, "0.30000000000000004"),
     (10**28, "1" + 28 * "0"), (-1e-7, "-1e-7")],
)  # fmt: skip
def test_numbers_and_switches_are_texts_as_json_spells_them(value: Any, text: str) -> None:
    for asked, answer in (("instruction", "output"), ("question", "answer"), ("prompt", "completion")):
        assert read_one({asked: Q, answer: value, "x": 1}).output == text
    assert read_one({"instruction": value, "output": A, "x": 1}).instruction == text
    assert read_one({"messages": [U, {**Y, "content": value}]}).messages[1].content == text
    assert read_one({"conversations": [HUMAN, {**GPT, "value": value}]}).messages[1].content == text
    assert read_one({"prompt": Q, "chosen": value, "rejected": "x"}).output == text
    assert read_one({"question": Q, "rationale": "Hm.", "answer": value}).output == text
    assert read_one({"instruction": Q, "instances": [{"input": value, "output": value}]}).output == text


TRAINED = (
    *(key for key in names.TRAINED if "mask" not in key or key == "loss_mask"),
    "loss_scale", "training", "is_trained", "train_on_turn", "should_train", "include_in_loss", "compute_loss",
    "is_trainable", "isTrain", "do_train", "use_loss", "calculate_loss", "apply_loss", "train_mask", "loss_on",
    "training_weight", "turn_weight", "token_weight", "weights", "has_loss", "in_loss", "requires_loss", "learn",
    "learnable", "is_supervised", "train_on_this", "not_masked",
)  # fmt: skip
UNTRAINED = (
    "masked", "is_masked", "ignore", "ignore_loss", "no_loss", "mask_loss", "skip_loss", "exclude_from_loss",
    "no_train", "do_not_train", "exclude_from_training", "mask_turn", "skip", "skip_training", "frozen", "isMasked",
    "untrained",
)  # fmt: skip


@pytest.mark.parametrize("key", TRAINED)
@pytest.mark.parametrize("turns", [(U, Y), (HUMAN, GPT)])
@pytest.mark.parametrize(
    ("value", "train"),
    [(0, False), (0.0, False), (False, False), ("false", False), (1, True), (1.0, True), (True, True), (None, None)],
)
def test_every_spelling_of_a_mark_for_training(key: str, turns: Any, value: Any, train: bool | None) -> None:
    for column in ("messages", "conversations", "conversation"):
        record = read_one({column: [turns[0], {**turns[1], key: value}], "x": 1})
        assert record.messages[1].train is train


@pytest.mark.parametrize("key", UNTRAINED)
@pytest.mark.parametrize(("value", "train"), [(True, False), (1, False), (False, True), (None, None)])
def test_every_spelling_of_a_mark_against_training(key: str, value: Any, train: bool | None) -> None:
    assert read_one({"messages": [U, {**Y, key: value}], "x": 1}).messages[1].train is train


@pytest.mark.parametrize("key", names.REASONING)
def test_every_spelling_of_reasoning(key: str) -> None:
    assert read_one({"messages": [U, {**Y, key: "Hm."}], "x": 1}).messages[1].reasoning == "Hm."
    assert read_one({"prompt": Q, "completion": A, key: "Hm."}).reasoning == "Hm."
    assert read_one({"instruction": Q, "output": A, key: "Hm.", "x": 1}).reasoning == "Hm."
    assert read_one({"conversations": [HUMAN, GPT], key: "Hm."}).messages[1].reasoning == "Hm."


@pytest.mark.parametrize("name", [name for name, role in names.ROLES.items() if role != "tool_call"])
def test_every_name_of_a_speaker(name: str) -> None:
    for spelled in (name, name.upper()):
        [turn] = read_one({"conversations": [{"from": spelled, "value": "x"}]}).messages
        assert turn == Message(names.ROLES[name], "x")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "images of a row": ({"messages": [U, Y], "images": ["a.png"]}, "/images: images, audio and video have no place"),
    "an image of a pair": ({"question": Q, "answer": A, "image": {"bytes": "x"}}, "/image: images, audio"),
    "images of a turn": ({"messages": [{**U, "images": ["a.png"]}, Y]}, "/messages/0/images: images, audio"),
    "a part that is an image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "/messages/0/content/0/type: only text parts are supported, not 'image_url'",
    ),
    "half a weight": (
        {"messages": [U, {**Y, "weight": 0.5}]},
        "/messages/1/weight: must be true or false, 1 or 0, not 0.5",
    ),
    "marks that contradict": (
        {"messages": [U, {**Y, "train": True, "weight": 0}]},
        "/messages/1/weight: contradicts train",
    ),
    "a mask of no meaning": ({"messages": [U, {**Y, "mask": 0}]}, "/messages/1/mask: masks and parts of a turn"),
    "a mask": ({"messages": [U, {**Y, "mask": 1}]}, "/messages/1/mask: masks and parts of a turn"),
    "parts to train": (
        {"conversations": [HUMAN, {**GPT, "train_detail": [{"begin_offset": 0}]}]},
        "/conversations/1/train_detail: masks and parts",
    ),
    "two system texts": ({"messages": [{"role": "system", "content": "a"}, U, Y], "system": "b"}, "/system: differs"),
    "reasoning of no answer": (
        {"conversations": [HUMAN], "reasoning": "Hm."},
        "/reasoning: the conversation does not end",
    ),
    "an unknown speaker": (
        {"messages": [{"role": "narrator", "content": "x"}]},
        "/messages/0/role: unknown role 'narrator'",
    ),
    "no speaker": ({"messages": [{"content": "x"}]}, "/messages/0: lacks role"),
    "no text": ({"conversations": [{"from": "human"}]}, "/conversations/0: lacks value"),
    "a call without a name": (
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}]},
        "/messages/0/tool_calls/0: must be a call of a tool",
    ),
    "a history of numbers": (
        {"query": Q, "response": A, "history": [[1, 2]]},
        "/history/0: must be an object or a pair",
    ),
    "tools that are none": ({"messages": [U, Y], "tools": 7, "x": 1}, "/tools: must be an array of tools"),
    "several worse answers": ({"prompt": Q, "chosen": A, "rejected": ["a", "b"]}, "/rejected: "),
    "an answer that is an array": ({"question": Q, "answer": [2]}, "/answer: must be a string"),
    "an answer that is an object": ({"instruction": Q, "output": {"a": 2}}, "/output: must be a string"),
    "a begun answer": ({"messages": [U, {**Y, "prefix": True}]}, "/messages/1/prefix: changes what a turn means"),
    "a partial answer": ({"messages": [U, {**Y, "partial": True}]}, "/messages/1/partial: changes what a turn means"),
    "an unwanted turn": ({"messages": [U, {**Y, "label": False}]}, "/messages/1/label: changes what a turn means"),
    "a worse turn": ({"messages": [U, {**Y, "rejected": "x"}]}, "/messages/1/rejected: changes what a turn means"),
    "a system text in a turn": ({"messages": [{**U, "system": "x y"}, Y]}, "/messages/0/system: changes what a turn"),
    "choices in a turn": ({"messages": [{**U, "choices": ["a"]}, Y]}, "/messages/0/choices: changes what a turn means"),
    "replies to a turn": ({"prompt": {**U, "replies": [Y]}}, "/prompt/0/replies: changes what a turn means"),
    "two reasonings": (
        {"messages": [U, {**Y, "reasoning": "a", "thinking": "b"}]},
        "/messages/1/thinking: differs from reasoning",
    ),
    "sound of a turn": ({"messages": [U, {**Y, "audio": {"id": "1"}}]}, "/messages/1/audio: images, audio and video"),
    "a taken name": ({"messages": [U, {**Y, "x": 1}], "messages_extra": "mine"}, "/messages_extra: is the name"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_a_record_cannot_say_is_a_bad_row_with_its_reason(kind: str) -> None:
    row, words = REFUSED[kind]
    bad: list[BadLine] = []
    assert list(read_rows([row], bad=bad)) == []
    assert str(bad[0]).startswith(f"records:1: {words}")


@pytest.mark.parametrize("key", ["mask", "label_mask", "assistant_mask", "assistant_masks", "train_detail"])
def test_a_mark_that_public_data_use_both_ways_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="say train: true or false of it"):
        read_one({"messages": [U, {**Y, key: [1, 0]}], "x": 1})


@pytest.mark.parametrize("value", [0.5, 2, [1, 0]])
@pytest.mark.parametrize("key", ["training_weight", "weights", "loss_scale"])
def test_a_weight_that_is_neither_0_nor_1_is_refused(key: str, value: Any) -> None:
    with pytest.raises(UsageError, match="a turn is trained or it is not"):
        read_one({"messages": [U, {**Y, key: value}], "x": 1})


@pytest.mark.parametrize(
    "key", ["step", "label_name", "message_id", "train_split", "lossless", "weighty", "exam", "learner"]
)
def test_other_keys_of_turns_are_no_marks(key: str) -> None:
    assert read_one({"messages": [U, {**Y, key: 0}], "x": 1}).messages[1].train is None


@pytest.mark.parametrize("key", ["is_train", "do_train", "train_mask", "trainable", "training_weight"])
@pytest.mark.parametrize(("value", "train"), [(0, False), (False, False), (1, None), (True, None)])
def test_a_flag_of_a_row_holds_for_its_answer(key: str, value: Any, train: bool | None) -> None:
    record = read_one({"prompt": Q, "completion": A, key: value})
    assert (record.messages[-1].train if record.messages else None) is train


@pytest.mark.parametrize(
    "part",
    [{"functionCall": {"name": "now", "args": {"tz": "u"}}}, {"function_call": {"name": "now", "args": {"tz": "u"}}}],
)
def test_calls_of_tools_as_gemini_writes_them(part: dict[str, Any]) -> None:
    talk = [
        {"role": "user", "parts": [{"text": Q}]},
        {"role": "model", "parts": [part]},
        {"role": "user", "parts": [{"functionResponse": {"name": "now", "response": {"t": 12}}}]},
        {"role": "model", "parts": [{"text": A}]},
    ]
    _, call, result, said = read_one({"contents": talk}).messages
    assert (call.tool_calls[0].name, call.tool_calls[0].arguments) == ("now", '{"tz":"u"}')
    assert (result.role, result.content, said.content) == ("tool", '{"t":12}', A)


@pytest.mark.parametrize("part", [{"image": "a.jpg"}, {"inlineData": {"data": "x"}}, {"fileData": {"fileUri": "x"}}])
def test_media_in_parts_without_a_type_are_refused(part: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="only text parts are supported"):
        read_one({"messages": [{"role": "user", "content": [part, {"text": "what?"}]}, Y], "x": 1})


def test_marks_of_a_prompt_cache_are_no_content() -> None:
    system = [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}]
    assert read_one({"system": system, "messages": [U, Y]}).messages[0].content == "S"
