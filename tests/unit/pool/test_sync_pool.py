"""``SyncPool`` on servers that are not there: runs, batches, and everybody who may end a call."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from unit.pool.fake_pool_server import SHOW, FakePoolServer, Gate, fake_pool, saved_text, text_of
from waiting import until_blocking

from discomfort.exceptions import ArgumentError, CallError, ExecutionError, ExecutionInterrupted, StateError
from discomfort.pool.pool_events import Assigned
from discomfort.pool.sync_pool import SyncPool
from discomfort.progress import Done

Make = Callable[..., SyncPool]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes pools of the given servers, which are closed at the end."""
    made: list[SyncPool] = []

    def make(*servers: FakePoolServer) -> SyncPool:
        made.append(SyncPool(lambda: fake_pool(*servers)))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


@contextlib.contextmanager
def interrupted_when(ready: Callable[[], bool]) -> Iterator[None]:
    """Ctrl-C reaches the main thread when ``ready`` holds."""

    def interrupt() -> None:
        until_blocking(ready)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    yield
    thread.join()


def shows(*values: int) -> list[dict[str, Any]]:
    """Values of runs."""
    return [{"1.value": value} for value in values]


def test_run(make: Make) -> None:
    """A run is what the pool's run is, and nothing needs an await."""
    with make(FakePoolServer("a")) as pool:
        run = pool.submit(SHOW, {"1.value": 7}, tenant="acme", tags={"order": "17"})
        events = list(run.events())
        result = run.result()
    assert isinstance(events[-1], Done)
    assert [event.server for event in events if isinstance(event, Assigned)] in ([], ["a"])
    assert (text_of(result), result.server, result.run_id) == ("7", "a", run.run_id)
    assert (run.tenant, run.tags, run.phase, run.server, run.done) == ("acme", {"order": "17"}, "ended", "a", True)
    assert result.timing.total >= result.timing.ran
    assert text_of(run.outcome) == "7"


def test_results_outlive_the_pool(make: Make, tmp_path: Path) -> None:
    """Their contents came with them: they are read and saved, and runs that have ended are told, without the pool."""
    pool = make(FakePoolServer())
    run = pool.submit(SHOW, {"1.value": 7})
    result = run.result()
    pool.close()

    file = next(output for output in result.outputs if output.filename)
    assert file.read() == b"7"
    file.save(tmp_path)
    assert saved_text(tmp_path) == ["7"]
    assert text_of(run.result()) == "7"
    assert [type(event) for event in run.events()] == [Done]
    assert not run.cancel()
    assert pool.status().done == 1
    with pytest.raises(StateError, match="the pool was shut down"):
        pool.submit(SHOW)


def test_beside_a_running_loop(make: Make) -> None:
    """As in a notebook."""
    pool = make(FakePoolServer())

    async def cell() -> str:
        return text_of(pool.submit(SHOW, {"1.value": 3}).result())

    assert asyncio.run(cell()) == "3"


def test_errors_are_those_of_the_pool(make: Make) -> None:
    """Before a run waits, at its end, and when nothing is asked for any more."""
    pool = make(FakePoolServer())
    with pytest.raises(CallError, match="nope"):
        pool.submit(SHOW, {"1.nope": 7})
    run = pool.submit(SHOW, {"1.value": -7})
    with pytest.raises(ExecutionError, match="-7 is below zero"):
        run.result()
    assert isinstance(run.outcome, ExecutionError)


def test_a_pool_that_cannot_be_made_ends_its_thread() -> None:
    """The error is that of the coroutine."""

    async def fail() -> Any:
        raise StateError("no pool today")

    with pytest.raises(StateError, match="no pool today"):
        SyncPool(fail)
    assert "discomfort-sync-pool" not in [thread.name for thread in threading.enumerate()]


def test_map(make: Make) -> None:
    """The results are in the order of the values; the first error is raised, or takes the place of its result."""
    pool = make(FakePoolServer("a"), FakePoolServer("b"))
    assert [text_of(result) for result in pool.map(SHOW, shows(*range(20)), window=4)] == [str(n) for n in range(20)]
    with pytest.raises(ExecutionError, match="-1 is below zero"):
        pool.map(SHOW, shows(0, -1, 2))
    first, second, third, fourth = pool.map(SHOW, [*shows(0, -1), {"1.nope": 1}, *shows(3)], on_error="return")
    assert (text_of(first), text_of(fourth)) == ("0", "3")
    assert isinstance(second, ExecutionError)
    assert isinstance(third, CallError)
    with pytest.raises(ArgumentError, match="on_error"):
        pool.map(SHOW, [], on_error="ignore")  # type: ignore[arg-type]


def test_values_are_pulled_by_the_caller(make: Make) -> None:
    """In its thread, as runs end, so that they may use the pool, and be endless."""
    pool, pulled = make(FakePoolServer()), []

    def values() -> Iterator[dict[str, Any]]:
        number = 0
        while True:
            pulled.append((threading.current_thread(), pool.status().done))
            yield {"1.value": number}
            number += 1

    seen = []
    for run in pool.as_completed(SHOW, values(), window=3):
        seen.append(text_of(run.result()))
        if len(seen) == 5:
            break
    assert seen == ["0", "1", "2", "3", "4"]
    assert {thread for thread, _ in pulled} == {threading.current_thread()}
    assert len(pulled) <= 3 + 5
    with pytest.raises(ArgumentError, match="variants"):
        pool.map(SHOW, _none())  # type: ignore[arg-type]


