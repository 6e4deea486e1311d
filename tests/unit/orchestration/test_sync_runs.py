"""``SyncDiscomfort`` on a worker without a server: values, errors, and everybody who may end a call."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import IPython.lib.pretty
import numpy as np
import pytest
from unit.orchestration.conftest import Run
from unit.orchestration.fake_worker import FakeWorker, node, picture, port

from discomfort import (
    ComfyConnector,
    Discomfort,
    Reference,
    Results,
    SyncConnector,
    SyncDiscomfort,
    WorkflowContext,
    WorkflowTools,
)
from discomfort._system.loop_thread import LoopThread
from discomfort.exceptions import ExecutionError, PortError, StateError

ADD = {"1": port("n"), "2": node("StandInAdd", a=["1", 0], b=1), "3": port("n", ["2", 0])}
FAIL = {"1": port("x"), "2": node("StandInFail", value=["1", 0]), "3": port("y", ["2", 0])}
PICTURE = {"1": port("image"), "2": node("ImageInvert", image=["1", 0]), "3": port("image", ["2", 0])}


class Gate:
    """Holds each prompt back until it is opened."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), asyncio.Event()

    async def __call__(self, prompt: Any) -> None:
        self.reached.set()
        await self.open.wait()


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    made = LoopThread("discomfort-test")
    yield made
    made.close()


@pytest.fixture
def discomfort(worker: FakeWorker, run: Run, thread: LoopThread) -> SyncDiscomfort:
    """The class itself, on a worker that is fake."""
    facts = {"state": "ready", "engine": "emulator", "server_address": "http://127.0.0.1:1"}
    face = SimpleNamespace(_thread=thread, connector=worker, kill_api=thread.close, **facts)

    async def diagnostics() -> dict[str, Any]:
        return {"orchestration": {}}

    made = SimpleNamespace(run=run, diagnostics=diagnostics, Tools=WorkflowTools())
    return SyncDiscomfort(cast(SyncConnector, face), cast(Discomfort, made))


@contextlib.contextmanager
def interrupted_when(ready: threading.Event) -> Iterator[None]:
    """Ctrl-C reaches the main thread when ``ready`` is set."""

    def interrupt() -> None:
        ready.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    yield
    thread.join()


def test_values(discomfort: SyncDiscomfort, worker: FakeWorker) -> None:
    """Values go in and come out, as with await; the events come from the other thread."""
    threads = set()
    with discomfort.Context() as context:
        results = discomfort.run(
            [ADD, ADD], {"n": 1}, 2, context=context, on_progress=lambda _: threads.add(threading.current_thread().name)
        )
        assert results == {"n": 5}
        assert context["n"] == 5
    assert threads == {"discomfort-test"}
    assert len(results.histories) == len(worker.sent) == 4
    assert discomfort.diagnostics() == {"orchestration": {}}
    assert discomfort.Tools.pass_by_rules["MODEL"] == "ref"


def test_errors_are_those_of_the_coroutine(discomfort: SyncDiscomfort, worker: FakeWorker) -> None:
    """The same type, with the place of the workflow; the next call works."""
    with pytest.raises(PortError, match="nothing was sent"):
        discomfort.run(ADD)
    with pytest.raises(ExecutionError, match="-1 is below zero") as caught:
        discomfort.run([ADD, FAIL], {"n": 1, "x": -1})
    assert caught.value.workflow is not None
    assert (caught.value.workflow.index, caught.value.workflow.iteration) == (1, 1)
    assert discomfort.run(ADD, {"n": 1}) == {"n": 2}


def test_interrupt(discomfort: SyncDiscomfort, worker: FakeWorker) -> None:
    """Ctrl-C takes the prompt off the server and leaves the context as it was; what was held is free again."""
    gate = worker.before = Gate()
    with discomfort.Context() as context:
        context.save("image", picture())
        with interrupted_when(gate.reached), pytest.raises(KeyboardInterrupt):
            discomfort.run(PICTURE, context=context)
        assert worker.cancelled == 1
        assert np.array_equal(context["image"], picture())
        worker.before = None
        discomfort.run(PICTURE, context=context)
        assert np.array_equal(context["image"], 1 - picture())


def test_shutdown_while_a_run_waits(discomfort: SyncDiscomfort, worker: FakeWorker) -> None:
    """Its caller is told; calls afterwards too."""
    gate = worker.before = Gate()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(discomfort.run, ADD, {"n": 1})
        gate.reached.wait()
        discomfort.shutdown()
        with pytest.raises(StateError, match="shut down during the call"):
            call.result()
    assert worker.cancelled == 1
    discomfort.shutdown()
    with pytest.raises(StateError, match="shut down"):
        discomfort.run(ADD, {"n": 1})


