"""A run whose server is lost, silent or given up before the run is submitted, on a scripted client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from unit.core.test_runs import Bench, out_of_memory, succeed

from discomfort.connector.run_policy import RunRequest
from discomfort.connector.server_loss import ServerLoss
from discomfort.connector.states import State
from discomfort.conversion import Converter
from discomfort.exceptions import (
    ConversionError,
    RunTimeout,
    ServerDiedError,
    ServerResponseError,
)

PROMPT = {"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}}


# --- definitions for the names of uploads ----------------------------------------------------------------------------


def with_upload(bench: Bench, definitions: Any, folder: Path) -> None:
    """``cats/a.png`` was uploaded to the owned server, which answers as ``definitions`` does."""
    (folder / "cats").mkdir()
    (folder / "cats" / "a.png").touch()
    bench.parts.engine = SimpleNamespace(kind="comfyui", folders=SimpleNamespace(input=folder))
    bench.parts.client.shared_definitions = definitions
    bench.runner.uploads.note("a.png", "cats")


async def never() -> Any:
    """No answer."""
    await asyncio.Event().wait()


async def test_definitions_that_never_come(tmp_path: Path) -> None:
    """The run's timeout covers them; the prompt was not sent."""
    bench = Bench(succeed)
    with_upload(bench, never, tmp_path)
    with pytest.raises(RunTimeout, match="node definitions within 0.05 s") as caught:
        await bench.runner.run(RunRequest(PROMPT, deadline=time.monotonic() + 0.05, timeout=0.05))

    assert caught.value.timeout == 0.05
    assert bench.ids == []


async def test_definitions_of_a_server_that_dies(tmp_path: Path) -> None:
    """A run without a timeout does not wait for a dead server."""
    bench, asked = Bench(succeed), asyncio.Event()

    async def ask() -> Any:
        asked.set()
        await never()

    with_upload(bench, ask, tmp_path)
    running = asyncio.create_task(bench.runner.run(RunRequest(PROMPT)))
    await asked.wait()
    bench.loss._calls.server_lost(bench.kill())
    with pytest.raises(ServerDiedError):
        await running


async def test_server_without_definitions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An answer that is an error counts as none: the prompt is sent as it is."""
    sent: list[Any] = []

    async def refuse() -> Any:
        raise ServerResponseError("no definitions", method="GET", url="http://x", status=500, body="")

    bench = Bench(succeed)
    with_upload(bench, refuse, tmp_path)
    run = bench.parts.client.run
    bench.parts.client.run = lambda prompt, **options: (sent.append(prompt), run(prompt, **options))[1]
    assert await bench.runner.run(RunRequest(PROMPT))

    assert sent == [PROMPT]
    assert "no definitions" in caplog.text


async def test_death_before_the_second_submission(tmp_path: Path) -> None:
    """The first one had ended; a death before the next one reached the client leaves nothing in doubt."""

    async def fill(bench: Bench, run: Any) -> dict[str, Any]:
        run.stage = "ended"
        raise out_of_memory()

    asked = 0

    async def die_once() -> Any:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise bench.kill()
        return {}

    bench = Bench(fill, succeed, on_server_death="restart_and_resubmit", on_out_of_memory="retry_once")
    with_upload(bench, die_once, tmp_path)
    assert await bench.runner.run(RunRequest(PROMPT))

    assert (asked, len(bench.ids)) == (3, 2)


# --- a conversion that the server's end broke ------------------------------------------------------------------------


@pytest.fixture
async def converter(unused_tcp_port: int, tmp_path: Path) -> AsyncIterator[Converter]:
    """A converter with an open gateway to a server that is gone, and no browser."""
    made = Converter(f"http://127.0.0.1:{unused_tcp_port}", directory=tmp_path / "browser")
    await made._open_gateway()
    yield made
    await made.aclose()


class Dying:
    """A server's process whose end is known only to who waits for it."""

    running, worker_died = True, False

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.waited = 0

    async def wait(self) -> None:
        """Until its end."""
        self.waited += 1
        self._bench.kill()


@pytest.mark.parametrize("asks", [True, False])
async def test_conversion_whose_server_is_lost(converter: Converter, *, asks: bool) -> None:
    """An unanswered request of the gateway makes the death the reason; any other error costs no wait."""
    bench = Bench()
    bench.parts.converter, bench.parts.supervisor = converter, Dying(bench)

    async def convert() -> None:
        if asks:
            with pytest.raises(aiohttp.ClientConnectorError):
                await converter._gateway.get("/object_info")
        raise ConversionError("the page failed")

    with pytest.raises(ServerDiedError if asks else ConversionError) as caught:
        await bench.prompts.with_server(convert)

    assert isinstance(caught.value.__cause__, ConversionError) is asks
    assert bench.parts.supervisor.waited == int(asks)


# --- a server that is given up ---------------------------------------------------------------------------------------


async def test_server_that_is_given_up() -> None:
    """Only the one that was meant: another was started since, or is being started. Its own exit is no further loss."""
    bench, failed = Bench(), []
    bench.parts.client = SimpleNamespace(runs=[], fail_pending=failed.append, connected=False, pending=0)
    bench.parts.supervisor = SimpleNamespace(running=True, worker_died=False)
    death = ServerDiedError("it was given up")
    count = bench.recovery.count
    bench.kill()

    ServerLoss.give_up(bench.loss, death, count)
    assert (bench.recovery.count, bench.lifecycle.state, failed) == (count + 1, State.READY, [])

    ServerLoss.give_up(bench.loss, death, count + 1)
    assert (bench.recovery.count, bench.lifecycle.state, len(failed)) == (count + 2, State.ERROR, 1)
    assert bench.recovery.last is death
    assert bench.recovery.under_way

    bench.parts.supervisor.running = False
    bench.loss.notice()
    ServerLoss.give_up(bench.loss, death, count + 2)
    assert (bench.recovery.count, len(failed)) == (count + 2, 1)
    await bench.recovery.settled()
    assert bench.readied == 1
