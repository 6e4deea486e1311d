"""Cancelled at every await: of ``create``, ``run_workflow``, ``get_prompt_from_workflow`` and ``kill_api``.

Not samples: a first, undisturbed call shows all places at which it and its tasks stand, and each is cancelled once. A
place that a call does not come to is tried again with fresh calls until one does. What was cancelled before it had its
result ends with CancelledError, what had it gives it: :class:`matrix.steps.Cancel` asserts that. The number of places
is written to the log of the test run (``-rP --log-level=INFO`` shows it).

``test_mirrored_sweep.py`` ends what the call waits for instead of the call.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import Recorder, gate_prompt, node, picture_workflow, show_prompt, texts_of
from faults.test_server_dies import server_pid
from faults.traces import Trace
from matrix.conftest import THROUGH_THE_BROWSER, idle
from matrix.steps import Cancel, Place, places
from matrix.test_server_faults import runs
from waiting import until

from discomfort import ComfyConnector
from discomfort.conversion import server_watch
from discomfort.progress import NodeStarted, ProgressEvent

log = logging.getLogger("matrix.sweep")
LONG = 900
"""Seconds for a sweep with a start of the server for each place: half a minute where nothing else runs."""


TRIES = 25
"""Fresh calls in which a place must be reached that an undisturbed call was seen at."""


def named_tasks() -> set[str]:
    """Names of the package's tasks that are alive."""
    return {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("discomfort")}


async def cancel_everywhere(found: list[Place], attempt: Callable[[Cancel], Awaitable[None]]) -> None:
    """Cancel at each place, with fresh calls until one comes to it."""
    missed = []
    for place in found:
        for number in range(1, TRIES + 1):
            strike = Cancel(place=place)
            await attempt(strike)
            if strike.reached:
                break
            log.info("call %d did not come to %s", number, " > ".join(place))
        else:
            missed.append(" > ".join(place))
    assert not missed, f"{TRIES} calls each did not come to:\n" + "\n".join(missed)


@pytest.mark.timeout(LONG)
async def test_us_cancelled_everywhere_in_create(emulator: EngineUnderTest, trace: Trace) -> None:
    """Each time everything that the start had taken is given back before the cancellation is delivered."""
    made: list[ComfyConnector] = []

    async def create() -> None:
        made.append(await ComfyConnector.create(**emulator.settings))

    found = await places(create)
    await made.pop().kill_api()
    assert len(found) > 20, found

    async def attempt(strike: Cancel) -> None:
        await strike.run(create)
        assert bool(made) is not strike.delivered
        if made:
            await made.pop().kill_api()
        assert ComfyConnector.current() is None, strike
        assert named_tasks() == set(), strike
        left = [entry for entry in trace.left() if not entry.startswith("thread")]
        assert left == [] or await trace.settle() == [], strike

    await cancel_everywhere(found, attempt)
    log.info("create: %d places", len(found))


