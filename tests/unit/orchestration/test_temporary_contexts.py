"""Contexts of calls that have none: each call finds an empty one, and none is left in the end."""

from __future__ import annotations

import asyncio
import gc
import tempfile
from pathlib import Path

import numpy as np
import pytest
from unit.orchestration.fake_worker import FakeWorker
from waiting import until

from discomfort.context.context import WorkflowContext
from discomfort.orchestration.temporary_contexts import TemporaryContexts

ARRAY = np.arange(50_000.0)

pytestmark = pytest.mark.usefixtures("places")


def folders() -> list[str]:
    """The contexts on disk."""
    return sorted(path.name for path in Path(tempfile.gettempdir()).glob("discomfort-*/contexts/*"))


async def test_next_call_gets_it_empty() -> None:
    """The folders are made once; the values are gone at the end of each call."""
    contexts = TemporaryContexts()
    seen = set()
    for _ in range(3):
        async with contexts.one() as context:
            assert context.list_keys() == []
            context.save("array", ARRAY)
            context.save("n", 1)
            seen.add(context.run_id)
            memory = context._storage.memory_folder
        assert memory is None or [path.name for path in memory.iterdir()] == ["owner"]
    assert folders() == sorted(seen)
    assert len(seen) == 1
    contexts.close()
    contexts.close()
    assert folders() == []


async def test_calls_at_once() -> None:
    """Each has its own, and only a few are kept."""
    contexts = TemporaryContexts()
    gate, seen = asyncio.Event(), list[str]()

    async def call(number: int) -> None:
        async with contexts.one() as context:
            context.save("n", number)
            seen.append(context.run_id)
            await gate.wait()
            assert context["n"] == number

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(call(number))
        await until(lambda: len(seen) == 6)
        gate.set()
    assert len(set(seen)) == 6
    assert len(folders()) == 4
    contexts.close()
    assert folders() == []


async def test_call_that_outlives_the_end() -> None:
    """Its context goes with it."""
    contexts = TemporaryContexts()
    async with contexts.one() as context:
        contexts.close()
        context.save("n", 1)
    assert folders() == []


async def test_cancelled_call() -> None:
    """Nothing of it is left."""
    contexts = TemporaryContexts()
    entered = asyncio.Event()

    async def call() -> None:
        async with contexts.one() as context:
            context.save("array", ARRAY)
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with contexts.one() as context:
        assert context.list_keys() == []
    contexts.close()
    assert folders() == []


@pytest.mark.parametrize("change", ["settings", "folder", "removed", "shut down"])
async def test_context_that_fits_no_more(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one is made, as it would be without the idle one."""
    contexts = TemporaryContexts()
    async with contexts.one() as context:
        first = context
    if change == "settings":
        (tmp_path / "workflow_context.json").write_text('{"CONTEXTS_DIR_NAME": "elsewhere"}')
    elif change == "folder":
        (tmp_path / "other").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "other"))
    elif change == "removed":
        Path(first.receipt_path).unlink()
        Path(first.receipt_path).parent.rename(tmp_path / "away")
    else:
        first.shutdown()
    async with contexts.one() as context:
        assert context is not first
        context.save("n", 1)
        assert context["n"] == 1
    contexts.close()


async def test_share_of_memory_is_as_the_settings_say_now(tmp_path: Path) -> None:
    """As a new context would have it."""
    contexts = TemporaryContexts()
    async with contexts.one():
        pass
    (tmp_path / "workflow_context.json").write_text('{"MAX_RAM_GB": 0.25}')
    async with contexts.one() as context:
        assert context.get_usage()["ram_capacity_bytes"] == 250_000_000
    contexts.close()


async def test_dropped_object_leaves_nothing(worker: FakeWorker) -> None:
    """A program that never ends its Discomfort: the contexts go with it."""
    contexts = TemporaryContexts()
    async with contexts.one() as context:
        assert isinstance(context, WorkflowContext)
    del contexts, context
    # The thread that did the last work may still be about to let go of it.
    await until(lambda: (gc.collect(), folders())[1] == [])