def test_context_that_ends_while_a_run_waits(discomfort: SyncDiscomfort, worker: FakeWorker) -> None:
    """The run tells so; the object goes on."""
    gate = worker.before = Gate()
    context = discomfort.Context()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(discomfort.run, ADD, {"n": 1}, context=context)
        gate.reached.wait()
        context.shutdown()
        discomfort.Worker._thread.loop.call_soon_threadsafe(gate.open.set)
        with pytest.raises(StateError, match="context"):
            call.result()
    worker.before = None
    assert discomfort.run(ADD, {"n": 1}) == {"n": 2}


def test_several_threads(discomfort: SyncDiscomfort) -> None:
    """Calls may overlap, each with its own results, on one context too."""
    with discomfort.Context() as context, ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(discomfort.run, _renamed(ADD, f"n{each}"), {f"n{each}": each}, context=context)
                 for each in range(8)]  # fmt: skip
        assert [call.result() for call in calls] == [{f"n{each}": each + 1} for each in range(8)]
        assert {key: context[key] for key in context.list_keys()} == {f"n{each}": each + 1 for each in range(8)}


def _renamed(prompt: dict[str, Any], unique_id: str) -> dict[str, Any]:
    inputs = {key: {**each["inputs"]} for key, each in prompt.items()}
    for each in ("1", "3"):
        inputs[each]["unique_id"] = unique_id
    return {key: {**each, "inputs": inputs[key]} for key, each in prompt.items()}


async def test_beside_a_running_loop(discomfort: SyncDiscomfort) -> None:
    """As in a notebook."""
    asyncio.get_running_loop()
    assert discomfort.run(ADD, {"n": 1}) == {"n": 2}


def test_from_its_own_thread(discomfort: SyncDiscomfort, worker: FakeWorker) -> None:
    """A callback that runs something would wait for itself, and is told so."""
    seen = []

    def nested(_: Any) -> None:
        with pytest.raises(StateError, match="its own thread"):
            discomfort.run(ADD, {"n": 5})
        seen.append(1)

    discomfort.run(ADD, {"n": 1}, on_progress=nested)
    assert seen
    assert len(worker.sent) == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child(discomfort: SyncDiscomfort) -> None:
    """It is told that it has no connector, and its end is not the parent's."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # ends a child that waits for a thread that it does not have
        code = 1
        try:
            discomfort.run(ADD, {"n": 1})
        except StateError:
            discomfort.shutdown()
            code = 7
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert discomfort.run(ADD, {"n": 1}) == {"n": 2}


def test_end_of_the_block(discomfort: SyncDiscomfort, thread: LoopThread) -> None:
    """The thread has ended; contexts stay."""
    context = WorkflowContext()
    with discomfort as entered:
        entered.run(ADD, {"n": 1}, context=context)
    assert thread.closed
    assert context["n"] == 2
    context.shutdown()


def test_same_arguments_as_discomfort() -> None:
    """What both have takes the same arguments, in the same order, with the same defaults."""

    def parameters(function: Any) -> list[Any]:
        return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]

    for one, other in ((SyncDiscomfort.run, Discomfort.run), (Discomfort.sync, Discomfort.create),
                       (Discomfort.sync_attach, Discomfort.attach)):  # fmt: skip
        assert parameters(one) == parameters(other)
    members = {name for name in dir(Discomfort) if not name.startswith("_")}
    assert members - set(dir(SyncDiscomfort)) == {"create", "attach", "sync", "sync_attach"}


def test_representations(discomfort: SyncDiscomfort) -> None:
    """Short, and without data."""
    assert repr(discomfort) == "<SyncDiscomfort ready emulator http://127.0.0.1:1>"
    facts = {
        "state": "ready",
        "engine": "",
        "server_address": "http://x",
        "_settings": SimpleNamespace(warm_nodes=0, exact=False),
    }
    assert repr(Discomfort(cast(ComfyConnector, SimpleNamespace(**facts)))) == "<Discomfort ready - http://x>"
    with discomfort.Context(run_id="batch") as context:
        context.save("n", 1)
        assert repr(context) == "<WorkflowContext batch: 1 value>"
    results = Results()
    assert repr(results) == "<Results of no port; 0 workflows ran>"
    reference = Reference(
        {"1": node("CheckpointLoaderSimple", ckpt_name="a")}, ("1", 0), unique_id="model", type="MODEL"
    )
    latent = {"samples": np.zeros((1, 4, 8, 8))}
    results.update(image=picture(), n=3, text="x" * 99, latent=latent, model=reference, many=[1, 2], no=None)
    results.histories.append({})
    assert repr(results) == (
        f"<Results image: float32 [1, 4, 4, 3], n: 3, text: '{'x' * 40}'…, latent: dict of samples, "
        "model: <Reference 'model' (MODEL): 1 node>, many: list of 2, no: None; 1 workflow ran>"
    )
    assert IPython.lib.pretty.pretty(results) == repr(results)
