"""``WorkflowFunction``: a saved workflow that is called by the names of its inputs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from discomfort._json import JsonObject, copied
from discomfort._tracebacks import without_frames
from discomfort.connector.argument_checks import check_allow_paid, check_api_key, check_callback, check_timeout
from discomfort.connector.run_handle import Run
from discomfort.connector.run_result import RunResult
from discomfort.connector.run_status import RunStatus
from discomfort.exceptions import ArgumentProblem, RunTimeout
from discomfort.functions.bound_call import BoundCall, bound, merged_values
from discomfort.functions.call_filling import CallFilling, extra_data_of
from discomfort.functions.call_planning import plan_of_call
from discomfort.functions.call_result import CallResult, named_outputs
from discomfort.functions.host import FunctionHost
from discomfort.functions.loaded_workflow import LoadedWorkflow
from discomfort.history import History
from discomfort.planning.workflow_plan import WorkflowPlan
from discomfort.progress import ProgressCallback, ProgressEvent
from discomfort.workflow.extra_data import check_extra_data
from discomfort.workflow.interface.parameters import Interface

if TYPE_CHECKING:
    from discomfort.functions.input_form import InputForm
    from discomfort.sweeps import Sweep
    from discomfort.sweeps.sweep_rows import TableSource


@dataclass(frozen=True, slots=True)
class CallOptions:
    """Options of the calls of one function; see :meth:`WorkflowFunction.with_options`."""

    timeout: float | None = None
    on_progress: ProgressCallback | None = None
    extra_data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    allow_paid: bool | None = None
    api_key: str | None = field(default=None, repr=False)


class WorkflowFunction:
    """A workflow as a function, made by :meth:`ComfyConnector.load`: named inputs in, named outputs out::

        upscale = await connector.load("upscale.json")
        result = await upscale(image="photo.jpg", scale=4)
        await result.image.save("out")

    Any number of calls may be under way at once. Nothing of one call is left in the next.
    """

    def __init__(
        self, name: str, host: FunctionHost, loaded: LoadedWorkflow, options: CallOptions | None = None
    ) -> None:
        """Used by :func:`load_function`; ``loaded`` is prepared."""
        self._name, self._host, self._loaded = name, host, loaded
        self._options = options or CallOptions()
        # For help(), editors and inspect.signature.
        self.__doc__ = self.interface.docstring(name)
        self.__signature__ = self.interface.signature()

    @property
    def name(self) -> str:
        """Its name, for messages and files."""
        return self._name

    @property
    def interface(self) -> Interface:
        """What it takes and gives."""
        return self._loaded.known.interface

    @property
    def prompt(self) -> JsonObject:
        """A copy of the prompt that calls fill."""
        prompt: JsonObject = copied(self._loaded.known.prompt)
        return prompt

    def __repr__(self) -> str:
        return f"<WorkflowFunction {self._name}: {self.interface!r}>"

    def with_options(
        self,
        *,
        timeout: float | None = None,
        on_progress: ProgressCallback | None = None,
        extra_data: Mapping[str, Any] | None = None,
        allow_paid: bool | None = None,
        api_key: str | None = None,
    ) -> Self:
        """A copy whose calls have these options; those that are not given stay as they are.

        ``timeout`` is in seconds, for the whole call: conversion, uploads, queue and execution. ``on_progress``
        receives each event in order. ``extra_data`` is sent along with the prompt. ``allow_paid`` and ``api_key`` are
        those of :meth:`ComfyConnector.run_workflow`. Raises ArgumentError, PayloadError for extra data that cannot be
        sent.
        """
        given: dict[str, Any] = {
            "timeout": timeout, "on_progress": on_progress, "extra_data": extra_data,
            "allow_paid": allow_paid, "api_key": api_key,
        }  # fmt: skip
        check_timeout(timeout)
        check_callback(on_progress)
        check_extra_data(extra_data)
        check_allow_paid(allow_paid)
        check_api_key(api_key)
        changed = {key: value for key, value in given.items() if value is not None}
        return type(self)(self._name, self._host, self._loaded, replace(self._options, **changed))

    def problems(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> list[ArgumentProblem]:
        """What is wrong with these values; empty if a call would take them. No I/O: files are not looked for."""
        return bound(self._loaded.known, merged_values(values, named)).problems

    def form(self) -> InputForm:
        """A form for a notebook, with a field for each input and a button that runs it. Raises ConfigurationError
        without ipywidgets, which the extra ``notebook`` has.
        """
        from discomfort.functions.input_form import InputForm

        return InputForm(self)

    def grid(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> Sweep:
        """Every combination of values, as ``upscale.grid(seed=range(8), cfg=[5, 7])``; the last name changes fastest.

        A list, a range or another iterable has one value for each row; anything else is the same in all rows. Nothing
        runs before :meth:`Sweep.run`. Raises SweepError for a name that is not an input.
        """
        from discomfort.sweeps import Sweep

        return Sweep.of_grid(self, merged_values(values, named))

    def table(self, rows: TableSource, values: Mapping[str, Any] | None = None, /, **named: Any) -> Sweep:
        """The rows of a CSV file, of a file of JSON lines (``.jsonl``), or of mappings, as ``table("prompts.csv")``.

        The columns are names of inputs; a column ``name`` names the row's files. An empty cell leaves the input as it
        is in the workflow. Paths in a file are relative to it. Further values multiply the rows, as those of
        :meth:`grid` do. Blocking: the file is read here. Raises SweepError with the line, OSError.
        """
        from discomfort.sweeps import Sweep

        return Sweep.of_table(self, rows, merged_values(values, named))

    @without_frames
    async def __call__(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> CallResult:
        """Run the workflow with these values to its end, and return its outputs by name.

        Keyword arguments are the inputs of the interface; those that are not given keep what the workflow has.
        ``values`` has more of them, also by selector, as ``{"KSampler.seed": 1}``, for inputs without a name. Numbers,
        texts and choices are checked against type, bounds and list. An input that takes a picture, a mask, a sound, a
        video, a latent or a file takes a path, bytes, a file object, an image of Pillow, an array or a tensor, the
        name of a file on the server, or an output of another run: if that is on this server, nothing is transferred.
        Uploads belong to the call; on an owned server they are deleted at its end.

        Cancellation ends the run, and no other. Raises CallError with everything that is wrong before anything is
        sent; otherwise as :meth:`ComfyConnector.run`.
        """
        async with self._deadline() as remaining:
            call = await self._bound(merged_values(values, named))
            filling = CallFilling(call, self._host, self._name)
        options = self._options
        run = await self._host.run_filled(
            filling, on_progress=options.on_progress, timeout=remaining(),
            extra_data=extra_data_of(call, options.extra_data), allow_paid=options.allow_paid, api_key=options.api_key,
        )  # fmt: skip
        return self._result(call, filling, run)

    @without_frames
    async def submit(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> CallRun:
        """Submit a call, and return it as soon as the server has its prompt; ``await`` gives the :class:`CallResult`.

        Values and errors as for a call; ``on_progress`` is not used: read the events of the run. The run goes on
        whoever waits for it, as :class:`Run` does.
        """
        async with self._deadline() as remaining:
            call = await self._bound(merged_values(values, named))
            filling = CallFilling(call, self._host, self._name)
        options = self._options
        run = await self._host.submit_filled(
            filling, timeout=remaining(), extra_data=extra_data_of(call, options.extra_data),
            allow_paid=options.allow_paid, api_key=options.api_key,
        )  # fmt: skip

        def result(history: History) -> CallResult:
            made = RunResult(run.prompt_id, run.outputs(), run.seconds, history)
            return self._result(call, filling, made)

        return CallRun(run, result)

    @without_frames
    async def plan(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> WorkflowPlan:
        """What a call with these values would need that the server does not have; nothing is sent or run.

        Values that a call would refuse are in the plan, as ``values``; missing node types, too. Raises as
        :meth:`ComfyConnector.plan`.
        """
        given = merged_values(values, named)
        return await plan_of_call(self._host, self._loaded, self._name, given, api_key=self._options.api_key)

    async def _bound(self, values: Mapping[str, Any]) -> BoundCall:
        call = bound(await self._loaded.prepared(), values)
        await call.check_files(self._host)
        await call.check_kept_files(self._host)
        call.raise_problems(self._name)
        # Before files are uploaded; the prompt itself is checked again when it is sent.
        workflow = call.workflow
        self._host.refuse_paid(workflow.prompt, workflow.definitions, allow_paid=self._options.allow_paid)
        return call

    def _result(self, call: BoundCall, filling: CallFilling, run: RunResult) -> CallResult:
        assert filling.filled is not None  # noqa: S101 - a run that has ended was filled
        named = named_outputs(call.workflow.interface.outputs, filling.filled, run.outputs)
        return CallResult(self._name, run, named)

    @asynccontextmanager
    async def _deadline(self) -> AsyncIterator[Callable[[], float | None]]:
        """Limits what is done before the run; what is given says how much time is left for it."""
        timeout = self._options.timeout
        end = None if timeout is None else time.monotonic() + timeout
        try:
            async with asyncio.timeout(timeout) as limit:
                yield lambda: None if end is None else max(0.0, end - time.monotonic())
        except TimeoutError as error:
            # Waiting has timeouts of its own, too, with errors that say more.
            if timeout is None or not limit.expired():
                raise
            raise RunTimeout(f"the call was not ready within {timeout:g} s", timeout=timeout) from error


class CallRun:
    """A call that was submitted. Awaiting it gives its result, any number of times, in any number of tasks."""

    def __init__(self, run: Run, result: Callable[[History], CallResult]) -> None:
        """Made by :meth:`WorkflowFunction.submit`."""
        self._run, self._result = run, result

    def __repr__(self) -> str:
        return f"<CallRun {self.prompt_id} {self.status}>"

    @property
    def run(self) -> Run:
        """The run itself."""
        return self._run

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

    def __await__(self) -> Generator[Any, None, CallResult]:
        """The result. Raises the run's error. Cancelling the waiting task does not cancel the run."""
        history = yield from self._run.__await__()
        return self._result(history)

    def events(self) -> AsyncIterator[ProgressEvent]:
        """See :meth:`Run.events`."""
        return self._run.events()

    async def cancel(self) -> bool:
        """See :meth:`Run.cancel`."""
        return await self._run.cancel()
