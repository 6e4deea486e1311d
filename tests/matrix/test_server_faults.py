"""The server dies, stops, stays mute, answers nonsense, floods, ignores, multiplies, or is another one of a sudden."""

from __future__ import annotations

import asyncio
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import aiohttp
import psutil
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import Recorder, gate_prompt, node, record_of, show_prompt, texts_of
from faults.test_server_dies import server_pid
from faults.traces import Trace
from matrix.faulty import Control, Faulty
from waiting import until

from discomfort import ComfyConnector
from discomfort.exceptions import (
    PromptLostError,
    RunTimeout,
    SelfTestError,
    ServerConnectionError,
    ServerDiedError,
    ServerResponseError,
    ServerStartError,
    ServerStartTimeout,
)

HOLD_POST = {"path": "/prompt", "method": "POST", "do": "hang"}
HOLD_HISTORY = {"path": "/history/.+", "do": "hang"}


async def runs(connector: ComfyConnector, value: int = 7) -> bool:
    """Whether the next run works."""
    async with asyncio.timeout(90):
        return texts_of(await connector.run_workflow(show_prompt(value), False)) == [str(value)]


async def test_server_killed_idle(shared: ComfyConnector) -> None:
    """The next run starts it anew; several at once share that start."""
    supervisor = shared._parts.supervisor
    assert supervisor is not None
    psutil.Process(supervisor.pid).kill()
    await supervisor.wait()
    assert await asyncio.gather(*(runs(shared, number) for number in range(3))) == [True] * 3
    assert server_pid(shared) != supervisor.pid
    assert shared.state == "ready"


async def test_server_killed_while_queueing(faulty: Callable[..., Faulty], trace: Trace) -> None:
    """The answer to POST never comes: the death is the reason, with the id, not a broken connection."""
    async with await ComfyConnector.create(**faulty().settings) as connector:
        control = Control(connector)
        await control.rules(HOLD_POST)
        run = asyncio.create_task(connector.run_workflow(show_prompt(1), False))
        await control.reached()
        psutil.Process(server_pid(connector)).kill()
        with pytest.raises(ServerDiedError) as caught:
            async with asyncio.timeout(30):
                await run
        assert (caught.value.signal, bool(caught.value.prompt_id)) == ("SIGKILL", True)
        assert await runs(connector)


async def test_server_killed_before_the_history_is_read(faulty: Callable[..., Faulty], trace: Trace) -> None:
    """The run ended and its record died with the server: the error names the death and the prompt's id."""
    async with await ComfyConnector.create(**faulty().settings) as connector:
        control, events = Control(connector), Recorder()
        await control.rules(HOLD_HISTORY)
        run = asyncio.create_task(connector.run_workflow(show_prompt(1), False, on_progress=events))
        await control.reached()
        psutil.Process(server_pid(connector)).kill()
        with pytest.raises(ServerDiedError) as caught:
            async with asyncio.timeout(30):
                await run
        assert caught.value.prompt_id == events.events[0].prompt_id
        assert await runs(connector)


async def test_server_stopped_mid_run_and_continued(shared: ComfyConnector, gate: Path) -> None:
    """SIGSTOP, then SIGCONT: the run ends with its result as if nothing had been."""
    events = Recorder()
    run = asyncio.create_task(shared.run_workflow(gate_prompt(gate), False, on_progress=events))
    await events.running()
    process = psutil.Process(server_pid(shared))
    process.suspend()
    try:
        gate.touch()
        done, _ = await asyncio.wait([run], timeout=0.5)
        assert not done
    finally:
        process.resume()
    async with asyncio.timeout(30):
        assert record_of(await run)["status"]["completed"] is True


