"""Holds ``Run``: one prompt on its way through a server, as an object."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

from discomfort._json import copied
from discomfort._tracebacks import without_frames
from discomfort.client.outputs import Output
from discomfort.connector.run_status import RunStatus
from discomfort.connector.run_task import RunTask
from discomfort.exceptions import StateError
from discomfort.history import History
from discomfort.progress import ProgressEvent


class Run:
    """One prompt, submitted by :meth:`ComfyConnector.submit` or found by :meth:`ComfyConnector.find`.

    Awaiting it gives the history; that can be done any number of times, in any number of tasks::

        run = await connector.submit("workflow.json")
        async for event in run.events():
            print(run.status)
        history = await run

    A task that waits for the run may be cancelled: the run goes on. :meth:`cancel` ends it. A run that fails while
    nobody waits for it or reads its events is logged as a warning.
    """

    __slots__ = ("__weakref__", "_collect", "_task")

    def __init__(self, task: RunTask, collect: Callable[[History], list[Output]]) -> None:
        self._task, self._collect = task, collect

    def __repr__(self) -> str:
        return f"<Run {self.prompt_id} {self.status}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other._task is self._task

    def __hash__(self) -> int:
        return hash(self._task)

    @property
    def prompt_id(self) -> str:
        """The prompt's id on the server. It changes if the prompt is tried once more after it ran out of memory."""
        return self._task.prompt_id

    @property
    def status(self) -> RunStatus:
        """Where the run stands now, as far as is known. No I/O."""
        return self._task.status

    @property
    def done(self) -> bool:
        """Whether the run has ended, with a result or an error."""
        return self._task.done

    @property
    def seconds(self) -> float:
        """Seconds since the run was submitted or found; after its end, until then."""
        return self._task.seconds

    @property
    def created(self) -> float | None:
        """When the server accepted the prompt: a Unix time, as :attr:`RunStatus.created`."""
        return self.status.created

    @property
    def started(self) -> float | None:
        """When the server began to execute it: a Unix time, as :attr:`RunStatus.started`."""
        return self.status.started

    @property
    def ended(self) -> float | None:
        """When its execution ended: a Unix time, as :attr:`RunStatus.ended`."""
        return self.status.ended

    def __await__(self) -> Generator[Any, None, History]:
        """The history, ``{prompt_id: record}``. Raises the run's error, as ``run_workflow`` does.

        Cancelling the waiting task does not cancel the run. Raises ExecutionInterrupted if :meth:`cancel` ended it.
        """
        return self._history().__await__()

    def events(self) -> AsyncIterator[ProgressEvent]:
        """The run's events from now on, beginning with those that describe its present state; the last is ``Done``.

        Any number of readers may read at once. Nothing is lost to a slow one, except for steps and previews that a
        newer one of the same node replaces. Errors of the run are raised by ``await run``, not here. The events of a
        run that ``run_workflow`` or ``run`` began are not kept: whoever finds it gets only ``Done``.
        """
        self._task.check_loop()
        return self._task.stream.read()

    async def cancel(self) -> bool:
        """Take the prompt off the queue, or interrupt it if it runs, and no other prompt. Waits until that is done.

        Returns whether this ended the run; ``False`` if it had ended by itself. Whoever waits for the run gets
        ExecutionInterrupted. If the server does not answer, this takes 5 s, and goes on in the background.
        """
        return await self._task.cancel()

    def outputs(self) -> list[Output]:
        """Every output of the run, as :meth:`ComfyConnector.outputs` gives them. No I/O.

        Raises StateError before the end of the run, and the run's error if it failed.
        """
        if not self._task.done:
            raise StateError(f"run {self.prompt_id} has not ended; await it before outputs()")
        return self._collect(self._task.result())

    @without_frames
    def result(self) -> History:
        """The history of a run that has ended. Raises the run's error, and StateError before its end."""
        if not self._task.done:
            raise StateError(f"run {self.prompt_id} has not ended; await it before result()")
        history: History = copied(self._task.result())
        return history

    async def _history(self) -> History:
        history: History = copied(await self._task.wait())
        return history
