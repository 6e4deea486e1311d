"""Readiness: noticed at once, and only of our own server; failure reported with its reason."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from waiting import until

from discomfort.exceptions import ServerStartError, ServerStartTimeout
from discomfort.server import readiness
from discomfort.server.readiness import responds, start_budget, wait_until_ready
from discomfort.server.supervisor import Supervisor

Start = Callable[..., Supervisor]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def url_of(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("attempts", "sleep", "seconds"), [(10, 1.0, 303), (1, 1.0, 1), (3, 2.0, 14), (2, 100.0, 120), (2000, 60, 120_000)]
)
def test_start_budget(attempts: int, sleep: float, seconds: float) -> None:
    """Exponential growth, each step at most a minute, and no overflow."""
    assert start_budget(attempts, sleep) == seconds


@pytest.fixture
async def foreign() -> AsyncIterator[tuple[str, dict[str, web.StreamResponse | float]]]:
    """An HTTP server of this process; what it answers to ``GET /prompt`` can be set, a number means after seconds."""
    answers: dict[str, web.StreamResponse | float] = {}

    async def answer(_: web.Request) -> web.StreamResponse:
        found = answers["/prompt"]
        if isinstance(found, float):
            await asyncio.sleep(found)
            return web.Response()
        return found

    app = web.Application()
    app.router.add_get("/prompt", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield url_of(port), answers
    await runner.cleanup()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda: web.json_response({"exec_info": {"queue_remaining": 0}}), True),
        (lambda: web.json_response({"exec_info": 3}), False),
        (lambda: web.json_response([]), False),
        (lambda: web.json_response({"exec_info": {}}, status=500), False),
        (lambda: web.Response(text="<html>"), False),
        (lambda: web.Response(status=302, headers={"Location": "/prompt"}), False),
        (lambda: 30.0, False),
    ],
)
async def test_responds(
    foreign: tuple[str, dict[str, web.StreamResponse | float]],
    answer: Callable[[], web.StreamResponse | float],
    expected: bool,
) -> None:
    """Only the answer of a ComfyUI, in time, counts."""
    url, answers = foreign
    answers["/prompt"] = answer()
    async with aiohttp.ClientSession() as session:
        assert await responds(session, url + "/", timeout=5.0 if expected else 0.2) is expected


async def test_nobody_there_does_not_respond() -> None:
    """No connection is a plain no."""
    async with aiohttp.ClientSession() as session:
        assert await responds(session, url_of(free_port())) is False


async def test_ready_when_it_serves(start: Start, tmp_path: Path) -> None:
    """The wait ends once the server answers, however late within the budget."""
    port = free_port()
    server = start("--when", tmp_path / "now", "--port", port)
    task = asyncio.ensure_future(wait_until_ready(server, url_of(port), budget=60))
    await asyncio.sleep(0)
    assert not task.done()
    (tmp_path / "now").touch()
    await task

    assert server.running


async def test_an_exit_is_reported_at_once(start: Start) -> None:
    """Long before the budget ends: exit code, log tail, cause, remedy and command."""
    server = start("--say", "ModuleNotFoundError: No module named 'torch'", "--exit", 1)
    begun = time.monotonic()
    with pytest.raises(ServerStartError, match=r"\(exit code 1\).*lacks the module 'torch'") as caught:
        await wait_until_ready(server, url_of(free_port()), budget=600)

    assert time.monotonic() - begun < 300
    assert not isinstance(caught.value, TimeoutError)
    assert caught.value.exit_code == 1
    assert caught.value.log_tail == ("ModuleNotFoundError: No module named 'torch'",)
    assert caught.value.command == server.command.argv
    assert server.command.argv[0] in caught.value.remedy


async def test_an_exit_by_signal(start: Start) -> None:
    """The signal is named."""
    with pytest.raises(ServerStartError, match="killed by SIGKILL"):
        await wait_until_ready(start("--kill-self"), url_of(free_port()), budget=60)


async def test_a_port_that_never_answers(start: Start) -> None:
    """A server that accepts and says nothing runs into the budget, and is left to the caller."""
    port = free_port()
    server = start("--port", port, "--mute", "--say", "booting")
    await until(lambda: "booting" in server.log_tail())
    with pytest.raises(ServerStartTimeout, match=r"within 0\.3 s") as caught:
        await wait_until_ready(server, url_of(port), budget=0.3)

    assert isinstance(caught.value, TimeoutError)
    assert "booting" in caught.value.log_tail
    assert "START_TIMEOUT" in caught.value.remedy
    assert server.running


async def test_the_rest_of_a_budget(start: Start) -> None:
    """The error names the whole budget, which somebody set, and not what was left of it."""
    port = free_port()
    with pytest.raises(ServerStartTimeout, match=r"within 7 s"):
        await wait_until_ready(start("--port", port, "--mute"), url_of(port), budget=0.1, whole=7.0)


async def test_a_stranger_on_the_port_is_not_ours(
    start: Start, foreign: tuple[str, dict[str, web.StreamResponse | float]], caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:  # fmt: skip
    """A foreign ComfyUI that answers does not pass for ours, which then fails on the taken port."""
    url, answers = foreign
    answers["/prompt"] = web.json_response({"exec_info": {"queue_remaining": 0}})
    server = start("--when", tmp_path / "now", "--port", url.rpartition(":")[2])
    task = asyncio.ensure_future(wait_until_ready(server, url, budget=60))
    await until(lambda: "not the server that was started" in caplog.text)
    (tmp_path / "now").touch()
    with pytest.raises(ServerStartError, match="took its port"):
        await task


async def test_a_child_of_the_server_may_serve(start: Start, tmp_path: Path) -> None:
    """The listener may be a descendant, as under a wrapper script."""
    port = free_port()
    inner = start("--port", port)
    wrapper = start()
    probes_own = readiness.process_tree.members

    def members(pid: int, token: str, *, leader_lives: bool) -> set[object]:
        return {readiness.psutil.Process(inner.pid), *probes_own(pid, token, leader_lives=leader_lives)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readiness.process_tree, "members", members)
        await wait_until_ready(wrapper, url_of(port), budget=60)

    assert wrapper.running


@pytest.mark.parametrize("looks", [["unseen", "unseen"], ["unseen", "other", "unseen", "own"]])
async def test_a_listener_that_nobody_sees(start: Start, monkeypatch: pytest.MonkeyPatch, looks: list[str]) -> None:
    """It counts when it was not to be seen twice in a row; once may be a stranger that just ended."""
    port = free_port()
    server = start("--port", port)
    answers = iter([{"unseen": readiness._UNSEEN, "other": "another program", "own": None}[look] for look in looks])
    monkeypatch.setattr(readiness, "_stranger_on", lambda *_: next(answers))

    await wait_until_ready(server, url_of(port), budget=60)

    assert next(answers, "all were asked for") == "all were asked for"


async def test_cancelling_the_wait(start: Start) -> None:
    """The process stays, and no task does."""
    server = start()
    task = asyncio.ensure_future(wait_until_ready(server, url_of(free_port()), budget=60))
    await until(lambda: len(asyncio.all_tasks()) >= 4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert server.running
    assert asyncio.all_tasks() == {asyncio.current_task()}


class TestStranger:
    """Who listens on the port, as far as the system tells."""

    def test_what_can_not_be_looked_at_counts_as_ours(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that runs under another user must not be refused for that."""
        server = start()

        def deny(*_: object) -> None:
            raise readiness.psutil.AccessDenied

        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            port = int(listener.getsockname()[1])
            assert "another program" in (readiness._stranger_on(server, port) or "")
            monkeypatch.setattr(readiness.psutil.Process, "net_connections", deny)
            assert readiness._stranger_on(server, port) is None

    def test_nobody_that_can_be_seen(self, start: Start) -> None:
        """A listener in another container is seen by nobody here; it counts as ours once it has answered twice."""
        assert readiness._stranger_on(start(), free_port()) == readiness._UNSEEN

    def test_a_server_that_ended_is_not_who_answers(self, start: Start) -> None:
        """Its end is about to be reported, so an answer is not taken for it."""
        server = start()
        server.kill_now()

        assert readiness._stranger_on(server, free_port()) == "another program"
