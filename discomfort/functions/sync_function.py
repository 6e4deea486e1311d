"""Workflows as functions without ``await``: those of ``SyncConnector``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from discomfort._json import JsonObject
from discomfort._system.loop_thread import LoopThread
from discomfort.connector.run_status import RunStatus
from discomfort.exceptions import ArgumentProblem
from discomfort.functions.call_result import CallResult
from discomfort.functions.result_face import ResultFace
from discomfort.functions.sync_typed_outputs import SyncItems, sync_items
from discomfort.functions.workflow_function import CallRun, WorkflowFunction
from discomfort.planning.workflow_plan import WorkflowPlan
from discomfort.progress import ProgressCallback, ProgressEvent
from discomfort.sync_run import SyncOutput, SyncRun, sync_output
from discomfort.workflow.interface.parameters import Interface

if TYPE_CHECKING:
    from discomfort.functions.input_form import InputForm
    from discomfort.sweeps import SyncSweep
    from discomfort.sweeps.sweep_rows import TableSource


class SyncCallResult(ResultFace[SyncItems]):
    """A :class:`CallResult` whose outputs need no ``await``."""

    def __init__(self, result: CallResult, thread: LoopThread) -> None:
        """Made by :class:`SyncFunction`."""
        named = {name: sync_items(items, thread) for name, items in result._named.items()}
        super().__init__(result._name, result._run, named)
        self._result, self._thread = result, thread

    @property
    def outputs(self) -> list[SyncOutput]:
        """See :attr:`CallResult.outputs`."""
        return [sync_output(output, self._thread) for output in self._result.outputs]

    def save(self, directory: str | os.PathLike[str]) -> list[Path]:
        """See :meth:`CallResult.save`."""
        return self._thread.call(self._result.save(directory))


class SyncFunction:
    """A :class:`WorkflowFunction` whose calls block, made by :meth:`SyncConnector.load`."""

    def __init__(self, function: WorkflowFunction, thread: LoopThread) -> None:
        """Made by :meth:`SyncConnector.load`."""
        self._function, self._thread = function, thread
        self.__doc__ = function.__doc__
        self.__signature__ = function.__signature__

    def __repr__(self) -> str:
        return f"<SyncFunction {self.name}: {self.interface!r}>"

    @property
    def function(self) -> WorkflowFunction:
        """The function itself; its coroutines run only in the connector's loop."""
        return self._function

    @property
    def name(self) -> str:
        """See :attr:`WorkflowFunction.name`."""
        return self._function.name

    @property
    def interface(self) -> Interface:
        """See :attr:`WorkflowFunction.interface`."""
        return self._function.interface

    @property
    def prompt(self) -> JsonObject:
        """See :attr:`WorkflowFunction.prompt`."""
        return self._function.prompt

    def with_options(
        self,
        *,
        timeout: float | None = None,
        on_progress: ProgressCallback | None = None,
        extra_data: Mapping[str, Any] | None = None,
        allow_paid: bool | None = None,
        api_key: str | None = None,
    ) -> Self:
        """See :meth:`WorkflowFunction.with_options`; ``on_progress`` is called in the connector's thread."""
        made = self._function.with_options(
            timeout=timeout, on_progress=on_progress, extra_data=extra_data, allow_paid=allow_paid, api_key=api_key
        )
        return type(self)(made, self._thread)

    def problems(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> list[ArgumentProblem]:
        """See :meth:`WorkflowFunction.problems`."""
        return self._function.problems(values, **named)

    def form(self) -> InputForm:
        """See :meth:`WorkflowFunction.form`. The button blocks the kernel until the result is there."""
        from discomfort.functions.input_form import InputForm

        return InputForm(self)

    def grid(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> SyncSweep:
        """See :meth:`WorkflowFunction.grid`."""
        from discomfort.sweeps import SyncSweep

        return SyncSweep(self._function.grid(values, **named), self._thread)

    def table(self, rows: TableSource, values: Mapping[str, Any] | None = None, /, **named: Any) -> SyncSweep:
        """See :meth:`WorkflowFunction.table`."""
        from discomfort.sweeps import SyncSweep

        return SyncSweep(self._function.table(rows, values, **named), self._thread)

    def plan(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> WorkflowPlan:
        """See :meth:`WorkflowFunction.plan`."""
        return self._thread.call(self._function.plan(values, **named))

    def __call__(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> SyncCallResult:
        """See :meth:`WorkflowFunction.__call__`. Ctrl-C ends the run."""
        return SyncCallResult(self._thread.call(self._function(values, **named)), self._thread)

    def submit(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> SyncCallRun:
        """See :meth:`WorkflowFunction.submit`."""
        return SyncCallRun(self._thread.call(self._function.submit(values, **named)), self._thread)


class SyncCallRun:
    """A :class:`CallRun` whose methods block."""

    def __init__(self, run: CallRun, thread: LoopThread) -> None:
        """Made by :meth:`SyncFunction.submit`."""
        self._call, self._thread = run, thread

    def __repr__(self) -> str:
        return f"<SyncCallRun {self.prompt_id} {self.status}>"

    @property
    def run(self) -> SyncRun:
        """The run itself."""
        return SyncRun(self._call.run, self._thread)

    @property
    def prompt_id(self) -> str:
        """See :attr:`Run.prompt_id`."""
        return self._call.prompt_id

    @property
    def status(self) -> RunStatus:
        """See :attr:`Run.status`."""
        return self._call.status

    @property
    def done(self) -> bool:
        """See :attr:`Run.done`."""
        return self._call.done

    def wait(self) -> SyncCallResult:
        """Wait for the end, and return the result. Ctrl-C ends the wait, not the run."""

        async def wait() -> CallResult:
            return await self._call

        return SyncCallResult(self._thread.call(wait()), self._thread)

    def events(self) -> Iterator[ProgressEvent]:
        """See :meth:`SyncRun.events`."""
        return self.run.events()

    def cancel(self) -> bool:
        """See :meth:`Run.cancel`."""
        return self.run.cancel()
