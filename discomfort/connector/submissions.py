"""Makes runs, and finds those that the server has from somebody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from discomfort._json import JsonObject
from discomfort.client.runs import PromptRun
from discomfort.connector.argument_checks import check_callback, check_timeout
from discomfort.connector.calls import Call, Calls
from discomfort.connector.event_stream import EventStream
from discomfort.connector.payload_filling import Filling
from discomfort.connector.payloads import Payload
from discomfort.connector.prompts import Prompts
from discomfort.connector.resources import Resources
from discomfort.connector.run_policy import RunPolicy, RunRequest
from discomfort.connector.run_status import RunPhase, RunStatus
from discomfort.connector.run_task import RunTask
from discomfort.connector.states import Lifecycle
from discomfort.exceptions import ExecutionInterrupted, PayloadError, RunTimeout, StateError
from discomfort.progress import ProgressCallback
from discomfort.workflow.partner_nodes import Spending

_PHASES: Mapping[str, RunPhase] = {"queued": "queued", "running": "running", "ended": "ended"}


@dataclass(frozen=True, slots=True)
class Submission:
    """What a caller wants to run; ``payload`` and ``extra_data`` are copies of the caller's."""

    payload: Payload
    use_workflow_json: bool | None = True
    """``None``: either kind."""
    on_progress: ProgressCallback | None = None
    timeout: float | None = None
    extra_data: Mapping[str, Any] | None = field(default=None, repr=False)
    spending: Spending | None = None
    filling: Filling | None = None
    """Makes the payload to run from the given one, within the timeout; its uploads are discarded after the run."""


class Submissions:
    """The runs of one connector; ``ready`` waits for a server, ``watch`` starts the stuck-server watch."""

    def __init__(
        self,
        parts: Resources,
        lifecycle: Lifecycle,
        calls: Calls,
        prompts: Prompts,
        policy: RunPolicy,
        *,
        ready: Callable[[], Awaitable[None]],
        watch: Callable[[], None],
    ) -> None:
        self._parts, self._lifecycle, self._calls = parts, lifecycle, calls
        self._prompts, self._policy = prompts, policy
        self._ready, self._watch = ready, watch
        self._runs: set[RunTask] = set()

    @property
    def under_way(self) -> tuple[RunTask, ...]:
        """The runs that have not ended."""
        return tuple(self._runs)

    def make(self, submission: Submission, *, observed: bool) -> RunTask:
        """A run that has not begun. ``observed``: its events are kept for readers, which costs one request more.

        Raises ArgumentError for a wrong timeout or callback, StateError after the connector's end.
        """
        check_timeout(submission.timeout)
        check_callback(submission.on_progress)
        self._lifecycle.refuse_if_ending()
        stream = EventStream()
        on_progress = stream.publish if observed else submission.on_progress
        request = RunRequest({}, on_progress=on_progress, spending=submission.spending)
        return self._make(stream, request, lambda: self._perform(submission, request))

    async def find(self, prompt_id: str) -> RunTask:
        """The run of a prompt that the server has, or had. Raises PromptLostError if it does not know the prompt."""
        check_prompt_id(prompt_id)
        run = next((run for run in self._runs if run.prompt_id == prompt_id), None)
        if run is None:
            self._lifecycle.refuse_if_ending()
            stream = EventStream()
            request = RunRequest({}, on_progress=stream.publish, prompt_id=prompt_id)
            run = self._make(stream, request, lambda: self._follow(request), is_followed=True)
            run.begin()
        await run.wait_found()
        return run

    def _make(
        self,
        stream: EventStream,
        request: RunRequest,
        work: Callable[[], Coroutine[Any, Any, JsonObject]],
        *,
        is_followed: bool = False,
    ) -> RunTask:
        run = RunTask(
            stream,
            work,
            find_id=lambda: _id_of(request),
            describe=lambda: _described(request),
            before_cancel=lambda: _own(request.run),
            on_end=self._runs.discard,
            is_ending=lambda: self._lifecycle.ending,
            is_followed=is_followed,
        )
        self._runs.add(run)
        return run

    async def _perform(self, submission: Submission, request: RunRequest) -> JsonObject:
        try:
            return await self._fill_and_run(submission, request)
        finally:
            if submission.filling is not None:
                await submission.filling.take_back()

    async def _fill_and_run(self, submission: Submission, request: RunRequest) -> JsonObject:
        timeout = submission.timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        async with self._open_call() as call:
            try:
                async with asyncio.timeout(timeout):
                    await self._ready()
                    payload = submission.payload
                    if submission.filling is not None:
                        payload = await submission.filling.fill(payload)
                    prompt, extra = await self._prompts.prepare(
                        payload, submission.use_workflow_json, submission.extra_data
                    )
            except TimeoutError as error:
                if deadline is None or time.monotonic() < deadline or timeout is None:
                    raise
                raise RunTimeout(
                    f"the prompt was not ready within {timeout:g} s (start and conversion included)", timeout=timeout
                ) from error
            request.prompt, request.extra_data, request.call = prompt, extra, call
            request.deadline, request.timeout = deadline, timeout
            return await self._policy.run(request)

    async def _follow(self, request: RunRequest) -> JsonObject:
        async with self._open_call() as call:
            await self._ready()
            request.call = call
            client = self._parts.client
            if client is None:
                raise StateError("the connector has no connection to a server")
            self._watch()
            with request.in_client():
                return await self._prompts.with_server(
                    lambda: client.follow(
                        request.prompt_id or "", on_progress=request.on_progress, on_run=request.set_run
                    ),
                    survives=False,
                )

    def _open_call(self) -> AbstractAsyncContextManager[Call]:
        # The shutdown may have begun between the call and the first step of the run's task.
        if self._lifecycle.ending:
            raise interrupted()
        return self._calls.open(interrupted)


def check_prompt_id(prompt_id: object) -> None:
    """Raise PayloadError for anything but a prompt id."""
    # Lone surrogates cannot be sent.
    if not isinstance(prompt_id, str) or not prompt_id or not prompt_id.isprintable():
        raise PayloadError(f"prompt_id must be a non-empty string, not {prompt_id!r}")


def interrupted() -> ExecutionInterrupted:
    """The error of a run whose connector was shut down."""
    return ExecutionInterrupted("the connector was shut down before the run had its result")


def _id_of(request: RunRequest) -> str:
    return request.run.prompt_id if request.run is not None else request.prompt_id or ""


def _described(request: RunRequest) -> RunStatus:
    """The status of a run as its client knows it."""
    run = request.run
    if run is None:
        return RunStatus()
    times = run.times
    return RunStatus(
        _PHASES.get(run.stage, "submitting"),
        run.position,
        created=times.created,
        started=times.started,
        ended=times.ended,
    )


def _own(run: PromptRun | None) -> None:
    """Have the prompt taken off the server although somebody else submitted it."""
    if run is not None:
        run.ours = True
