"""An endpoint that cannot be reached is named with its address, where that is written, and what to do."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from filial import Message, Reply, Request, TeacherError, UsageError
from filial_plugins.teachers.openai import OpenAI
from filial_plugins.teachers.openai_addresses import Address

ASK = Request(messages=(Message(role="user", content="Who?"),))
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no certificates but those of a test."""
    for name in (*PROXIES, *map(str.upper, PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def ask(endpoint: Any, url: Callable[[int], str], tls: ssl.SSLContext | None = None, **options: Any) -> Reply | str:
    """Ask an endpoint, under the address that ``url`` makes from its port; return the reply or the error's detail."""

    async def work() -> Reply | str:
        server = await asyncio.start_server(endpoint.handle, "127.0.0.1", 0, ssl=tls)
        teacher = OpenAI(model="m", base_url=url(server.sockets[0].getsockname()[1]), **options)
        try:
            return await teacher.reply(ASK)
        except TeacherError as error:
            return error.detail if error.down else "one request failed"
        finally:
            await teacher.close()
            server.close()

    return asyncio.run(asyncio.wait_for(work(), 60))


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """What a server at ``localhost`` shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def local(port: int) -> str:
    return f"https://localhost:{port}/v1"


def test_certificates_of_the_environment_hold_on_this_machine_too(
    endpoint: Any, answers: Any, authority: trustme.CA, tls: ssl.SSLContext, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    served = endpoint(answers.Answer(answers.completion("Me.")))
    cure = "set SSL_CERT_FILE to a file that holds the certificate of its authority"
    assert cure in str(ask(served, local, tls))
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    reply = ask(served, local, tls)
    assert isinstance(reply, Reply)
    assert reply.text == "Me."


def test_a_file_without_the_right_authority_is_named(
    endpoint: Any, answers: Any, tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    detail = ask(endpoint(answers.Answer()), local, tls)
    assert f"SSL_CERT_FILE is set to {other}, which does not hold the authority" in str(detail)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_without_certificates_is_named(
    endpoint: Any, answers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    file = tmp_path / "none.pem"
    if content:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(UsageError, match=f"SSL_CERT_FILE is set to {file}, which holds no certificates"):
        ask(endpoint(answers.Answer()), local)


def test_a_certificate_for_another_host_is_told_from_an_unknown_one(
    endpoint: Any, answers: Any, authority: trustme.CA, tls: ssl.SSLContext, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    detail = ask(endpoint(answers.Answer()), lambda port: f"https://127.0.0.1:{port}/v1", tls)
    assert str(detail).endswith("write the host in base_url as its certificate does")


def test_who_refuses_the_connection_is_named(endpoint: Any, answers: Any) -> None:
    detail = ask(endpoint(answers.Answer()), lambda port: "http://127.0.0.1:9/v1")
    assert str(detail).startswith("http://127.0.0.1:9/v1 (base_url) refuses the connection (")
    assert str(detail).endswith("start the server there, or correct base_url")


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_a_proxy_that_cannot_be_reached_is_named_with_its_variable_and_without_its_password(
    endpoint: Any, answers: Any, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://me:secret@127.0.0.1:9")
    detail = str(ask(endpoint(answers.Answer()), lambda port: "http://models.example/v1"))
    assert f"the proxy 127.0.0.1:9 (${variable}) gives no connection to http://models.example/v1" in detail
    assert detail.endswith(f"correct {variable}, or add models.example to NO_PROXY")
    assert "secret" not in detail


def test_a_proxy_of_another_kind_is_refused_before_anything_is_sent(
    endpoint: Any, answers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:secret@127.0.0.1:9")
    with pytest.raises(UsageError, match=r"\$ALL_PROXY names the proxy 127.0.0.1:9 for models.example") as refused:
        ask(endpoint(answers.Answer()), lambda port: "https://models.example/v1")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://10.9.8.7/v1", "https://10.9.8.7/v1"])
@pytest.mark.parametrize("options", [{"api_key_env": "MY_KEY"}, {"headers": {"x-api-key": "$MY_KEY"}}, {}])
def test_a_key_over_plain_http_goes_to_no_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, options: dict[str, Any]
) -> None:
    monkeypatch.setenv("FILIAL_CONFIG", str(tmp_path))
    (tmp_path / "keys.json").write_text('{"MY_KEY": ["10.9.8.7"]}')
    monkeypatch.setenv("MY_KEY", "sk-canary")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    async def find() -> str | None:
        teacher = OpenAI(model="m", base_url=url, **options)
        proxy = teacher._connect()._proxy
        await teacher.close()
        return proxy

    plain = url.startswith("http:") and bool(options)
    assert asyncio.run(find()) == (None if plain else "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("status", "options", "told"),
    [
        (401, {}, "(base_url), asked with no key (api_key_env names its variable): no"),
        (401, {"api_key_env": "MY_KEY"}, "(base_url), asked with the key in $MY_KEY: no"),
        (401, {"headers": {"api-key": "$MY_KEY"}}, "(base_url), asked with the key in $MY_KEY: no"),
        (402, {"api_key_env": "MY_KEY"}, "(base_url), asked with the key in $MY_KEY: no"),
        (404, {}, "(base_url): the endpoint has no such model or path"),
        (308, {}, "(base_url): the endpoint redirects; set base_url to its new address"),
    ],
)
def test_who_rejects_the_address_or_the_key_is_named(
    endpoint: Any, answers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int,
    options: dict[str, Any], told: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("FILIAL_CONFIG", str(tmp_path))
    (tmp_path / "keys.json").write_text('{"MY_KEY": ["127.0.0.1"]}')
    monkeypatch.setenv("MY_KEY", "sk-canary")
    served = endpoint(answers.Answer({"error": {"message": "no"}}, status=status))
    detail = str(ask(served, lambda port: f"http://127.0.0.1:{port}/v1", **options))
    assert f"/v1 {told}" in detail
    assert "canary" not in detail


def test_an_address_that_nobody_gave_is_named_as_such() -> None:
    assert str(Address("https://api.openai.com/v1", given=False)) == "https://api.openai.com/v1 (base_url is not set)"