async def _none() -> Any:
    return
    yield


@pytest.mark.parametrize("how", ["break", "error", "dropped in the pool's thread"])
def test_leaving_the_loop_cancels_the_rest(make: Make, how: str) -> None:
    """Nothing of a batch goes on when nobody asks for it."""
    gate = Gate()
    server = FakePoolServer(gate=gate)
    pool = make(server)
    runs = [pool.as_completed(SHOW, shows(*range(100)), window=10)]
    assert text_of(next(runs[0]).result()) == "0"
    gate.reached.wait(30)
    if how == "break":
        runs.pop().close()  # type: ignore[attr-defined]
        assert server.cancelled == 1
    elif how == "error":
        with pytest.raises(ZeroDivisionError):
            runs.pop().throw(ZeroDivisionError())  # type: ignore[attr-defined]
        assert server.cancelled == 1
    else:
        pool._in_loop(runs.clear)
        gc.collect()
    until_blocking(lambda: server.cancelled == 1 and pool.status().waiting == pool.status().running == 0)


def test_interrupt_of_a_wait(make: Make) -> None:
    """Ctrl-C ends the wait for a result, not the run; a step of its events goes on later."""
    gate = Gate()
    pool = make(FakePoolServer(gate=gate))
    run = pool.submit(SHOW, {"1.value": 5})
    with interrupted_when(lambda: run._run._state.waiters == 1), pytest.raises(KeyboardInterrupt):
        run.result()
    gate.opened.set()
    assert text_of(run.result()) == "5"


def test_interrupt_of_a_batch(make: Make) -> None:
    """Ctrl-C cancels all its runs, and the pool goes on."""
    gate = Gate()
    server = FakePoolServer(gate=gate)
    pool = make(server)
    with interrupted_when(gate.reached.is_set), pytest.raises(KeyboardInterrupt):
        pool.map(SHOW, shows(*range(100)))
    assert server.cancelled == 1
    assert pool.status().waiting == pool.status().running == 0
    gate.opened.set()
    assert text_of(pool.submit(SHOW, {"1.value": 2}).result()) == "2"


def test_cancel(make: Make) -> None:
    """From any thread; whoever waits is told."""
    gate = Gate()
    server = FakePoolServer(gate=gate)
    pool = make(server)
    run = pool.submit(SHOW)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(run.result)
        gate.reached.wait(30)
        assert run.cancel()
        with pytest.raises(ExecutionInterrupted):
            waiting.result()
    assert server.cancelled == 1
    assert not run.cancel()


def test_close_while_a_run_waits(make: Make) -> None:
    """Its caller is told, its events end; the servers are released, once."""
    gate = Gate()
    server = FakePoolServer(gate=gate)
    pool = make(server)
    run = pool.submit(SHOW)
    events, later = run.events(), run.events()
    with ThreadPoolExecutor(2) as threads:
        waiting, reading = threads.submit(run.result), threads.submit(list, events)
        gate.reached.wait(30)
        pool.close()
        with pytest.raises((ExecutionInterrupted, StateError)):
            waiting.result()
        assert isinstance(reading.result()[-1], Done)
    assert isinstance(list(later)[-1], Done)
    assert server.closed
    assert run.phase == "ended"
    pool.close()


def test_close_with_drain(make: Make) -> None:
    """Runs under way end before."""
    gate = Gate()
    pool = make(FakePoolServer(gate=gate))
    run = pool.submit(SHOW, {"1.value": 4})
    gate.reached.wait(30)
    with ThreadPoolExecutor(1) as threads:
        closing = threads.submit(pool.close, drain=60)
        until_blocking(lambda: pool.pool._closing is not None)
        gate.opened.set()
        closing.result()
    assert text_of(run.result()) == "4"


def test_servers(make: Make) -> None:
    """They are drained, resumed and removed by name."""
    pool = make(FakePoolServer("a"), FakePoolServer("b"))
    assert pool.drain("a", deadline=30)
    assert [server.state for server in pool.status().servers] == ["draining", "ready"]
    pool.resume("a")
    pool.remove("b", deadline=30)
    assert [(server.name, server.state) for server in pool.status().servers] == [("a", "ready")]
    with pytest.raises(StateError, match="scale"):
        pool.scale(3)
    with pytest.raises(ArgumentError, match="'b'"):
        pool.resume("b")


def test_forked_child_only_sees_it(make: Make) -> None:
    """It cannot use the pool, and leaves it to the parent; results can be read there."""
    server = FakePoolServer()
    pool = make(server)
    result = pool.submit(SHOW, {"1.value": 6}).result()
    file = next(output for output in result.outputs if output.filename)
    assert file.read() == b"6"
    child = os.fork()
    if child == 0:
        code = 1
        try:
            pool.close()
            with pytest.raises(StateError, match="the pool was shut down"):
                pool.submit(SHOW)
            code = 0 if not server.closed else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert text_of(pool.submit(SHOW, {"1.value": 8}).result()) == "8"
