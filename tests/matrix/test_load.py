"""Very many runs: at once, in a row, and beside a history that nobody would want to read whole."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from contract.engines import EngineUnderTest
from contract.graphs import show_prompt, texts_of
from faults.traces import Trace
from matrix.test_poison import attached, fake  # noqa: F401 - fixtures
from unit.client.fake_comfy import FakeComfy, tiny_prompt
from waiting import until

from discomfort import ComfyConnector
from discomfort.exceptions import RunTimeout

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def soak() -> ModuleType:
    """The benchmark of that name, which the long version is run with."""
    spec = importlib.util.spec_from_file_location("benchmark_soak", REPOSITORY / "benchmarks" / "soak.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark_soak"] = module
    spec.loader.exec_module(module)
    return module


async def test_load_1000_runs_by_64_callers(shared: ComfyConnector) -> None:
    """A thousand and more are queued at once; every caller has its own results, in its own order."""

    async def caller(number: int) -> list[str]:
        values = range(number * 16, number * 16 + 16)
        runs = (shared.run_workflow(show_prompt(900_000 + value), False) for value in values)
        return [texts_of(history)[0] for history in await asyncio.gather(*runs)]

    async with asyncio.timeout(100):
        results = await asyncio.gather(*(caller(number) for number in range(64)))
    assert results == [[str(900_000 + number * 16 + i) for i in range(16)] for number in range(64)]
    assert shared._parts.client is not None
    assert shared._parts.client.pending == 0


async def test_load_1000_runs_cancelled_at_once(shared: ComfyConnector) -> None:
    """Five hundred of a thousand are cancelled while they wait: those are off the queue, the others have results."""
    tasks = [asyncio.create_task(shared.run_workflow(show_prompt(800_000 + n), False)) for n in range(1000)]
    client = shared._parts.client
    assert client is not None
    await until(lambda: client.pending >= 1000)
    cancelled = {task for task in tasks[::2] if task.cancel()}
    assert cancelled
    async with asyncio.timeout(100):
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for number, (task, end) in enumerate(zip(tasks, ends, strict=True)):
        if task in cancelled:
            assert isinstance(end, asyncio.CancelledError), (number, end)
        else:
            assert isinstance(end, dict), (number, end)
            assert texts_of(end) == [str(800_000 + number)]


async def test_load_nothing_grows(emulator: EngineUnderTest, trace: Trace, soak: ModuleType) -> None:
    """After 500 runs to warm up, 1,000 more leave memory, objects, descriptors, threads and tasks as they were."""
    async with await ComfyConnector.create(**emulator.settings) as connector:
        samples = await soak.soak(connector, 1500, step=500)
    grown = soak.growth(samples)
    assert soak.is_flat(grown), "\n".join(map(str, samples))


async def test_load_nothing_grows_by_failed_runs(emulator: EngineUnderTest, trace: Trace, soak: ModuleType) -> None:
    """The same for runs that are cancelled, time out, or fail."""
    failing = {"1": {"class_type": "ContractFail", "inputs": {"kind": "ValueError", "message": "x"}}}

    async def misfortune(connector: ComfyConnector) -> None:
        task = asyncio.create_task(connector.run_workflow(show_prompt(1), False))
        await asyncio.sleep(0)
        task.cancel()
        late = connector.run_workflow(show_prompt(2), False, timeout=0.001)
        ends = await asyncio.gather(task, late, connector.run_workflow(failing, False), return_exceptions=True)
        assert isinstance(ends[1], RunTimeout | dict)
        assert isinstance(ends[2], RuntimeError)

    async def misfortunes(connector: ComfyConnector, count: int) -> None:
        for _ in range(count):
            await asyncio.gather(*(misfortune(connector) for _ in range(10)))

    async with await ComfyConnector.create(**emulator.settings) as connector:
        async with asyncio.timeout(100):
            await misfortunes(connector, 5)
            before = soak.take(connector, 0, 0.0)
            await misfortunes(connector, 10)
            after = soak.take(connector, 0, 0.0)
        assert connector._parts.client is not None
        assert connector._parts.client.pending == 0
    grown = soak.growth([before, after])
    assert soak.is_flat({**grown, "descriptors": min(0, grown["descriptors"] - 3)}), (before, after)


async def test_load_history_too_long_to_read(attached: ComfyConnector, fake: FakeComfy) -> None:  # noqa: F811
    """Fifty thousand records of others: ours is asked for by its id alone, the whole is never read."""
    record = {"prompt": [0, "x", {}, {}, []], "outputs": {"1": {"text": ["x" * 100]}}, "status": {}, "meta": {}}
    fake.history.update({f"theirs-{number}": record for number in range(50_000)})
    async with asyncio.timeout(30):
        for _ in range(20):
            assert await attached.run_workflow(tiny_prompt(), False)
    assert "/history" not in fake.paths()
    assert any(path.startswith("/history/") for path in fake.paths())
