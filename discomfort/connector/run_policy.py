"""Applies the connector's policies to a run: server death, out of memory, nodes that ignore cancellation.

The client takes a prompt through one server. This module decides what happens when one server is not enough.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from discomfort._json import JsonObject
from discomfort.client.comfy import ComfyClient
from discomfort.client.reporter import Reporter
from discomfort.client.runs import PromptRun
from discomfort.config import Settings
from discomfort.connector.argument_checks import check_allow_paid, check_api_key
from discomfort.connector.calls import Call, Calls
from discomfort.connector.cancellation import CancellationWatch
from discomfort.connector.event_log import EventLog
from discomfort.connector.prompts import Prompts
from discomfort.connector.recovery import Recovery, for_prompt
from discomfort.connector.resources import Resources
from discomfort.connector.server_loss import ServerLoss
from discomfort.connector.states import Lifecycle, State
from discomfort.connector.upload_names import UploadPlaces
from discomfort.exceptions import (
    ExecutionInterrupted,
    FatalPromptError,
    MissingNodesError,
    OutOfMemoryError,
    ResultLostError,
    RunTimeout,
    ServerConnectionError,
    ServerDiedError,
    ServerError,
    ServerResponseError,
    StateError,
)
from discomfort.progress import Done, ProgressCallback, ProgressEvent
from discomfort.workflow.partner_nodes import Spending

_log = logging.getLogger("discomfort.connector")

_SOCKET_LOSS_TOLERANCE = 1.0
"""A socket lost at most this many seconds before the server's exit was noticed was lost to that exit."""

_FREE_DEADLINE = 5.0
"""Seconds for ``POST /free``, which only sets flags that the server's worker acts on later."""

_MAX_DEATHS_PER_PROMPT = 2
"""Server deaths during one prompt after which the prompt counts as their cause."""


def spending(settings: Settings, *, allow_paid: bool | None = None, api_key: str | None = None) -> Spending:
    """What a call may spend; ``None`` means what the settings say. Raises ArgumentError, without the key.

    A key that cannot be sent as a header would fail at the service, whose error might show it.
    """
    check_allow_paid(allow_paid)
    check_api_key(api_key)
    key = settings.api_key.get_secret_value() if api_key is None and settings.api_key is not None else api_key
    return Spending(settings.allow_paid if allow_paid is None else allow_paid, key)


class EventRelay:
    """Passes the events of several attempts to one callback as those of one run: ``Done`` comes once, at the end."""

    def __init__(self, on_progress: ProgressCallback, prompt_id: str) -> None:
        self._reporter = Reporter(on_progress, prompt_id)
        self._ended: str | None = None

    def __call__(self, event: ProgressEvent) -> None:
        if isinstance(event, Done):
            self._ended = event.prompt_id
        else:
            self._reporter.emit(event)

    async def finish(self, *, success: bool) -> None:
        """Report the end, if any attempt reached the server."""
        if self._ended is not None:
            await self._reporter.finish(Done(self._ended, success))


@dataclass(slots=True)
class RunRequest:
    """One call of ``run_workflow``: what to run, until when, and what has happened to it."""

    prompt: JsonObject
    extra_data: Mapping[str, Any] | None = field(default=None, repr=False)
    spending: Spending | None = None
    """``None``: as the settings say."""
    on_progress: ProgressCallback | None = None
    deadline: float | None = None
    """By :func:`time.monotonic`."""
    timeout: float | None = None
    """Seconds that the caller asked for; RunTimeout names them."""
    call: Call | None = None
    prompt_id: str | None = None
    run: PromptRun | None = None
    deaths: list[ServerDiedError] = field(default_factory=list)
    suspicions: int = 0
    is_retried: bool = False

    def set_run(self, run: PromptRun) -> None:
        """Keep the client's run of this attempt: its stage decides what a server's death means for it."""
        self.run = run

    @contextlib.contextmanager
    def in_client(self) -> Iterator[None]:
        """Marks the time in which the client has the run: a shutdown then leaves it to the client to end it."""
        if self.call is not None:
            self.call.in_client = True
        try:
            yield
        finally:
            if self.call is not None:
                self.call.in_client = False

    @property
    def remaining(self) -> float | None:
        """Seconds left, at least a millisecond; ``None`` without a deadline."""
        return None if self.deadline is None else max(0.001, self.deadline - time.monotonic())


