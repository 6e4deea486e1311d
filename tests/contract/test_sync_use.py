"""The synchronous facade, in a script and beside a running loop."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.engines import EngineUnderTest, with_small_frontend
from contract.graphs import Prompt, node, picture_prompt, show_prompt, texts_of
from ports import first_port

from discomfort import ComfyConnector, Discomfort, SyncConnector, SyncDiscomfort, WorkflowContext, WorkflowTools
from discomfort.exceptions import ExecutionError, ExecutionInterrupted, PortError, RunTimeout, StateError
from discomfort.progress import Done, ProgressEvent
from discomfort.testing.bridge import AsyncConnector, AsyncRun

PORT = first_port(18588)


@pytest.fixture(scope="module")
def sync(engine: EngineUnderTest) -> Iterator[SyncConnector]:
    """A connector for a script, whose server has the nodes of ports."""
    settings: Any = {**engine.settings, "initial_port": PORT, "browser": "lazy"}
    with SyncConnector(lambda: ComfyConnector._launch(None, settings, loads_nodes=True)) as made:
        yield made


@pytest.fixture
def discomfort(sync: SyncConnector) -> SyncDiscomfort:
    """Workflows with values, on the same server."""
    return Discomfort._sync(sync, WorkflowTools())


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


def port(unique_id: str, source: list[Any] | None = None) -> dict[str, Any]:
    """A port: an INPUT, or an OUTPUT that ``source`` feeds."""
    return node("DiscomfortPort", unique_id=unique_id, **({} if source is None else {"input_data": source}))


def gated(path: Path, unique_id: str = "n") -> Prompt:
    """Inverts a picture, and waits until ``path`` appears."""
    return {
        "1": port(unique_id), "2": node("ImageInvert", image=["1", 0]), "3": port(unique_id, ["2", 0]),
        "4": node("ContractGate", "The gate", path=str(path), seconds=60.0, deaf=False),
    }  # fmt: skip


INVERT: Prompt = {"1": port("n"), "2": node("ImageInvert", image=["1", 0]), "3": port("n", ["2", 0])}
FAIL: Prompt = {"1": port("n"), "2": node("StandInFail", value=["1", 0]), "3": port("n", ["2", 0])}


def picture(level: float = 0.25) -> Any:
    """A picture of one level."""
    return np.full((1, 8, 8, 3), level, np.float32)


def test_values_without_await(discomfort: SyncDiscomfort) -> None:
    """Pictures go in and out, errors are the same, and the server stays."""
    with discomfort.Context() as context:
        results = discomfort.run([INVERT, INVERT, INVERT], {"n": picture()}, context=context)
        assert np.array_equal(np.asarray(results["n"]), 1 - picture())
        with pytest.raises(PortError, match="'n'"):
            discomfort.run(INVERT)
        with pytest.raises(ExecutionError, match="-1 is below zero"):
            discomfort.run(FAIL, {"n": -1}, context=context)
        assert context["n"] == -1
        assert discomfort.run(FAIL, {"n": 2}, context=context) == {"n": 2}
    assert discomfort.Worker.state == "ready"


def test_interrupt_takes_the_prompt_off_the_server(discomfort: SyncDiscomfort, gate: Path) -> None:
    """Ctrl-C ends the call when the prompt has left the queue; the context has what it had."""
    running = threading.Event()

    def interrupt() -> None:
        assert running.wait(60)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    other = threading.Thread(target=interrupt)
    other.start()
    with discomfort.Context() as context:
        context.save("n", picture())
        with pytest.raises(KeyboardInterrupt):
            discomfort.run(gated(gate), context=context, on_progress=lambda event: running.set())
        other.join()
        queue = discomfort.Worker.queue()
        assert (queue.running, queue.pending) == ((), ())
        assert np.array_equal(np.asarray(context["n"]), picture())
        results = discomfort.run(INVERT, context=context)
        assert np.array_equal(np.asarray(results["n"]), 1 - picture())


def test_one_server_for_all_that_are_made(engine: EngineUnderTest, gate: Path) -> None:
    """Made again, as in a notebook, it uses the same server; the end of one ends the runs of the other."""
    settings = {**with_small_frontend(engine).settings, "initial_port": PORT, "browser": "lazy"}
    context = WorkflowContext()
    with Discomfort.sync(**settings) as discomfort, ThreadPoolExecutor(1) as pool:
        again = Discomfort.sync()
        assert again.Worker is discomfort.Worker is SyncConnector.current()
        assert "ready" in repr(again)
        context.save("n", picture())
        begun = threading.Event()
        call = pool.submit(again.run, gated(gate), context=context, on_progress=lambda event: begun.set())
        assert begun.wait(60)
        discomfort.shutdown()
        with pytest.raises((ExecutionInterrupted, StateError)):
            call.result()
    assert np.array_equal(np.asarray(context["n"]), picture())
    context.shutdown()
    with pytest.raises(StateError):
        again.run(INVERT, {"n": picture()})
