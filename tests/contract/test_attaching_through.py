"""``attach`` with a certificate that the system does not trust, and through a proxy: everything goes that way."""

from __future__ import annotations

import asyncio
import base64
import itertools
import logging
import ssl
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from contract.forward_proxy import CERTIFICATE, NAME, ForwardProxy, server_context
from contract.graphs import Recorder, picture_workflow, show_prompt, texts_of
from contract.proxy import AuthProxy
from yarl import URL

from discomfort import ComfyConnector
from discomfort.exceptions import ConfigurationError, ServerConnectionError
from discomfort.progress import NodeStarted

HEADERS = {"Authorization": "Bearer for-the-server"}
USER, PASSWORD = "me", "hunter2:and more"
_GIVEN = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
AUTHORIZATION = f"Basic {_GIVEN}"
_NUMBERS = itertools.count(61_000)
"""For prompts that nobody has run yet: the server keeps its results."""


@pytest_asyncio.fixture(loop_scope="session")
async def secure(connector: ComfyConnector) -> AsyncIterator[AuthProxy]:
    """The server under test behind HTTPS, with a certificate signed by itself."""
    async with AuthProxy(connector.server_address, HEADERS, server_context()) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def plain(connector: ComfyConnector) -> AsyncIterator[AuthProxy]:
    """The same without TLS."""
    async with AuthProxy(connector.server_address, HEADERS) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def forward() -> AsyncIterator[ForwardProxy]:
    """A proxy that wants a name and a password."""
    async with ForwardProxy(AUTHORIZATION) as running:
        yield running


def trusting() -> ssl.SSLContext:
    """A context that trusts the certificate."""
    return ssl.create_default_context(cafile=CERTIFICATE)


def named(server: AuthProxy) -> str:
    """The server's address by the name that only the proxy knows."""
    return str(URL(server.url).with_host(NAME))


def with_password(proxy: ForwardProxy) -> str:
    """The proxy's address with its credentials."""
    return str(URL(proxy.url).with_user(USER).with_password(PASSWORD))


async def use(attached: ComfyConnector, tmp_path: Path) -> None:
    """All kinds of requests: a run with its events, uploads in both ways, an output, health, a new socket."""
    events, number = Recorder(), next(_NUMBERS)
    history = await attached.run_workflow(show_prompt(number), False, on_progress=events)
    assert texts_of(history) == [str(number)]
    assert events.of(NodeStarted)
    source = tmp_path / "data.txt"
    source.write_bytes(b"content")
    assert await asyncio.to_thread(attached.upload_data, source, subfolder="through", overwrite=True)
    assert (await attached.upload(b"content", name="more.txt", subfolder="through", overwrite=True)).value
    await attached._ensure_fresh_websocket()
    assert await attached._validate_resources()


@pytest.mark.parametrize("verified", [True, False])
async def test_own_certificate(secure: AuthProxy, tmp_path: Path, verified: bool) -> None:
    """A context that trusts it, or no verification: all requests arrive."""
    context = trusting() if verified else False
    async with await ComfyConnector.attach(secure.url, headers=HEADERS, ssl=context, browser="lazy") as attached:
        assert attached.ws_address.startswith("wss://")
        await use(attached, tmp_path)
        found = await attached.diagnostics()

    assert found["engine"]["certificates"] == ("verified" if verified else "not verified")
    assert {"/ws", "/upload/image", "/prompt"} <= set(secure.seen)
    assert secure.refused == 0


@pytest.mark.browser
async def test_own_certificate_of_the_page(secure: AuthProxy) -> None:
    """The browser gets its page and everything else through the gateway, which takes the same way."""
    async with await ComfyConnector.attach(secure.url, headers=HEADERS, ssl=trusting(), browser="lazy") as attached:
        history = await attached.run_workflow(picture_workflow(0x123456, prefix="through/tls"))
        (output,) = attached.outputs(history)
        assert (await output.image()).getpixel((0, 0)) == (0x12, 0x34, 0x56)


async def test_certificate_that_nobody_trusts(secure: AuthProxy) -> None:
    """The error says what is wrong with it, and what to do."""
    with pytest.raises(ServerConnectionError, match="certificate is not accepted.*ssl context") as caught:
        await ComfyConnector.attach(secure.url, headers=HEADERS, browser="lazy")

    assert secure.url in str(caught.value)
    assert secure.seen == []


