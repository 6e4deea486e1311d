"""Runs and outputs of ``SyncConnector``: the same as those of the connector, without ``await``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from discomfort._system.loop_thread import LoopThread
from discomfort.client.artifact import Artifact
from discomfort.client.notebook import as_html
from discomfort.client.outputs import Output, OutputFields
from discomfort.connector.run_handle import Run
from discomfort.connector.run_result import RunResult
from discomfort.connector.run_status import RunStatus
from discomfort.history import History
from discomfort.progress import Done, ProgressEvent

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(slots=True, eq=False)
class SyncOutput(OutputFields):
    """An :class:`Output` whose methods block until they are done."""

    output: Output = field(kw_only=True, repr=False)
    """The output itself; its coroutines run only in the connector's loop."""
    _thread: LoopThread = field(kw_only=True, repr=False)

    def read(self) -> bytes:
        """See :meth:`Output.read`."""
        return self._thread.call(self.output.read())

    def image(self) -> Image:
        """See :meth:`Output.image`."""
        return self._thread.call(self.output.image())

    def save(self, directory: str | os.PathLike[str], name: str | None = None) -> Path:
        """See :meth:`Output.save`."""
        return self._thread.call(self.output.save(directory, name))

    def artifact(self, directory: str | os.PathLike[str] | None = None, name: str | None = None) -> Artifact:
        """See :meth:`Output.artifact`."""
        return self._thread.call(self.output.artifact(directory, name))

    def _repr_html_(self) -> str:
        return as_html([self])

    def _read_blocking(self) -> bytes | None:
        return self.output._read_blocking()


def sync_output(output: Output, thread: LoopThread) -> SyncOutput:
    """``output`` with methods that block."""
    known = {item.name: getattr(output, item.name) for item in fields(OutputFields)}
    return SyncOutput(**known, output=output, _thread=thread)


@dataclass(frozen=True, slots=True)
class SyncRunResult:
    """A :class:`RunResult` whose outputs need no ``await``."""

    prompt_id: str
    outputs: list[SyncOutput]
    seconds: float
    history: History = field(repr=False)

    @property
    def images(self) -> list[SyncOutput]:
        """See :attr:`RunResult.images`."""
        return [output for output in self.outputs if output.kind == "image"]

    @property
    def files(self) -> list[SyncOutput]:
        """See :attr:`RunResult.files`."""
        return [output for output in self.outputs if output.filename is not None]

    def save(self, directory: str | os.PathLike[str]) -> list[Path]:
        """See :meth:`RunResult.save`."""
        return [output.save(directory) for output in self.files]

    def _repr_html_(self) -> str:
        return as_html(self.outputs)


def sync_result(result: RunResult, thread: LoopThread) -> SyncRunResult:
    """``result`` with outputs that need no ``await``."""
    outputs = [sync_output(output, thread) for output in result.outputs]
    return SyncRunResult(result.prompt_id, outputs, result.seconds, result.history)


class RunFace:
    """What a wrapper of a :class:`Run` shows of it without an event loop. Wrappers of one run are equal."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.prompt_id} {self.status}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and other._run == self._run

    def __hash__(self) -> int:
        return hash(self._run)

    @property
    def prompt_id(self) -> str:
        """See :attr:`Run.prompt_id`."""
        return self._run.prompt_id

    @property
    def status(self) -> RunStatus:
        """See :attr:`Run.status`."""
        return self._run.status

    @property
    def done(self) -> bool:
        """See :attr:`Run.done`."""
        return self._run.done

    @property
    def seconds(self) -> float:
        """See :attr:`Run.seconds`."""
        return self._run.seconds

    @property
    def created(self) -> float | None:
        """See :attr:`Run.created`."""
        return self._run.created

    @property
    def started(self) -> float | None:
        """See :attr:`Run.started`."""
        return self._run.started

    @property
    def ended(self) -> float | None:
        """See :attr:`Run.ended`."""
        return self._run.ended


class SyncRun(RunFace):
    """A :class:`Run` whose methods block. All may be called from any thread."""

    def __init__(self, run: Run, thread: LoopThread) -> None:
        super().__init__(run)
        self._thread = thread

    def wait(self) -> History:
        """Wait for the end and return the history, as ``await run`` does. Ctrl-C ends the wait, not the run."""

        async def wait() -> History:
            return await self._run

        # A run that has ended needs no loop: its connector may have ended too.
        return self._run.result() if self.done else self._thread.call(wait())

    def events(self) -> Iterator[ProgressEvent]:
        """See :meth:`Run.events`: what happens from this call on. Waits for the next event in each step."""

        async def begin() -> AsyncIterator[ProgressEvent]:
            return self._run.events()

        if self.done:
            return iter([Done(self.prompt_id, bool(self.status.success))])
        return SyncEvents(self._thread.call(begin()), self._thread)

    def cancel(self) -> bool:
        """See :meth:`Run.cancel`."""
        return not self.done and self._thread.call(self._run.cancel())

    def outputs(self) -> list[SyncOutput]:
        """See :meth:`Run.outputs`."""
        return [sync_output(output, self._thread) for output in self._run.outputs()]


class SyncEvents(Iterator[ProgressEvent]):
    """The events of a :class:`SyncRun`. After Ctrl-C in a step, the next step goes on."""

    def __init__(self, reader: AsyncIterator[ProgressEvent], thread: LoopThread) -> None:
        self._reader, self._thread = reader, thread

    def __next__(self) -> ProgressEvent:
        event = self._thread.call(self._following())
        if event is None:
            raise StopIteration
        return event

    async def _following(self) -> ProgressEvent | None:
        return await anext(self._reader, None)
