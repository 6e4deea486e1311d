"""The synchronous facade, in a script and beside a running loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.engines import EngineUnderTest
from contract.graphs import node, picture_prompt, show_prompt, texts_of
from ports import first_port

from discomfort import ComfyConnector, SyncConnector
from discomfort.exceptions import ExecutionError, RunTimeout, StateError
from discomfort.progress import Done, ProgressEvent
from discomfort.testing.bridge import AsyncConnector, AsyncRun

PORT = first_port(18588)


@pytest.fixture(scope="module")
def sync(engine: EngineUnderTest) -> Iterator[SyncConnector]:
    """A connector for a script."""
    with SyncConnector.launch(**{**engine.settings, "initial_port": PORT}) as made:
        yield made


@pytest.mark.browser
def test_script_runs_a_workflow_and_saves_its_outputs(sync: SyncConnector, tmp_path: Path) -> None:
    """Every call blocks until it is done; errors are those of the coroutines."""
    from contract.graphs import picture_workflow

    events: list[ProgressEvent] = []
    history = sync.run_workflow(picture_workflow(0x445566, prefix="sync/picture"), on_progress=events.append)
    assert isinstance(events[-1], Done)
    (path,) = sync.save_outputs(history, tmp_path)
    (output,) = sync.outputs(history)
    assert sync.read(output) == path.read_bytes()
    assert sync.get_prompt_from_workflow(picture_workflow())["1"]["class_type"] == "EmptyImage"


def test_script_edits_uploads_and_sees_errors(sync: SyncConnector, tmp_path: Path) -> None:
    """Editing, uploading, failing, timing out."""
    editor = sync.edit(show_prompt(1)).set("Show.value", 61)
    assert texts_of(sync.run_workflow(editor.payload, False)) == ["61"]
    source = tmp_path / "file.txt"
    source.write_text("x")
    assert Path(sync.upload_data(source, is_ephemeral=True)).exists()
    with pytest.raises(ExecutionError):
        sync.run_workflow({"1": node("ContractFail", kind="ValueError", message="m")}, False)
    with pytest.raises(RunTimeout):
        sync.run_workflow({"1": node("ContractGate", path=str(tmp_path / "never"), seconds=60.0, deaf=False)}, False,
                          timeout=0.3)  # fmt: skip
    assert (sync.state, sync.engine) == ("ready", sync.connector.engine)


def test_times_of_a_run(sync: SyncConnector) -> None:
    """The same as those of the connector's run, and of the fixtures' run, which shows what this one does."""
    run = sync.submit(show_prompt(0), False, values={"Show.value": 64})
    assert texts_of(run.wait()) == ["64"]
    assert run.started is not None
    assert run.ended is not None
    assert (run.created or run.started) <= run.started <= run.ended
    assert (run.created, run.started, run.ended) == (run.status.created, run.status.started, run.status.ended)
    other = AsyncRun(run._run, AsyncConnector(sync))
    assert (other.created, other.started, other.ended) == (run.created, run.started, run.ended)


async def test_beside_a_running_loop(sync: SyncConnector) -> None:
    """In a notebook, where a loop runs already, the facade works all the same."""
    asyncio.get_running_loop()
    assert texts_of(sync.run_workflow(show_prompt(62), False)) == ["62"]
    with pytest.raises(StateError, match="loop"):
        await sync.connector.run_workflow(show_prompt(63), False)


def test_from_several_threads(sync: SyncConnector) -> None:
    """Calls may come from any thread, at once."""

    async def spread() -> list[list[str]]:
        runs = (asyncio.to_thread(sync.run_workflow, show_prompt(70 + number), False) for number in range(8))
        return [texts_of(history) for history in await asyncio.gather(*runs)]

    assert asyncio.run(spread()) == [[str(70 + number)] for number in range(8)]


async def test_attached_facade(connector: ComfyConnector) -> None:
    """The facade of an attached connector; after the end every call says that it is over."""
    with SyncConnector.attach(connector.server_address, browser="lazy") as attached:
        assert attached.engine == "attached"
        history = await asyncio.to_thread(attached.run_workflow, picture_prompt(), False)
        assert attached.outputs(history)
    attached.kill_api()
    with pytest.raises(StateError):
        attached.run_workflow(show_prompt(1), False)