async def sweep(shared: ComfyConnector, call: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Cancel ``call`` at its first await, its second, and so on until it is through; returns how many there were."""
    client = shared._parts.client
    assert client is not None
    for nth in itertools.count(1):
        client.forget_definitions()
        strike = Cancel(nth=nth)
        async with asyncio.timeout(60):
            end = await strike.run(call)
        assert client.pending == 0, nth
        await until(lambda: idle(shared))
        if not strike.reached:
            assert end is None
            return nth - 1
    raise AssertionError("unreachable")


async def test_us_cancelled_everywhere_in_a_function(shared: ComfyConnector) -> None:
    """Each time the uploads of the call are gone from the server, and the next call works."""
    engine = shared._parts.engine
    assert engine is not None
    prompt = {"1": node("LoadImage", image=""), "2": node("PreviewImage", "Out", images=["1", 0])}
    show = await shared.load(prompt, {"inputs": {"image": "1.image"}})
    colours = itertools.count(1)

    def uploads() -> list[Path]:
        return [path for path in Path(engine.folders.input).rglob("*") if path.is_file()]

    before = uploads()

    async def call() -> None:
        await until(lambda: uploads() == before)
        number = next(colours)
        picture = np.full((4, 4, 3), number % 256, np.uint8)
        await show.with_options(timeout=60)(image=picture)

    counts = [await sweep(shared, call) for _ in range(2)]
    log.info("a function: %s awaits", counts)
    assert min(counts) >= 8
    await until(lambda: uploads() == before)
    assert len((await show(image=np.zeros((4, 4, 3), np.uint8))).out) == 1


async def test_us_cancelled_everywhere_in_run_workflow(shared: ComfyConnector) -> None:
    """Each time the prompt is off the server, nothing is pending, and the next run works on the same server."""
    pid = server_pid(shared)
    numbers = itertools.count(100_000)

    async def run() -> None:
        await shared.run_workflow(show_prompt(next(numbers)), False, on_progress=Recorder(), timeout=60)

    counts = [await sweep(shared, run) for _ in range(3)]
    log.info("run_workflow: %s awaits", counts)
    assert min(counts) >= 5
    assert await runs(shared)
    assert server_pid(shared) == pid


async def test_us_cancelled_everywhere_in_a_long_run(shared: ComfyConnector, tmp_path: Path) -> None:
    """The same for a run that waits behind another, and is polled: no place leaves its node running."""
    numbers = itertools.count()

    async def run() -> None:
        path = tmp_path / f"gate-{next(numbers)}"
        events = Recorder()

        def tell(event: ProgressEvent) -> Awaitable[None]:
            if isinstance(event, NodeStarted):
                path.touch()
            return events(event)

        prompt = {**gate_prompt(path), "2": node("ContractSteps", steps=3, preview="JPEG", after=["1", 0])}
        await shared.run_workflow(prompt, False, on_progress=tell, timeout=60)

    count = await sweep(shared, run)
    log.info("run_workflow with progress: %d awaits", count)
    assert count >= 5
    assert await runs(shared)


async def test_us_cancelled_at_every_event(shared: ComfyConnector, tmp_path: Path) -> None:
    """Cancelled as each event of a run comes in: queued, started, cached, each node, step, preview, output."""
    for nth in itertools.count(1):
        seen, delivered, end = await cancelled_at(shared, tmp_path / f"event-{nth}", nth)
        assert isinstance(end, asyncio.CancelledError if delivered else dict), (nth, end)
        await until(lambda: idle(shared))
        if seen < nth:
            break
    assert isinstance(end, dict)
    log.info("run_workflow: %d events", nth - 1)
    assert nth > 10
    assert await runs(shared)


async def cancelled_at(connector: ComfyConnector, path: Path, nth: int) -> tuple[int, bool, object]:
    """Cancel a run as its ``nth`` event comes; how many came, whether it had no result yet, what it ended with."""
    seen, delivered = 0, False

    def tell(event: ProgressEvent) -> None:
        nonlocal seen, delivered
        seen += 1
        if seen == nth:
            delivered = run.cancel()
        elif isinstance(event, NodeStarted):
            path.touch()

    prompt = {**gate_prompt(path), "2": node("ContractSteps", steps=3, preview="JPEG", after=["1", 0])}
    run = asyncio.create_task(connector.run_workflow(prompt, False, on_progress=tell))
    async with asyncio.timeout(30):
        (end,) = await asyncio.gather(run, return_exceptions=True)
    return seen, delivered, end


@pytest.mark.timeout(LONG)
async def test_us_cancelled_everywhere_in_kill_api(emulator: EngineUnderTest, trace: Trace) -> None:
    """Cancelling whoever waits stops nothing: a second call returns when all is gone, wherever the first one was."""
    connector = await ComfyConnector.create(**emulator.settings)
    found = await places(connector.kill_api)
    assert len(found) > 8, found

    async def attempt(strike: Cancel) -> None:
        connector = await ComfyConnector.create(**emulator.settings)
        await strike.run(connector.kill_api)
        async with asyncio.timeout(60):
            await connector.kill_api()
        assert connector.state == "killed"
        assert ComfyConnector.current() is None, strike
        assert named_tasks() == set(), strike
        left = [entry for entry in trace.left() if not entry.startswith("thread")]
        assert left == [], strike

    await cancel_everywhere(found, attempt)
    log.info("kill_api: %d places", len(found))


@pytest.mark.browser
@pytest.mark.timeout(LONG)
async def test_us_cancelled_everywhere_in_conversion(
    emulator: EngineUnderTest, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``get_prompt_from_workflow`` on a warm page: each time the next conversion is right, and one browser runs."""
    # Each conversion asks whether the settings are the same, also those that follow the last one within a second.
    monkeypatch.setattr(server_watch, "SETTINGS_AGE", 0.0)
    async with await ComfyConnector.create(**{**emulator.settings, **THROUGH_THE_BROWSER}) as connector:
        colours = iter(range(1, 1000))

        async def convert() -> None:
            colour = next(colours)
            prompt = await connector.get_prompt_from_workflow(picture_workflow(colour))
            assert prompt["1"]["inputs"]["color"] == colour

        found = await places(convert)
        assert found

        async def attempt(strike: Cancel) -> None:
            await strike.run(convert)
            async with asyncio.timeout(90):
                await convert()

        await cancel_everywhere(found, attempt)
        assert connector._parts.converter is not None
        assert connector._parts.converter.healthy
        assert texts_of(await connector.run_workflow(show_prompt(1), False)) == ["1"]
        log.info("get_prompt_from_workflow: %d places", len(found))
