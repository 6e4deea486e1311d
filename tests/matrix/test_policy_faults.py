"""The same faults under the settings that recover from them, on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import Recorder, gate_prompt, node, record_of, show_prompt, texts_of
from faults.test_server_dies import server_pid
from faults.traces import Trace
from matrix.faulty import Control, Faulty
from matrix.test_server_faults import runs
from waiting import until

from discomfort import ComfyConnector
from discomfort.exceptions import FatalPromptError, ResultLostError, RunTimeout, ServerDiedError

RESUBMIT = {"on_server_death": "restart_and_resubmit"}


async def test_server_killed_mid_run_resubmitted(any_engine: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """Killed with one prompt running and three waiting: all four have their results, under the ids they had."""
    gate = tmp_path / "gate"
    async with await ComfyConnector.create(**{**any_engine.settings, **RESUBMIT}) as connector:
        running, waiting = Recorder(), [Recorder() for _ in range(3)]
        first = asyncio.create_task(connector.run_workflow(gate_prompt(gate), False, on_progress=running))
        await running.running()
        others = [
            asyncio.create_task(connector.run_workflow(show_prompt(number), False, on_progress=recorder))
            for number, recorder in enumerate(waiting)
        ]
        ids = [(await recorder.queued()).prompt_id for recorder in (running, *waiting)]
        psutil.Process(server_pid(connector)).kill()
        await asyncio.to_thread(gate.touch)
        async with asyncio.timeout(110):
            histories = await asyncio.gather(first, *others)
        assert [next(iter(history)) for history in histories] == ids
        assert [texts_of(history) for history in histories[1:]] == [["0"], ["1"], ["2"]]
        assert await runs(connector)


async def test_server_killed_restarted_at_once(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """``restart``: what ran raises the death, and a new server comes up without being asked."""
    settings = {**emulator.settings, "on_server_death": "restart"}
    async with await ComfyConnector.create(**settings) as connector:
        events = Recorder()
        run = asyncio.create_task(connector.run_workflow(gate_prompt(tmp_path / "never"), False, on_progress=events))
        await events.running()
        old = server_pid(connector)
        psutil.Process(old).kill()
        with pytest.raises(ServerDiedError):
            async with asyncio.timeout(30):
                await run
        await until(lambda: connector.state == "ready")
        assert server_pid(connector) != old
        assert await runs(connector)


async def test_server_killed_before_the_history_not_executed_twice(faulty: Callable[..., Faulty], trace: Trace) -> None:
    """It had ended when the server died, and its record is gone: said so, and not run a second time."""
    async with await ComfyConnector.create(**{**faulty().settings, **RESUBMIT}) as connector:
        control = Control(connector)
        await control.rules({"path": "/history/.+", "do": "hang"})
        run = asyncio.create_task(connector.run_workflow(show_prompt(1), False))
        await control.reached()
        psutil.Process(server_pid(connector)).kill()
        with pytest.raises(ResultLostError) as caught:
            async with asyncio.timeout(60):
                await run
        assert isinstance(caught.value.__cause__, ServerDiedError)
        assert await runs(connector)


async def test_poison_is_not_resubmitted_for_ever(emulator: EngineUnderTest, trace: Trace) -> None:
    """A prompt that kills the server each time it runs is given up after two deaths; its neighbour has its result."""
    async with await ComfyConnector.create(**{**emulator.settings, **RESUBMIT}) as connector:
        deadly = {"1": node("ContractDie", code=9, signal=0, last_words="again")}
        first = asyncio.create_task(connector.run_workflow(deadly, False))
        second = asyncio.create_task(connector.run_workflow(show_prompt(2), False))
        async with asyncio.timeout(110):
            ends = await asyncio.gather(first, second, return_exceptions=True)
        assert isinstance(ends[0], FatalPromptError), ends
        assert len(ends[0].deaths) == 2
        assert isinstance(ends[1], dict), ends
        assert texts_of(ends[1]) == ["2"]
        assert await runs(connector)


async def test_us_deaf_node_costs_the_server(any_engine: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """A node that hears no interrupt: the caller is free in time, and after the grace whoever waits behind it."""
    settings = {**any_engine.settings, **RESUBMIT, "cancel_restart_after": 1.0}
    async with await ComfyConnector.create(**settings) as connector:
        old = server_pid(connector)
        with pytest.raises(RunTimeout):
            async with asyncio.timeout(60):
                await connector.run_workflow(gate_prompt(tmp_path / "never", deaf=True), False, timeout=0.5)
        async with asyncio.timeout(110):
            history = await connector.run_workflow(show_prompt(3), False)
        assert record_of(history)["status"]["completed"] is True
        assert server_pid(connector) != old
