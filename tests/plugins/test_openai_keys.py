"""The key of the `openai` teacher: sent where its user allowed it, shown nowhere."""

from __future__ import annotations

import asyncio
import logging

import pytest

from filial import Message, Request, UsageError
from filial_plugins.commands.key_bindings import allow_key
from filial_plugins.teachers.openai import OpenAI

ASK = Request(messages=(Message(role="user", content="Who?"),))
KEY = "sk-canary/2f1d9c"


@pytest.fixture
def my_key(config, monkeypatch):
    """MY_KEY is set and may go to this machine."""
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    allow_key("MY_KEY", "127.0.0.1")


def test_an_endpoint_here_sees_no_key_that_is_not_named(endpoint, answers, call, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ADMIN_KEY", KEY)
    served = endpoint(answers.Answer(answers.completion("x")))
    call(served)
    call(served, profile="openai")
    assert len(served.seen) == 2
    for seen in served.seen:
        assert "authorization" not in seen.headers
        assert KEY not in str(seen.headers)


def test_what_openai_s_client_takes_from_the_environment_goes_to_openai_alone(
    endpoint, answers, call, my_key, monkeypatch
):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-canary")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-canary")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Canary: canary\nAuthorization: Bearer canary")
    served = endpoint(answers.Answer(answers.completion("x")))
    call(served)
    call(served, api_key_env="MY_KEY")
    assert "canary" not in str(served.seen[0].headers)
    assert "canary" not in str(served.seen[1].headers).replace(KEY, "")
    assert not [name for seen in served.seen for name in seen.headers if name.startswith("x-stainless")]


def test_a_named_key_is_sent_and_shown_nowhere(endpoint, answers, call, fault, my_key, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    served = endpoint(answers.Answer(answers.completion(f"You sent {KEY}.")))
    assert call(served, api_key_env="MY_KEY").text == "You sent [key]."
    assert served.seen[0].headers["authorization"] == f"Bearer {KEY}"
    refused = endpoint(answers.Answer({"error": {"message": "x" * 490 + KEY}}, status=401))
    assert fault(refused, api_key_env="MY_KEY").detail.endswith("$MY_KEY: " + "x" * 490 + "[key]")
    page = endpoint(answers.Answer(f"<p>{KEY}</p>", content_type="text/html"))
    assert fault(page, api_key_env="MY_KEY").answer == "<p>[key]</p>"
    escaped = KEY.replace("/", "\\/")
    broken = endpoint(answers.Answer('{"choices": [{"message": {"content": "' + escaped))
    assert escaped not in str(fault(broken, api_key_env="MY_KEY").answer)
    told = caplog.text + "".join(capsys.readouterr())
    assert KEY not in told
    assert KEY not in str(OpenAI(model="m", api_key_env="MY_KEY").identity())


def sent_nothing(teacher: OpenAI, monkeypatch: pytest.MonkeyPatch) -> str:
    """Why a teacher does not even connect."""

    def connect(*args: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", connect)
    with pytest.raises(UsageError) as caught:
        asyncio.run(teacher.reply(ASK))
    return str(caught.value)


def test_a_key_goes_to_no_host_that_its_user_has_not_allowed(my_key, monkeypatch):
    teacher = OpenAI(model="m", base_url="https://evil.example/v1", api_key_env="MY_KEY")
    assert sent_nothing(teacher, monkeypatch) == (
        "this would send $MY_KEY to evil.example, which you have not allowed; if you trust it: "
        "filial keys allow MY_KEY evil.example"
    )


def test_a_missing_key_is_said_before_anything_is_sent(config, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    why = sent_nothing(OpenAI(model="m"), monkeypatch)
    assert why.startswith("the environment variable OPENAI_API_KEY is not set; put the key for api.openai.com into it")
