"""Each request: its shape, its deadline, and the one mapping of what goes wrong."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from unit.client.fake_comfy import FakeComfy

from discomfort.client.rest import RestClient, never_sent
from discomfort.exceptions import ServerConnectionError, ServerResponseError


@pytest.fixture
async def rest(server: FakeComfy) -> AsyncIterator[RestClient]:
    """A client of the fake server."""
    async with aiohttp.ClientSession() as session:
        yield RestClient(session, server.url, {"Authorization": "Bearer x"})


async def test_headers_go_with_every_request(server: FakeComfy, rest: RestClient) -> None:
    """They are in no representation of it."""
    await rest.queue()
    await rest.delete(["a"])

    assert [headers["Authorization"] for headers in server.headers] == ["Bearer x"] * 2
    assert "Bearer" not in repr(rest)


async def test_ids_are_percent_encoded(server: FakeComfy, rest: RestClient) -> None:
    """An id may hold a slash."""
    server.history["a/b c?d"] = {"outputs": {}}

    assert await rest.history("a/b c?d") == {"a/b c?d": {"outputs": {}}}


async def test_an_empty_interrupt_is_refused(server: FakeComfy, rest: RestClient) -> None:
    """It would interrupt everybody's prompt."""
    with pytest.raises(ValueError, match="empty prompt_id"):
        await rest.interrupt("")

    assert server.paths() == []


async def test_upload_streams_and_returns_the_name_of_the_server(
    server: FakeComfy, rest: RestClient, tmp_path: Path
) -> None:
    """The name is sent as it is, and another one comes back where it is taken."""
    source = tmp_path / 'ü "x" y.png'
    source.write_bytes(b"1" * 3_000_000)

    first = await rest.upload(source, "input", "sub")
    again = await rest.upload(source, "input", "sub", overwrite=True)
    source.write_bytes(b"2")
    second = await rest.upload(source, "temp", "")

    assert first == again == {"name": source.name, "subfolder": "sub", "type": "input"}
    assert second == {"name": 'ü "x" y (1).png', "subfolder": "", "type": "temp"}
    assert len(server.files[source.name]) == 3_000_000


async def test_upload_of_nothing(rest: RestClient, tmp_path: Path) -> None:
    """A missing file is a FileNotFoundError, a name with a line break is refused."""
    with pytest.raises(FileNotFoundError):
        await rest.upload(tmp_path / "none.png")
    bad = tmp_path / "a\r\nb.png"
    bad.write_bytes(b"")
    with pytest.raises(ValueError, match="control characters"):
        await rest.upload(bad)


async def test_view_as_bytes_and_as_stream(server: FakeComfy, rest: RestClient) -> None:
    """In one piece, and into a file."""
    server.files["temp/s/a.bin"] = b"x" * 2_500_000
    target = io.BytesIO()

    assert await rest.view("a.bin", "s", "temp") == server.files["temp/s/a.bin"]
    assert await rest.view_to(target, "a.bin", "s", "temp") == 2_500_000
    assert target.getvalue() == server.files["temp/s/a.bin"]


async def test_errors_of_the_target_are_not_the_servers(server: FakeComfy, rest: RestClient) -> None:
    """A full disk stays an OSError of its own."""
    server.files["output//a.bin"] = b"x"

    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space") as caught:
        await rest.view_to(Full(), "a.bin")

    assert not isinstance(caught.value, ServerConnectionError)


async def test_nobody_listens() -> None:
    """The request was never sent."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ServerConnectionError, match="cannot connect") as caught:
            await RestClient(session, f"http://127.0.0.1:{unused_port()}").queue()

    assert never_sent(caught.value)


async def test_no_answer_in_time(server: FakeComfy, rest: RestClient) -> None:
    """A deadline is a connection error, and the server may have the request."""
    release = asyncio.Event()

    async def hang(_: web.Request) -> None:
        await release.wait()

    server.fault = hang
    with pytest.raises(ServerConnectionError, match="no answer") as caught:
        await rest.queue(deadline=0.05)
    release.set()

    assert not never_sent(caught.value)


async def test_connection_that_breaks(server: FakeComfy, rest: RestClient) -> None:
    """Also an error of the connection."""

    async def abort(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    server.fault = abort
    with pytest.raises(ServerConnectionError, match="broke") as caught:
        await rest.delete(["a"])

    assert not never_sent(caught.value)


@pytest.mark.parametrize(
    ("status", "text", "problem"),
    [
        (500, "x", "unexpected status"),
        (401, "", "not authorized"),
        (413, "", "max-upload-size"),
        (302, "", "redirected"),
        (200, "<html>", "not JSON"),
        (200, "[]", "not a JSON object"),
        (200, "[" * 200_000, "not JSON"),
    ],
)
async def test_answers_outside_the_protocol(
    server: FakeComfy, rest: RestClient, status: int, text: str, problem: str
) -> None:
    """They carry method, status and the beginning of the body."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers={"Location": "/other"} if status == 302 else {})

    server.fault = answer
    with pytest.raises(ServerResponseError, match=problem) as caught:
        await rest.queue()

    assert (caught.value.status, caught.value.method) == (status, "GET")
    assert len(caught.value.body) <= 2000


async def test_a_closed_session_is_a_connection_error(server: FakeComfy) -> None:
    """Not a bare RuntimeError."""
    session = aiohttp.ClientSession()
    rest = RestClient(session, server.url)
    await session.close()

    with pytest.raises(ServerConnectionError, match="closed"):
        await rest.queue()


async def test_a_large_body_is_sent(server: FakeComfy, rest: RestClient) -> None:
    """In pieces, without a warning of aiohttp."""
    ids = ["x" * 100_000 for _ in range(30)]

    await rest.delete(ids)

    assert server.bodies("/queue") == [{"delete": ids}]
