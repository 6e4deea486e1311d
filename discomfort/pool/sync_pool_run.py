"""Runs and results of ``SyncPool``: the same as those of the pool, without ``await``."""

from __future__ import annotations

import atexit
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from typing import Any

from discomfort._system.forks import in_forked_child
from discomfort._system.loop_thread import LoopThread
from discomfort.exceptions import StateError
from discomfort.functions.sync_function import SyncCallResult
from discomfort.pool.pool_events import PoolEvent
from discomfort.pool.pool_result import PoolResult, RunTiming
from discomfort.pool.pool_run import PoolRun
from discomfort.pool.run_state import PoolPhase
from discomfort.progress import Done

_lock = threading.Lock()
_contents: LoopThread | None = None
"""Reads and saves the contents of results, which are there when their pool has been closed."""


class SyncPoolResult(SyncCallResult):
    """A :class:`PoolResult` whose outputs need no ``await``. They may be read after the pool's end."""

    def __init__(self, result: PoolResult) -> None:
        """Made by :class:`SyncPool`."""
        super().__init__(result, _contents_thread())
        self._pool_result = result

    @property
    def run_id(self) -> str:
        """See :attr:`PoolResult.run_id`."""
        return self._pool_result.run_id

    @property
    def server(self) -> str:
        """See :attr:`PoolResult.server`."""
        return self._pool_result.server

    @property
    def timing(self) -> RunTiming:
        """See :attr:`PoolResult.timing`."""
        return self._pool_result.timing

    @property
    def loads(self) -> tuple[str, ...]:
        """See :attr:`PoolResult.loads`."""
        return self._pool_result.loads


class SyncPoolRun:
    """A :class:`PoolRun` whose methods block. All may be called from any thread. Wrappers of one run are equal."""

    def __init__(self, run: PoolRun, thread: LoopThread) -> None:
        """Made by :class:`SyncPool`."""
        self._run, self._thread = run, thread

    def __repr__(self) -> str:
        return repr(self._run).replace("<PoolRun", "<SyncPoolRun", 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SyncPoolRun) and other._run == self._run

    def __hash__(self) -> int:
        return hash(self._run)

    @property
    def run_id(self) -> str:
        """See :attr:`PoolRun.run_id`."""
        return self._run.run_id

    @property
    def prompt_id(self) -> str:
        """See :attr:`PoolRun.prompt_id`."""
        return self._run.prompt_id

    @property
    def name(self) -> str:
        """See :attr:`PoolRun.name`."""
        return self._run.name

    @property
    def tenant(self) -> str:
        """See :attr:`PoolRun.tenant`."""
        return self._run.tenant

    @property
    def values(self) -> Mapping[str, Any]:
        """See :attr:`PoolRun.values`."""
        return self._run.values

    @property
    def tags(self) -> Mapping[str, str]:
        """See :attr:`PoolRun.tags`."""
        return self._run.tags

    @property
    def phase(self) -> PoolPhase:
        """See :attr:`PoolRun.phase`."""
        return self._run.phase

    @property
    def server(self) -> str:
        """See :attr:`PoolRun.server`."""
        return self._run.server

    @property
    def done(self) -> bool:
        """See :attr:`PoolRun.done`."""
        return self._run.done

    @property
    def seconds(self) -> float:
        """See :attr:`PoolRun.seconds`."""
        return self._run.seconds

    @property
    def outcome(self) -> SyncPoolResult | BaseException:
        """See :attr:`PoolRun.outcome`."""
        return sync_outcome(self._run.outcome)

    def result(self) -> SyncPoolResult:
        """Wait for the end, and return the result. Raises the run's error. Ctrl-C ends the wait, not the run."""

        async def wait() -> PoolResult:
            return await self._run

        # A run that has ended needs no loop: its pool may have ended too.
        return SyncPoolResult(self._run.result() if self.done else self._thread.call(wait()))

    def events(self) -> Iterator[PoolEvent]:
        """See :meth:`PoolRun.events`: what happens from this call on. Waits for the next event in each step."""

        async def begin() -> AsyncIterator[PoolEvent]:
            return self._run.events()

        if self.done:
            is_result = not isinstance(self._run.outcome, BaseException)
            return iter([Done(self.prompt_id or self.run_id, is_result)])
        return SyncPoolEvents(self._run, self._thread.call(begin()), self._thread)

    def cancel(self) -> bool:
        """See :meth:`PoolRun.cancel`."""
        return not self.done and self._thread.call(self._run.cancel())


class SyncPoolEvents(Iterator[PoolEvent]):
    """The events of a :class:`SyncPoolRun`. After Ctrl-C in a step, the next step goes on."""

    def __init__(self, run: PoolRun, reader: AsyncIterator[PoolEvent], thread: LoopThread) -> None:
        """Made by :meth:`SyncPoolRun.events`."""
        self._run, self._reader, self._thread = run, reader, thread

    def __next__(self) -> PoolEvent:
        try:
            event = self._thread.call(self._following())
        except StateError:
            if not self._run.done:
                raise
            # The pool was closed, which has ended the run. The reader has the rest, so nothing waits here.
            event = _without_loop(self._following())
        if event is None:
            raise StopIteration
        return event

    async def _following(self) -> PoolEvent | None:
        return await anext(self._reader, None)


def _without_loop(step: Coroutine[Any, Any, PoolEvent | None]) -> PoolEvent | None:
    """What a coroutine gives that does not wait."""
    try:
        step.send(None)
    except StopIteration as end:
        found: PoolEvent | None = end.value
        return found
    finally:
        step.close()
    return None


def sync_outcome(outcome: PoolResult | BaseException) -> SyncPoolResult | BaseException:
    """A result whose outputs need no ``await``, or the error."""
    return SyncPoolResult(outcome) if isinstance(outcome, PoolResult) else outcome


def _contents_thread() -> LoopThread:
    global _contents  # noqa: PLW0603
    with _lock:
        if _contents is None or _contents.closed:
            _contents = LoopThread("discomfort-results", "program")
            atexit.register(_contents.close)
        return _contents


def _renew_lock() -> None:
    """Replace the lock in a forked child: another thread of the parent may hold it."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


in_forked_child(_renew_lock)
