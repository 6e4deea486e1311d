"""A connector on the emulator whose server dies, is given up, or is looked at: what callers and processes see."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from contract.engines import emulator_home, private_environment
from contract.graphs import Recorder, gate_prompt, node, show_prompt, texts_of
from ports import first_port
from waiting import until

from discomfort import ComfyConnector, SyncConnector
from discomfort.connector import cancellation, recovery
from discomfort.exceptions import (
    ExecutionInterrupted,
    FatalPromptError,
    OutOfMemoryError,
    RestartLimitError,
    ResultLostError,
    RunTimeout,
    ServerDiedError,
    ServerStartError,
)
from discomfort.progress import Done
from discomfort.server.supervisor import Supervisor

Create = Callable[..., Awaitable[ComfyConnector]]


@pytest.fixture(autouse=True)
def private_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Journals of the test's own, and no long pauses between restarts."""
    monkeypatch.setattr(recovery, "FIRST_PAUSE", 0.01)
    with private_environment(tmp_path / "private"):
        yield


@pytest.fixture
async def create(tmp_path: Path) -> AsyncIterator[Create]:
    """Starts a connector on an emulator of the test's own; it is released at the end."""
    (tmp_path / "home").mkdir()
    engine = emulator_home(tmp_path / "home", initial_port=first_port(19600))
    made: list[ComfyConnector] = []

    async def start(**settings: Any) -> ComfyConnector:
        made.append(await ComfyConnector.create(**{**engine.settings, "browser": "lazy", **settings}))
        return made[-1]

    yield start
    for connector in made:
        await connector.kill_api()
        assert not connector._wired.background._tasks


def supervisor_of(connector: ComfyConnector) -> Supervisor:
    """The process that serves now."""
    assert connector._parts.supervisor is not None
    return connector._parts.supervisor


def kill(connector: ComfyConnector) -> None:
    """SIGKILL to the server."""
    psutil.Process(supervisor_of(connector).pid).kill()


def is_another(connector: ComfyConnector, pid: int) -> bool:
    """Whether the connector is ready with another server than that process."""
    supervisor = connector._parts.supervisor
    return connector.state == "ready" and supervisor is not None and supervisor.pid != pid


async def test_runs_survive_under_their_ids(create: Create, tmp_path: Path) -> None:
    """The running and the queued prompt are submitted again to a new server, each under its id, each with one end."""
    connector = await create(on_server_death="restart_and_resubmit")
    first, second = Recorder(), Recorder()
    running_run = asyncio.create_task(connector.run_workflow(gate_prompt(tmp_path / "g"), False, on_progress=first))
    await first.running()
    queued_run = asyncio.create_task(connector.run_workflow(show_prompt(5), False, on_progress=second))
    await second.queued()
    old = supervisor_of(connector).pid
    # The server tells that a node starts before it calls it.
    await until((tmp_path / "g.entered").exists)
    (tmp_path / "g.entered").unlink()
    kill(connector)
    await supervisor_of(connector).wait()
    (tmp_path / "g").touch()
    histories = await asyncio.gather(running_run, queued_run)

    assert (tmp_path / "g.entered").exists()
    assert texts_of(histories[1]) == ["5"]
    for history, recorder in zip(histories, (first, second), strict=True):
        assert {event.prompt_id for event in recorder.events} == set(history)
        assert recorder.of(Done) == [Done(next(iter(history)), success=True)]
    assert supervisor_of(connector).pid != old
    assert connector.state == "ready"


async def test_restart_happens_at_once_and_runs_raise(create: Create, tmp_path: Path) -> None:
    """``restart``: the pending run raises, and the server is back without any call."""
    connector = await create(on_server_death="restart")
    recorder = Recorder()
    run = asyncio.create_task(connector.run_workflow(gate_prompt(tmp_path / "g"), False, on_progress=recorder))
    await recorder.running()
    kill(connector)
    with pytest.raises(ServerDiedError):
        await run
    await connector._recovery.settled()

    assert connector.state == "ready"
    assert await connector._validate_resources()


@pytest.mark.parametrize("policy", ["restart", "restart_and_resubmit"])
async def test_idle_server_comes_back_without_a_call(create: Create, policy: str) -> None:
    """A service whose health check fails gets no calls: the server is started although nothing was running."""
    connector = await create(on_server_death=policy)
    for _ in range(2):
        old = supervisor_of(connector).pid
        kill(connector)
        await until(lambda old=old: is_another(connector, old))

    assert await connector._validate_resources()


async def test_idle_server_stays_down_by_default(create: Create) -> None:
    """``raise``: nothing is started until a call comes, which then waits for the server."""
    connector = await create()
    kill(connector)
    await until(lambda: connector.state == "error")
    assert not connector._recovery.under_way

    assert texts_of(await connector.run_workflow(show_prompt(5), False)) == ["5"]