class RunPolicy:
    """Runs prompts on one connector's parts; ``ready`` waits for a server, ``watch`` starts the stuck-server watch."""

    def __init__(
        self,
        parts: Resources,
        lifecycle: Lifecycle,
        recovery: Recovery,
        loss: ServerLoss,
        prompts: Prompts,
        cancellation: CancellationWatch,
        calls: Calls,
        events: EventLog,
        *,
        ready: Callable[[], Awaitable[None]],
        watch: Callable[[], None],
    ) -> None:
        self._parts, self._lifecycle, self._recovery, self._loss = parts, lifecycle, recovery, loss
        self._prompts, self._cancellation, self._calls, self._events = prompts, cancellation, calls, events
        self._ready, self._watch = ready, watch
        self.uploads: UploadPlaces = UploadPlaces()

    @property
    def _resubmits(self) -> bool:
        """Whether runs survive the server's death."""
        return self._parts.owned and self._recovery.resubmits

    async def run(self, request: RunRequest) -> JsonObject:
        """Run a prompt under the policies. Raises as ``run_workflow`` does."""
        began = time.monotonic()
        try:
            history = await self._run(request)
        except BaseException as error:
            self._note_end(getattr(error, "prompt_id", None), type(error).__name__, began)
            raise
        # A result is proof that an attached server executes again; nothing else clears the verdict.
        self._loss.stuck = ""
        self._note_end(next(iter(history)), "success", began)
        return history

    async def _run(self, request: RunRequest) -> JsonObject:
        request.prompt_id = self._fixed_id()
        retries = self._resubmits or self._parts.settings.on_out_of_memory == "retry_once"
        if request.on_progress is None or not retries:
            return await self._run_with_policies(request)
        # The client ends every attempt with Done. Callers rely on Done being the last event, so it is held back here.
        relay = EventRelay(request.on_progress, request.prompt_id or "")
        request.on_progress = relay
        success = False
        try:
            history = await self._run_with_policies(request)
            success = True
        finally:
            await relay.finish(success=success)
        return history

    def with_upload_names(self, prompt: JsonObject, definitions: Mapping[str, Any]) -> JsonObject:
        """The prompt with the full names of uploads, as it is sent."""
        engine = self._parts.engine
        return prompt if engine is None else self.uploads.resolve(prompt, definitions, engine.folders.input)

    async def attempt(self, request: RunRequest) -> JsonObject:
        """Submit once to the present server. The only policy applied is the one for ignored cancellations."""
        # Read together, before the first await: a server lost later raises the count, which is how raise_if_dead()
        # knows that this attempt was hit by it.
        client, engine, count = self._parts.client, self._parts.engine, self._recovery.count
        if client is None:
            raise StateError(f"the connector is {self._lifecycle.state}, it has no connection to a server")
        try:
            prompt = request.prompt
            if engine is not None and self.uploads.named_in(prompt):
                definitions = await self._definitions(client, request)
                prompt = self.uploads.resolve(prompt, definitions, engine.folders.input)
            return await self._submit(client, prompt, request)
        except (asyncio.CancelledError, RunTimeout):
            self._cancellation.escalate(request.run)
            raise
        # The three ways in which a dying server shows: a broken request, a run under way in a client that the restart
        # closes (ExecutionInterrupted), and a run that begins in a client already closed (StateError).
        except (ServerConnectionError, ExecutionInterrupted, StateError) as error:
            prompt_id = request.run.prompt_id if request.run else request.prompt_id
            await self._loss.raise_if_dead(error, count, prompt_id=prompt_id)
            raise
        except MissingNodesError as error:
            self._prompts.raise_if_emulated(error)
            raise

    async def _definitions(self, client: ComfyClient, request: RunRequest) -> JsonObject:
        """The node definitions, within the run's timeout; empty if the server does not provide them."""
        try:
            async with asyncio.timeout(request.remaining) as scope, self._calls.server_needed():
                return await client.shared_definitions()
        except ServerResponseError as error:
            # Only definitions show which inputs are file pickers. Without them the prompt is sent as it is, and the
            # server itself refuses a file that it does not find.
            _log.warning("uploads are not looked up by their bare names: %s", error.problem)
            return {}
        except TimeoutError as error:
            if not scope.expired() or request.timeout is None:
                raise
            problem = f"the server did not send its node definitions within {request.timeout:g} s"
            raise RunTimeout(problem, timeout=request.timeout, prompt_id=request.prompt_id) from error

    async def _submit(self, client: ComfyClient, prompt: JsonObject, request: RunRequest) -> JsonObject:
        # A resubmitted run needs the watch too, and the former one may have ended with the former server.
        self._watch()
        with request.in_client():
            return await client.run(
                prompt,
                on_progress=request.on_progress,
                timeout=request.remaining,
                extra_data=request.extra_data,
                prompt_id=request.prompt_id,
                asked=request.timeout,
                on_run=request.set_run,
                copy=False,
                spending=request.spending or spending(self._parts.settings),
            )

    def _note_end(self, prompt_id: str | None, ended: str, began: float) -> None:
        self._events.note("run", prompt_id=prompt_id, ended=ended, seconds=round(time.monotonic() - began, 3))

    def _fixed_id(self) -> str | None:
        # One id for every attempt after a server's death: events, errors and the suspects must all name the same run.
        return str(uuid.uuid4()) if self._resubmits else None

    # --- policies --------------------------------------------------------------------------------------------------

    async def _run_with_policies(self, request: RunRequest) -> JsonObject:
        while True:
            # Else a death before the client makes the next run would be judged by the stage of the last one.
            request.run = None
            try:
                await self._wait_out_lost_server(request)
                return await self.attempt(request)
            except ServerDiedError as death:
                if not self._resubmits:
                    raise
                await self._prepare_resubmission(request, death)
            except OutOfMemoryError as error:
                if not await self._handle_out_of_memory(request, error):
                    raise

    async def _wait_out_lost_server(self, request: RunRequest) -> None:
        """Wait for a new server if the last one died after the caller had waited for it."""
        if self._lifecycle.state not in {State.ERROR, State.INITIALIZING} or self._recovery.last is None:
            return
        if not self._resubmits:
            raise for_prompt(self._recovery.last, request.prompt_id)
        await self._wait_for_server(request)

    async def _prepare_resubmission(self, request: RunRequest, death: ServerDiedError) -> None:
        """Return once the prompt may be submitted again. Raises if it must not be.

        A prompt that may have ended is not run twice, because its outputs may exist. A prompt that was running at two
        deaths of the server is assumed to cause them: running it again would kill the server under all other runs.
        """
        # The error may arrive before the process's exit callback, and the suspects read below are those of this death.
        self._loss.notice()
        request.deaths.append(death)
        stage = request.run.stage if request.run is not None else "new"
        # ComfyUI keeps its history in memory only: the record is lost with the process, and nothing else can tell
        # whether the outputs were written.
        if stage == "ended" or self._may_have_ended_unseen(request.run):
            fact = "ended" if stage == "ended" else "may have ended while its socket was down"
            problem = f"prompt {request.prompt_id} {fact}, and the server died before its record was read"
            problem += f"; it is not executed again: {death.problem}"
            raise ResultLostError(problem, prompt_id=request.prompt_id) from death
        if request.prompt_id in self._recovery.suspects:
            request.suspicions += 1
        if request.suspicions >= _MAX_DEATHS_PER_PROMPT:
            problem = f"the server died {request.suspicions} times with prompt {request.prompt_id}"
            problem += ", it is not submitted again:"
            raise FatalPromptError(problem, request.deaths, prompt_id=request.prompt_id) from death
        _log.warning("prompt %s (%s) waits for a new server and is submitted again", request.prompt_id, stage)
        self._events.note("resubmission", prompt_id=request.prompt_id, stage=stage)
        # No server has the prompt now, and the run's status must say so.
        request.run = None
        await self._wait_for_server(request)

    def _may_have_ended_unseen(self, run: PromptRun | None) -> bool:
        """Whether the run's socket was lost before the server was, and not together with it."""
        if run is None or not run.sent or run.blind_since is None:
            return False
        return run.blind_since < self._recovery.lost_at - _SOCKET_LOSS_TOLERANCE

    async def _wait_for_server(self, request: RunRequest) -> None:
        try:
            async with asyncio.timeout(request.remaining) as scope:
                await self._ready()
        except TimeoutError as error:
            if not scope.expired() or request.timeout is None:
                raise
            problem = f"prompt {request.prompt_id} took longer than {request.timeout:g} s"
            problem += "; the server died and the new one was not ready yet"
            raise RunTimeout(problem, timeout=request.timeout, prompt_id=request.prompt_id) from error
        except StateError as error:
            problem = f"the connector was shut down while prompt {request.prompt_id} waited for a new server"
            raise ExecutionInterrupted(problem, prompt_id=request.prompt_id) from error

    async def _handle_out_of_memory(self, request: RunRequest, error: OutOfMemoryError) -> bool:
        """Ask the server to free its memory. Returns whether to run the prompt once more.

        On an attached server, models that other users loaded are unloaded only if a retry is configured.
        """
        retry = self._parts.settings.on_out_of_memory == "retry_once" and not request.is_retried
        client = self._parts.client
        if client is not None and (self._parts.owned or retry):
            # ComfyUI unloads its models after such an error by itself, but keeps cached node outputs, which hold
            # latents and images. /free drops those too.
            try:
                await client.rest.free(deadline=_FREE_DEADLINE)
            except (ServerError, StateError) as failure:
                _log.warning("the server could not be asked to free its memory: %s", failure)
        self._events.note("out of memory", prompt_id=error.prompt_id, node=error.node_id)
        if retry:
            _log.warning("prompt %s ran out of memory at node %s; trying it once more", error.prompt_id, error.node_id)
            request.is_retried = True
            # The history already has a record under the old id: that of the failed attempt.
            request.prompt_id = self._fixed_id()
        return retry