async def test_server_stopped_mid_run_for_good(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """The caller's timeout holds, however deep the server sleeps; and kill_api ends what does not listen."""
    connector = await ComfyConnector.create(**emulator.settings)
    events = Recorder()
    prompt = gate_prompt(tmp_path / "never")
    run = asyncio.create_task(connector.run_workflow(prompt, False, on_progress=events, timeout=1.5))
    await events.running()
    psutil.Process(server_pid(connector)).suspend()
    with pytest.raises(RunTimeout, match="does not answer"):
        async with asyncio.timeout(30):
            await run
    async with asyncio.timeout(60):
        await connector.kill_api()
    assert trace.left() == []


async def test_server_mute_while_it_starts(
    faulty: Callable[..., Faulty], trace: Trace, emulator: EngineUnderTest
) -> None:
    """A port that accepts and never answers is not a server: the start budget ends it."""
    budget = {"max_comfy_start_attempts": 1, "comfy_start_attempts_sleep": 1.5}
    with pytest.raises(ServerStartTimeout, match="did not answer"):
        async with asyncio.timeout(60):
            await ComfyConnector.create(**{**faulty("--mute").settings, **budget})
    assert await trace.settle() == []
    async with await ComfyConnector.create(**emulator.settings) as connector:
        assert await runs(connector)


async def test_server_mute_later(faulty: Callable[..., Faulty], trace: Trace) -> None:
    """It accepts connections and answers none: the caller's timeout ends the run; once it answers, all is well."""
    async with await ComfyConnector.create(**faulty().settings) as connector:
        control = Control(connector)
        await control.rules({"path": "/(prompt|queue|history/.+|interrupt)", "do": "hang"})
        with pytest.raises(RunTimeout):
            async with asyncio.timeout(30):
                await connector.run_workflow(show_prompt(1), False, timeout=0.5)
        assert await connector._validate_resources() is False
        await control.rules()
        assert await runs(connector)
        assert await connector._validate_resources() is True


async def test_server_answers_500_while_it_starts(faulty: Callable[..., Faulty], trace: Trace) -> None:
    """Somebody answers, but not as ComfyUI does: not ready, within the start budget."""
    budget = {"max_comfy_start_attempts": 1, "comfy_start_attempts_sleep": 2.0}
    settings = faulty(rules=[{"path": "/prompt", "do": "status", "value": 500}]).settings
    with pytest.raises(ServerStartError):
        async with asyncio.timeout(60):
            await ComfyConnector.create(**{**settings, **budget})


async def test_server_refuses_the_self_test(faulty: Callable[..., Faulty], trace: Trace) -> None:
    """It is ready and takes no prompt: the self-test tells the status and what stood there."""
    settings = faulty(rules=[{"path": "/prompt", "method": "POST", "do": "status", "value": 503}]).settings
    with pytest.raises(SelfTestError, match="503"):
        async with asyncio.timeout(60):
            await ComfyConnector.create(**settings)


@pytest.mark.parametrize(
    ("path", "status"), [("/prompt", 500), ("/prompt", 413), ("/history/.+", 500)], ids=["post", "too-large", "history"]
)
async def test_server_answers_500(faulty: Callable[..., Faulty], trace: Trace, path: str, status: int) -> None:
    """A definite error is believed and told with method, address, status and body; the next run works."""
    async with await ComfyConnector.create(**faulty().settings) as connector:
        control = Control(connector)
        rule = {"path": path, "do": "status", "value": status}
        await control.rules({**rule, "method": "POST"} if path == "/prompt" else rule)
        with pytest.raises(ServerResponseError) as caught:
            async with asyncio.timeout(30):
                await connector.run_workflow(show_prompt(1), False)
        assert (caught.value.status, caught.value.body) == (status, "a fault")
        await control.rules()
        assert await runs(connector)


async def test_server_answers_500_to_the_poll_alone(faulty: Callable[..., Faulty], trace: Trace, gate: Path) -> None:
    """A queue that cannot be listed costs nothing while socket and history work."""
    async with await ComfyConnector.create(**faulty().settings) as connector:
        control, events = Control(connector), Recorder()
        await control.rules({"path": "/queue", "do": "status", "value": 500})
        run = asyncio.create_task(connector.run_workflow(gate_prompt(gate), False, on_progress=events))
        await events.running()
        await control.reached(2)
        gate.touch()
        async with asyncio.timeout(30):
            assert record_of(await run)["status"]["completed"] is True
        await control.rules()


async def test_server_answers_slowly(faulty: Callable[..., Faulty], trace: Trace) -> None:
    """Every answer takes 0.4 s: sixteen runs at once are slower, and all right."""
    async with await ComfyConnector.create(**faulty().settings) as connector:
        await Control(connector).rules({"path": "/(prompt|queue|history/.+|object_info)", "do": "delay", "value": 0.4})
        async with asyncio.timeout(60):
            histories = await asyncio.gather(*(connector.run_workflow(show_prompt(n), False) for n in range(16)))
        assert [texts_of(history) for history in histories] == [[str(n)] for n in range(16)]


async def test_server_drops_the_connection_of_post(faulty: Callable[..., Faulty], trace: Trace) -> None:
    """It breaks before the prompt was taken: looked for, not sent again, and told as what it is."""
    async with await ComfyConnector.create(**faulty().settings) as connector:
        control = Control(connector)
        await control.rules({"path": "/prompt", "method": "POST", "do": "drop"})
        with pytest.raises(ServerConnectionError, match="not sent again"):
            async with asyncio.timeout(30):
                await connector.run_workflow(show_prompt(1), False)
        await control.rules()
        assert await runs(connector)


async def test_server_loses_the_answer_to_post(faulty: Callable[..., Faulty], trace: Trace) -> None:
    """It breaks after the prompt was taken: found on the server, waited for, executed once."""
    async with await ComfyConnector.create(**faulty().settings) as connector:
        await Control(connector).rules({"path": "/prompt", "method": "POST", "do": "lose"})
        async with asyncio.timeout(30):
            history = await connector.run_workflow(show_prompt(5), False)
        assert texts_of(history) == ["5"]
        async with aiohttp.ClientSession() as session, session.get(f"{connector.server_address}/history") as response:
            records = await response.json()
        # The self-test's and this one.
        assert len(records) == 2
        assert set(history) < set(records)


async def test_server_floods_its_output(shared: ComfyConnector) -> None:
    """24 MB of log in one run block nobody; the tail that an error would carry stays small."""
    async with asyncio.timeout(60):
        history = await shared.run_workflow({"1": node("MatrixFlood", megabytes=24)}, False)
    assert texts_of(history) == ["dry"]
    supervisor = shared._parts.supervisor
    assert supervisor is not None
    tail = supervisor.log_tail(500)
    assert sum(map(len, tail)) < 500 * 2001
    assert await runs(shared)


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "mid-run"])
async def test_server_ignores_sigterm(
    any_engine: EngineUnderTest,
    trace: Trace,
    faulty: Callable[..., Faulty],
    tmp_path: Path,
    busy: bool,
) -> None:
    """It gets its grace and then SIGKILL; what it was doing ends as interrupted, and nothing is left."""
    settings = any_engine.settings
    if any_engine.real:
        words = shlex.split(settings["api_command_line"])
        wrapper = any_engine.home / "ignoring.py"
        wrapper.write_text(
            "import os, signal, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            f"os.execv(sys.executable, [sys.executable, {str(any_engine.home / words[1])!r}, *sys.argv[1:]])\n"
        )
        settings = {**settings, "api_command_line": shlex.join([words[0], str(wrapper), *words[2:]])}
    else:
        settings = faulty("--ignore-sigterm").settings
    connector = await ComfyConnector.create(**settings, stop_grace=0.5)
    pid = server_pid(connector)
    run = None
    if busy:
        events = Recorder()
        prompt = gate_prompt(tmp_path / "never", deaf=True)
        run = asyncio.create_task(connector.run_workflow(prompt, False, on_progress=events))
        await events.running()
    trace.record()
    ignored = int(
        next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigIgn" in line)[8:], 16
    )
    assert ignored & 1 << signal.SIGTERM - 1
    async with asyncio.timeout(60):
        await connector.kill_api()
    if run is not None:
        with pytest.raises(RuntimeError):
            await run
    assert trace.left() == []