async def test_proxy_to_https(secure: AuthProxy, forward: ForwardProxy, tmp_path: Path) -> None:
    """The proxy sees where connections go to, its own credentials, and nothing of what is sent."""
    way: dict[str, Any] = {"ssl": trusting(), "proxy": with_password(forward), "headers": HEADERS}
    async with await ComfyConnector.attach(named(secure), **way, browser="lazy") as attached:
        await use(attached, tmp_path)
        found = await attached.diagnostics()

    port = URL(secure.url).port
    assert set(forward.targets) == {f"CONNECT {NAME}:{port}"}
    assert all(headers["proxy-authorization"] == AUTHORIZATION for _, _, headers in forward.seen)
    assert not any("authorization" in headers for _, _, headers in forward.seen)
    assert {"/ws", "/upload/image", "/prompt"} <= set(secure.seen)
    assert found["engine"]["proxy"] == forward.url


async def test_proxy_to_http(plain: AuthProxy, forward: ForwardProxy, tmp_path: Path) -> None:
    """Without TLS each request goes to the proxy with its whole address, the socket's too."""
    proxy = with_password(forward)
    async with await ComfyConnector.attach(named(plain), headers=HEADERS, proxy=proxy, browser="lazy") as attached:
        await use(attached, tmp_path)

    assert all(target.split(" ")[1].startswith(f"http://{NAME}:") for target in forward.targets)
    assert any("/ws?clientId=" in target for target in forward.targets)
    assert {"/ws", "/upload/image", "/prompt"} <= set(plain.seen)


@pytest.mark.browser
@pytest.mark.parametrize("is_secure", [True, False], ids=["https", "http"])
async def test_proxy_of_the_page(secure: AuthProxy, plain: AuthProxy, forward: ForwardProxy, is_secure: bool) -> None:
    """A conversion on a server that only the proxy can reach."""
    server = secure if is_secure else plain
    way: dict[str, Any] = {"ssl": trusting(), "proxy": with_password(forward), "headers": HEADERS}
    async with await ComfyConnector.attach(named(server), **way, browser="lazy") as attached:
        prompt = await attached.get_prompt_from_workflow(picture_workflow(0x654321, prefix="through/proxy"))

    assert prompt
    assert "/api/object_info" in server.seen


@pytest.mark.parametrize("is_secure", [True, False], ids=["https", "http"])
async def test_wrong_credentials_for_the_proxy(
    secure: AuthProxy, plain: AuthProxy, forward: ForwardProxy, is_secure: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is the proxy's, and shows no credentials, right or wrong; nor does any log line."""
    caplog.set_level(logging.DEBUG)
    proxy = str(URL(forward.url).with_user(USER).with_password("wrong-secret"))
    with pytest.raises(ServerConnectionError, match="407") as caught:
        await ComfyConnector.attach(
            named(secure if is_secure else plain), ssl=trusting(), headers=HEADERS, proxy=proxy, browser="lazy"
        )

    wrong = base64.b64encode(f"{USER}:wrong-secret".encode()).decode()
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
    assert [secret for secret in ("wrong-secret", wrong, "for-the-server") if secret in shown] == []


async def test_proxy_that_is_not_there(secure: AuthProxy, unused_tcp_port: int) -> None:
    """It is named as the one that does not answer."""
    with pytest.raises(ServerConnectionError, match="cannot connect to the proxy"):
        await ComfyConnector.attach(secure.url, proxy=f"http://127.0.0.1:{unused_tcp_port}", browser="lazy")


async def test_nothing_shows_the_password_of_the_proxy(
    plain: AuthProxy, forward: ForwardProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """No repr, no report and no log line has it, also if somebody else echoes it."""
    caplog.set_level(logging.DEBUG)
    proxy = with_password(forward)
    async with await ComfyConnector.attach(plain.url, headers=HEADERS, proxy=proxy, browser="lazy") as attached:
        await attached.run_workflow(show_prompt(62), False)
        parts = attached._parts
        shown = repr([attached, parts, parts.route, parts.client, parts.get_converter()])
        shown += str(await attached.diagnostics()) + caplog.text

    assert "hunter2" not in shown
    assert _GIVEN not in shown


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"ssl": "server.pem"}, "ssl='server.pem'.*ssl.SSLContext"),
        ({"proxy": "socks5://me:hunter2@localhost:1080"}, "proxy.*must be an http URL"),
        ({"proxy": "https://me:hunter2@localhost:1080"}, "proxy.*must be an http URL"),
        ({"proxy": "http://me:hunter2@"}, "proxy.*must be an http URL"),
        ({"proxy": 3128}, "must be a URL, not a int"),
    ],
    ids=str,
)
async def test_wrong_arguments(arguments: dict[str, Any], problem: str) -> None:
    """Each is a ConfigurationError that names the argument, and shows no password."""
    with pytest.raises(ConfigurationError, match=problem) as caught:
        await ComfyConnector.attach("http://127.0.0.1:9", browser="lazy", **arguments)

    assert "hunter2" not in str(caught.value) + repr(vars(caught.value))
