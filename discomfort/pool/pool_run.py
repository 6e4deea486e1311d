"""``PoolRun``: one run of a pool, as an object."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import Any

from discomfort._tracebacks import without_frames
from discomfort.pool.pool_events import PoolEvent
from discomfort.pool.pool_result import PoolResult
from discomfort.pool.run_state import PooledRun, PoolPhase


class PoolRun:
    """One run, submitted by :meth:`ComfyPool.submit`. Awaiting it gives its result, any number of times::

        run = await pool.submit("portrait.json", {"seed": 7})
        async for event in run.events():
            print(event)
        result = await run

    A task that waits for the run may be cancelled: the run goes on. :meth:`cancel` ends it. A run that fails while
    nobody waits for it or reads its events is logged as a warning.
    """

    __slots__ = ("__weakref__", "_cancel", "_state")

    def __init__(self, state: PooledRun, cancel: Callable[[PooledRun], Awaitable[bool]]) -> None:
        """Made by the pool; ``cancel`` ends the run and waits for that."""
        self._state, self._cancel = state, cancel

    def __repr__(self) -> str:
        where = f" on {self.server}" if self.server else ""
        return f"<PoolRun {self.run_id} of {self.name}: {self.phase}{where}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PoolRun) and other._state is self._state

    def __hash__(self) -> int:
        return hash(self._state)

    @property
    def run_id(self) -> str:
        """Its id in the pool, which stays the same wherever it runs."""
        return self._state.run_id

    @property
    def prompt_id(self) -> str:
        """The prompt's id on the present or last server; empty before one has it."""
        return self._state.prompt_id

    @property
    def name(self) -> str:
        """The name of its workflow."""
        return self._state.name

    @property
    def tenant(self) -> str:
        """Whose run it is."""
        return self._state.request.tenant

    @property
    def values(self) -> Mapping[str, Any]:
        """The values that were given for it, files included; by them a run of a batch is known."""
        return dict(self._state.values)

    @property
    def tags(self) -> Mapping[str, str]:
        """What the caller has given it."""
        return dict(self._state.options.tags)

    @property
    def phase(self) -> PoolPhase:
        """``waiting`` for a server, ``assigned`` to one, ``running`` there, or ``ended``."""
        return self._state.phase

    @property
    def server(self) -> str:
        """The name of the present or last server; empty while it waits."""
        return self._state.server

    @property
    def done(self) -> bool:
        """Whether it has ended, with a result or an error."""
        return self._state.done

    @property
    def seconds(self) -> float:
        """Seconds since it was submitted; after its end, until then."""
        return self._state.seconds

    @property
    def outcome(self) -> PoolResult | BaseException:
        """The result, or the error, of a run that has ended; for ``match``. Raises StateError before its end."""
        self._state.check_ended("outcome")
        return self._state.error or self._state.result()

    def __await__(self) -> Generator[Any, None, PoolResult]:
        """The result. Raises the run's error. Cancelling the waiting task does not cancel the run."""
        yield from self._state.wait().__await__()
        return self.result()

    def events(self) -> AsyncIterator[PoolEvent]:
        """The run's events from now on, beginning with those that describe its present state; the last is ``Done``.

        If the run waits again, its events start again from ``Waiting``. Nothing is lost to a slow reader, except for
        steps and previews that a newer one of the same node replaces. Errors are raised by ``await run``, not here.
        """
        self._state.check_loop()
        return self._state.stream.read()

    async def cancel(self) -> bool:
        """Take the run off the queue, or interrupt it on its server. Returns whether this ended it.

        Waits 5 s at most; the server may need longer. Whoever waits for the run gets ExecutionInterrupted.
        """
        self._state.check_loop()
        return False if self.done else await self._cancel(self._state)

    @without_frames
    def result(self) -> PoolResult:
        """The result of a run that has ended. Raises the run's error, and StateError before its end."""
        return self._state.result()