async def test_server_beyond_its_limit_comes_back_without_a_call(create: Create) -> None:
    """Calls raise until the window has moved on; then the server is started, though no call comes."""
    connector = await create(on_server_death="restart", max_restarts=1)
    moved, shift = asyncio.Event(), [0.0]

    async def sleep(seconds: float) -> None:
        if seconds > recovery.LONGEST_PAUSE:
            await moved.wait()

    connector._recovery._sleep = sleep
    connector._recovery.budget._clock = lambda: time.monotonic() + shift[0]
    first = supervisor_of(connector).pid
    kill(connector)
    await until(lambda: is_another(connector, first))
    second = supervisor_of(connector).pid
    kill(connector)
    await until(lambda: connector.state == "error" and not connector._recovery.under_way)
    with pytest.raises(RestartLimitError, match="the next one is possible in"):
        await connector.run_workflow(show_prompt(1), False)
    assert (await connector.diagnostics())["state"]["next_restart_in"] > 0

    shift[0] = recovery.WINDOW + 1
    moved.set()
    await until(lambda: is_another(connector, second))

    assert texts_of(await connector.run_workflow(show_prompt(2), False)) == ["2"]


async def test_poison_does_not_loop(create: Create) -> None:
    """A prompt that ends the server each time is refused after two deaths; the next run has a server."""
    connector = await create(on_server_death="restart_and_resubmit")
    prompt = {"1": node("ContractDie", code=42, signal=0, last_words="poison")}

    with pytest.raises(FatalPromptError) as caught:
        await connector.run_workflow(prompt, False)
    assert len(caught.value.deaths) == 2
    assert caught.value.exit_code == 42
    assert str(caught.value).count("poison") == 2
    assert texts_of(await connector.run_workflow(show_prompt(1), False)) == ["1"]


async def test_limit_and_the_way_out(create: Create) -> None:
    """Beyond the limit calls raise the story; ``create`` is the user's own will and starts the server again."""
    connector = await create(on_server_death="restart", max_restarts=0)
    kill(connector)
    await supervisor_of(connector).wait()
    connector._wired.loss.notice()
    for _ in range(2):
        with pytest.raises(RestartLimitError) as caught:
            await connector.run_workflow(show_prompt(1), False)
    assert "SIGKILL" in str(caught.value)

    assert await create(on_server_death="restart", max_restarts=0) is connector
    assert texts_of(await connector.run_workflow(show_prompt(2), False)) == ["2"]


