"""The runner of coroutines: results, errors, and what signals do."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from discomfort.cli.runner import Interrupted, run


def nothing(*_: object) -> None:
    """A callback that does nothing."""


@pytest.fixture(autouse=True)
def _handlers_are_restored() -> object:
    """Whatever a test does, the process's handlers are the same afterwards."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield None
    assert [signal.getsignal(number) for number in numbers] == before


def test_the_result_is_returned() -> None:
    """A coroutine that ends gives its result."""

    async def main() -> int:
        return 7

    assert run(main, on_stop=nothing, on_force=nothing) == 7


def test_an_error_is_raised() -> None:
    """A coroutine that fails raises."""

    async def main() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run(main, on_stop=nothing, on_force=nothing)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_cancels_and_waits_for_the_cleanup(number: signal.Signals) -> None:
    """The task is cancelled once; its cleanup may await and runs to its end before the error is raised."""
    story: list[str] = []

    async def main() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            story.append("cleaned up")

    with pytest.raises(Interrupted) as error:
        run(main, on_stop=story.append, on_force=nothing)

    assert story == [number.name, "cleaned up"]
    assert error.value.signal == number.name


def test_an_ignored_hangup_stays_ignored() -> None:
    """Under nohup the end of the terminal does not stop the run."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:

        async def main() -> str:
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0)
            return "went on"

        assert run(main, on_stop=nothing, on_force=nothing) == "went on"
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_task_that_finishes_in_spite_of_the_signal_has_its_result() -> None:
    """What was complete when the signal came is not thrown away."""

    async def main() -> str:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "complete"
        return "?"

    assert run(main, on_stop=nothing, on_force=nothing) == "complete"


def test_another_thread_leaves_the_handlers_alone() -> None:
    """Called outside of the main thread, where signals do not arrive, it runs without handlers."""
    results: list[int] = []

    async def main() -> int:
        return 3

    thread = threading.Thread(target=lambda: results.append(run(main, on_stop=nothing, on_force=nothing)))
    thread.start()
    thread.join()

    assert results == [3]