async def test_server_leaves_grandchildren(faulty: Callable[..., Faulty], trace: Trace) -> None:
    """A deaf child, one in its own session, one without a parent: all end with the server that is asked to stop."""
    connector = await ComfyConnector.create(**faulty("--grandchildren").settings)
    assert len(trace.record()) >= 4
    async with asyncio.timeout(60):
        await connector.kill_api()
    assert trace.left() == []


async def test_server_killed_with_grandchildren(any_engine: EngineUnderTest, trace: Trace) -> None:
    """The same when it is killed: what its nodes had started is gone before the next server runs."""
    async with await ComfyConnector.create(**any_engine.settings) as connector:
        await connector.run_workflow({"1": node("MatrixSpawn")}, False)
        # A child that was forked a moment ago may not have become the program yet.
        await until(lambda: len(sleepers(trace)) == 3)
        old = sleepers(trace)
        supervisor = connector._parts.supervisor
        assert supervisor is not None
        psutil.Process(supervisor.pid).kill()
        await supervisor.wait()
        assert await runs(connector)
        assert not old & trace.record()


def sleepers(trace: Trace) -> set[psutil.Process]:
    """What the node started."""
    return {process for process in trace.record() if process.name() == "sleep"}


async def test_server_restarts_by_itself(faulty: Callable[..., Faulty], trace: Trace, gate: Path) -> None:
    """The same process and port, with an empty history: its runs are lost, and said to be; the next one runs."""
    async with await ComfyConnector.create(**faulty().settings) as connector:
        events = Recorder()
        run = asyncio.create_task(connector.run_workflow(gate_prompt(gate), False, on_progress=events))
        await events.running()
        before = connector.client_id
        await Control(connector).exec_again()
        with pytest.raises(PromptLostError, match="restarted") as caught:
            async with asyncio.timeout(30):
                await run
        assert caught.value.prompt_id == events.events[0].prompt_id
        assert await runs(connector)
        assert connector.client_id != before
        async with aiohttp.ClientSession() as session, session.get(f"{connector.server_address}/history") as response:
            assert len(await response.json()) == 1