async def test_result_that_was_lost(create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that dies between the end of a run and the reading of its record: not executed again, and said so."""
    connector = await create(on_server_death="restart_and_resubmit")
    client = connector._server.client()

    async def die(*_: Any, **__: Any) -> Any:
        kill(connector)
        await asyncio.Event().wait()

    monkeypatch.setattr(client.rest, "history", die)
    with pytest.raises(ResultLostError) as caught:
        await connector.run_workflow(show_prompt(1), False)
    assert isinstance(caught.value.__cause__, ServerDiedError)


async def test_kill_api_during_a_restart(create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shutting down ends a restart that waits for its time, and leaves nothing."""
    connector = await create(on_server_death="restart_and_resubmit", max_restarts=9)
    waiting = asyncio.Event()

    async def sleep(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    async def fail(*_: Any) -> None:
        raise ServerStartError("no")

    monkeypatch.setattr(connector._recovery, "_sleep", sleep)
    monkeypatch.setattr(connector._recovery, "_start", fail)
    run = asyncio.create_task(connector.run_workflow(show_prompt(1), False))
    kill(connector)
    await asyncio.wait([asyncio.create_task(waiting.wait())])
    await connector.kill_api()
    outcome = (await asyncio.gather(run, return_exceptions=True))[0]

    assert isinstance(outcome, ExecutionInterrupted)
    assert connector.state == "killed"
    assert not connector._recovery.under_way


async def test_deaf_node_costs_the_server(create: Create, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is free at its deadline; the node that ignores its interrupt is ended with its server."""
    monkeypatch.setattr(cancellation, "_LOOK_EVERY", 0.01)
    connector = await create(cancel_restart_after=0.05)
    old = supervisor_of(connector)
    with pytest.raises(RunTimeout):
        await connector.run_workflow(gate_prompt(tmp_path / "g", deaf=True), False, timeout=0.5)
    await old.wait()

    assert texts_of(await connector.run_workflow(show_prompt(3), False)) == ["3"]
    assert supervisor_of(connector) is not old
    reasons = [event.get("problem", "") for event in connector._events.events]
    assert any("kept running for 0.05 s" in str(reason) for reason in reasons)


async def test_memory_is_freed(create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run out of memory asks the server to free it; with the policy it is tried once more."""
    connector = await create(on_out_of_memory="retry_once")
    calls = []
    free = connector._server.client().rest.free

    async def spy(**arguments: Any) -> None:
        calls.append(arguments)
        await free(**arguments)

    monkeypatch.setattr(connector._server.client().rest, "free", spy)
    with pytest.raises(OutOfMemoryError):
        await connector.run_workflow({"1": node("ContractFail", kind="MemoryError", message="full")}, False)
    assert len(calls) == 2
    assert texts_of(await connector.run_workflow(show_prompt(4), False)) == ["4"]


async def test_a_look_costs_one_request_on_an_open_connection(create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
    """No session is made and no definitions are fetched to see whether all is well."""
    connector = await create()
    calls: list[str] = []
    call = connector._server.client().rest._call

    async def spy(method: str, path: str, *rest: Any) -> Any:
        calls.append(f"{method} {path}")
        return await call(method, path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(connector._server.client().rest, "_call", spy)
    monkeypatch.setattr("aiohttp.ClientSession", None)
    for _ in range(20):
        assert await connector._validate_resources()

    assert calls == ["GET /prompt"] * 20


async def test_ill_parts_are_named(create: Create, caplog: pytest.LogCaptureFixture) -> None:
    """A stopped process and a dead one are told apart, and named in the log once."""
    connector = await create()
    assert set((await connector.health()).values()) == {""}

    process = psutil.Process(supervisor_of(connector).pid)
    process.suspend()
    await until(lambda: process.status() == psutil.STATUS_STOPPED)
    assert "stopped" in (await connector.health())["server process"]
    assert await connector._validate_resources() is False
    assert await connector._validate_resources() is False
    process.resume()
    process.kill()
    await supervisor_of(connector).wait()
    assert (await connector.health())["server process"] == "died: killed by SIGKILL"
    assert [record.message for record in caplog.records if "not healthy" in record.message].count(
        "not healthy: server process is stopped (SIGSTOP, or a debugger)"
    ) == 1


async def test_create_again_leaves_a_slow_server_alone(create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is too busy to answer is not restarted by the next ``create``: runs of others are on it."""
    connector = await create()
    old = supervisor_of(connector)

    async def silent(**_: Any) -> int:
        from discomfort.exceptions import ServerConnectionError

        raise ServerConnectionError("no answer within 1 s", url="http://x")

    monkeypatch.setattr(connector._server.client().rest, "remaining", silent)

    assert await create() is connector
    assert supervisor_of(connector) is old


WORKER_DIED = b"Exception in thread Thread-1 (prompt_worker):\n"


async def test_worker_that_died(create: Create, tmp_path: Path) -> None:
    """A server that says that its execution thread ended is a dead one: its run ends, the next has a new server."""
    connector = await create()
    old, recorder = supervisor_of(connector), Recorder()
    run = asyncio.create_task(connector.run_workflow(gate_prompt(tmp_path / "g"), False, on_progress=recorder))
    await recorder.running()
    old._take_output(WORKER_DIED)
    with pytest.raises(ServerDiedError, match="execution thread died"):
        await run
    assert (await connector.health())["server process"] == "answers, but its execution thread died"

    assert texts_of(await connector.run_workflow(show_prompt(6), False)) == ["6"]
    assert supervisor_of(connector) is not old


async def test_result_is_still_read_from_a_server_without_worker(
    create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had ended before the execution thread did has its record read: the result counts."""
    connector = await create(on_server_death="restart_and_resubmit")
    rest, release = connector._server.client().rest, asyncio.Event()
    history = rest.history

    async def late(prompt_id: str, **arguments: Any) -> Any:
        supervisor_of(connector)._take_output(WORKER_DIED)
        await release.wait()
        return await history(prompt_id, **arguments)

    monkeypatch.setattr(rest, "history", late)
    run = asyncio.create_task(connector.run_workflow(show_prompt(1), False))
    await until(lambda: connector._wired.loss._noticed is not None)
    assert [pending.stage for pending in connector._server.client().runs] == ["ended"]
    release.set()

    assert texts_of(await run) == ["1"]
    await until(lambda: connector.state != "ready")
    assert texts_of(await connector.run_workflow(show_prompt(2), False)) == ["2"]


async def test_background_work_that_fails_is_logged(create: Create, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing that happens in the background is swallowed."""
    connector = await create()

    async def fail() -> None:
        raise ValueError("a defect")

    await asyncio.wait([connector._wired.background.spawn(fail(), "discomfort-test")])

    assert "discomfort-test failed" in caplog.text


async def test_stuck_server_is_given_up(create: Create, tmp_path: Path) -> None:
    """What the watch of the queue finds ends the pending runs with its words; the next run has a new server."""
    connector = await create()
    old, recorder = supervisor_of(connector), Recorder()
    run = asyncio.create_task(connector.run_workflow(gate_prompt(tmp_path / "g"), False, on_progress=recorder))
    await recorder.running()
    connector._wired.loss.is_stuck("it takes no prompts any more")
    with pytest.raises(ServerDiedError, match="takes no prompts"):
        await run
    assert connector.state == "error"

    assert texts_of(await connector.run_workflow(show_prompt(6), False)) == ["6"]
    assert supervisor_of(connector) is not old


async def test_stuck_attached_server(create: Create, tmp_path: Path) -> None:
    """On somebody else's server the runs end, health says why, and a run that works clears it."""
    owner = await create()
    async with await ComfyConnector.attach(owner.server_address, browser="lazy") as connector:
        recorder = Recorder()
        run = asyncio.create_task(connector.run_workflow(gate_prompt(tmp_path / "g"), False, on_progress=recorder))
        await recorder.running()
        connector._wired.loss.is_stuck("it takes no prompts any more")
        with pytest.raises(ServerDiedError, match="takes no prompts"):
            await run
        assert (await connector.health())["execution"] == "it takes no prompts any more"
        (tmp_path / "g").touch()
        await connector.run_workflow(show_prompt(7), False)
        assert await connector._validate_resources()
    assert owner.state == "ready"


@pytest.mark.parametrize("waits", [True, False])
async def test_a_death_is_read_once(
    create: Create, caplog: pytest.LogCaptureFixture, tmp_path: Path, waits: bool
) -> None:
    """Who waits for the server gets its death as an error; only one that nobody waits for is an error in the log."""
    connector = await create()
    with caplog.at_level(logging.ERROR, "discomfort"):
        if waits:
            run = asyncio.create_task(connector.run_workflow(gate_prompt(tmp_path / "g"), False))
            await until(lambda: bool(connector._server.client().runs))
            kill(connector)
            with pytest.raises(ServerDiedError):
                await run
        else:
            kill(connector)
            await until(lambda: connector.state == "error")

    assert ("died: killed by SIGKILL" in caplog.text) is not waits


async def test_call_before_the_news_of_a_death(create: Create) -> None:
    """A call that comes before the news of a death finds the death itself, and gets a new server."""
    connector = await create()
    kill(connector)
    while supervisor_of(connector).running:
        time.sleep(0.001)  # noqa: ASYNC251 - the loop must not hear of it

    assert texts_of(await connector.run_workflow(show_prompt(9), False)) == ["9"]


def test_sync_facade(tmp_path: Path) -> None:
    """Health and diagnostics are there for those who do not await."""
    (tmp_path / "home").mkdir()
    engine = emulator_home(tmp_path / "home", initial_port=first_port(19650))
    with SyncConnector.create(**{**engine.settings, "browser": "lazy"}) as connector:
        assert set(connector.health().values()) == {""}
        assert connector.diagnostics()["state"]["state"] == "ready"


async def test_credentials_of_an_address(create: Create) -> None:
    """Credentials in the URL of an attached server are shown nowhere."""
    owner = await create()
    address = owner.server_address.replace("http://", "http://me:hunter2@")
    async with await ComfyConnector.attach(address, browser="lazy") as connector:
        shown = repr(connector) + connector.server_address + connector.ws_address
        shown += json.dumps(await connector.diagnostics())
        await connector.run_workflow(show_prompt(1), False)

    assert "hunter2" not in shown


async def test_diagnostics_of_a_whole_life(create: Create) -> None:
    """States, processes, runs, deaths and the log of the server are in the bundle, which is JSON, in every state."""
    connector = await create(on_server_death="restart")
    await connector.run_workflow(show_prompt(1), False)
    kill(connector)
    await supervisor_of(connector).wait()
    connector._wired.loss.notice()
    await connector._recovery.settled()
    found = json.loads(json.dumps(await connector.diagnostics()))

    assert found["state"]["state"] == "ready"
    assert [t["to"] for t in found["state"]["transitions"]] == [
        "initializing",
        "ready",
        "error",
        "initializing",
        "ready",
    ]
    assert "SIGKILL" in found["state"]["deaths"][0]
    assert {p["role"] for p in found["processes"]} == {"this", "server", "watchdog"}
    assert found["server"]["system"]["comfyui_version"]
    assert found["engine"]["kind"] == "emulator"
    assert [e["ended"] for e in found["events"] if e["kind"] == "run"] == ["success"]
    assert any("emulator" in line for line in found["log"])
    await connector.kill_api()
    assert (await connector.diagnostics())["state"]["state"] == "killed"
