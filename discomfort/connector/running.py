"""The way of one run by the connector's policies: a server that died, memory that ran out, cancelled nodes that go on.

The client takes a prompt through one server. What happens when that server is not enough is decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from discomfort._json import JsonObject
from discomfort.client.comfy import ComfyClient
from discomfort.client.protocol import running_prompts
from discomfort.client.reporter import Reporter
from discomfort.client.runs import Run
from discomfort.connector.assembly import Assembly
from discomfort.connector.calls import Call, Calls
from discomfort.connector.chronicle import Chronicle
from discomfort.connector.lifecycle import Lifecycle, State
from discomfort.connector.recovery import Recovery, Spawn, about
from discomfort.connector.uploads import UploadPlaces
from discomfort.exceptions import (
    BrowserError,
    ConversionError,
    DiscomfortError,
    ExecutionInterrupted,
    FatalPromptError,
    MissingNodesError,
    OutOfMemoryError,
    ResultLostError,
    RunTimeout,
    ServerConnectionError,
    ServerDiedError,
    ServerError,
    StateError,
)
from discomfort.progress import Done, ProgressCallback, ProgressEvent

_log = logging.getLogger("discomfort.connector")

T = TypeVar("T")

_DEATH_NOTICE = 2.0
"""Seconds to wait for the news of a process's end after its connection broke, to tell death from a network fault."""

_SOCKET_OF_THE_DEAD = 1.0
"""Seconds before the news of the server's end within which the loss of a socket is a part of it."""

_FREE_DEADLINE = 5.0
"""Seconds for ``POST /free``, which only leaves a note for the server's worker."""

_DEATHS_OF_ONE_PROMPT = 2
"""Deaths during one prompt after which it is believed to cause them."""

_LADDER_LOOK = 0.5

_EMULATOR_REMEDY = (
    "This is the embedded emulator, which has core nodes that need no model only; "
    "install ComfyUI and set COMFYUI_PATH to run them."
)


class Relay:
    """Hands the events of several attempts to one callback as those of one run: ``Done`` comes once, at the end."""

    def __init__(self, on_progress: ProgressCallback, prompt_id: str) -> None:
        self._reporter = Reporter(on_progress, prompt_id)
        self._ended: str | None = None

    def __call__(self, event: ProgressEvent) -> None:
        """Pass an event on."""
        if isinstance(event, Done):
            self._ended = event.prompt_id
        else:
            self._reporter.emit(event)

    async def finish(self, *, success: bool) -> None:
        """Report the end, where any attempt had a beginning."""
        if self._ended is not None:
            await self._reporter.finish(Done(self._ended, success))


@dataclass(slots=True)
class Case:
    """One call of ``run_workflow``: what to run, until when, and what has happened to it."""

    prompt: JsonObject
    extra_data: Mapping[str, Any] | None
    on_progress: ProgressCallback | None
    deadline: float | None
    asked: float | None
    prompt_id: str | None
    call: Call | None = None
    run: Run | None = None
    deaths: list[ServerDiedError] = field(default_factory=list)
    suspicions: int = 0
    is_retried: bool = False

    def take(self, run: Run) -> None:
        """Remember the run of the present attempt."""
        self.run = run

    @contextlib.contextmanager
    def in_client(self) -> Iterator[None]:
        """While the client has the run, it is the client that ends it."""
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


class Runner:
    """Runs prompts on the parts of one connector.

    ``ready`` makes the connector ready or raises; ``look`` takes notice of a server that died; ``lose`` gives up on
    a server that lives, and starts it anew.
    """

    def __init__(
        self,
        parts: Assembly,
        lifecycle: Lifecycle,
        recovery: Recovery,
        chronicle: Chronicle,
        *,
        ready: Callable[[], Awaitable[None]],
        look: Callable[[], None],
        lose: Callable[[ServerDiedError], None],
        spawn: Spawn,
        calls: Calls | None = None,
        watch: Callable[[], None] = lambda: None,
    ) -> None:
        self._parts, self._lifecycle, self._recovery, self._chronicle = parts, lifecycle, recovery, chronicle
        self._ready, self._look, self._lose, self._spawn = ready, look, lose, spawn
        self._calls, self._watch = calls or Calls(), watch
        self.uploads = UploadPlaces()

    @property
    def resubmits(self) -> bool:
        """Whether runs survive the server's death."""
        return self._parts.owned and self._recovery.policy == "restart_and_resubmit"

    async def run(
        self,
        prompt: JsonObject,
        *,
        on_progress: ProgressCallback | None = None,
        timeout: float | None = None,
        extra_data: Mapping[str, Any] | None = None,
        asked: float | None = None,
        call: Call | None = None,
    ) -> JsonObject:
        """Run a prompt by the policies. Raises as ``run_workflow`` does."""
        deadline = None if timeout is None else time.monotonic() + timeout
        case = Case(prompt, extra_data, on_progress, deadline, asked or timeout, self._fixed_id(), call)
        retries = self.resubmits or self._parts.settings.on_out_of_memory == "retry_once"
        relay = Relay(on_progress, case.prompt_id or "") if on_progress is not None and retries else None
        case.on_progress = relay or on_progress
        success = False
        try:
            history = await self._persist(case)
            success = True
        finally:
            if relay is not None:
                await relay.finish(success=success)
        return history

    async def attempt(self, case: Case) -> JsonObject:
        """One submission to the server that is there, without any policy but the ladder of a cancellation."""
        client, engine, count = self._parts.client, self._parts.engine, self._recovery.count
        if client is None:
            raise StateError(f"the connector is {self._lifecycle.state}, it has no connection to a server")
        try:
            prompt = case.prompt
            if engine is not None and self.uploads.named_in(prompt):
                async with self._calls.server_needed():
                    definitions = await client.definitions()
                prompt = self.uploads.resolve(prompt, definitions, engine.folders.input)
            return await self._submit(client, prompt, case)
        except (asyncio.CancelledError, RunTimeout):
            self._climb(case)
            raise
        except (ServerConnectionError, ExecutionInterrupted, StateError) as error:
            await self.raise_if_dead(error, count, prompt_id=case.run.prompt_id if case.run else case.prompt_id)
            raise
        except MissingNodesError as error:
            self.raise_if_emulated(error)
            raise

    async def _submit(self, client: ComfyClient, prompt: JsonObject, case: Case) -> JsonObject:
        # A resubmitted run needs the watch too, and the former one may have ended with the former server.
        self._watch()
        with case.in_client():
            return await client.run(
                prompt,
                on_progress=case.on_progress,
                timeout=case.remaining,
                extra_data=case.extra_data,
                prompt_id=case.prompt_id,
                asked=case.asked,
                on_run=case.take,
            )

    async def convert(self, work: Callable[[], Awaitable[T]], *, survives: bool) -> T:
        """A conversion; one that the server's death broke is done again where runs survive that, and this one may."""
        while True:
            count = self._recovery.count
            try:
                async with self._calls.server_needed():
                    return await work()
            except ServerDiedError:
                if not (survives and self.resubmits):
                    raise
                await self._ready()
            except (ServerConnectionError, BrowserError, ConversionError, StateError) as error:
                try:
                    await self.raise_if_dead(error, count)
                except ServerDiedError:
                    if not (survives and self.resubmits):
                        raise
                    await self._ready()
                else:
                    raise
            except MissingNodesError as error:
                self.raise_if_emulated(error)
                raise

    def raise_if_emulated(self, error: MissingNodesError) -> None:
        """On the emulator the remedy is not to install a pack."""
        if self._parts.engine is not None and self._parts.engine.kind == "emulator":
            raise MissingNodesError(error.missing, remedy=_EMULATOR_REMEDY) from error

    async def raise_if_dead(self, cause: DiscomfortError, count: int, prompt_id: str | None = None) -> None:
        """Raise the server's death where that is the true reason: it was lost since ``count``, or ends right now."""
        supervisor = self._parts.supervisor
        if self._recovery.count == count and supervisor is not None and isinstance(cause, _BROKEN):
            try:
                async with asyncio.timeout(_DEATH_NOTICE):
                    await supervisor.wait()
            except TimeoutError:
                _log.debug("the connection broke, and the server's process lives")
            else:
                self._look()
                await self._recovery.noted(count, _DEATH_NOTICE)
        if self._recovery.count != count and self._recovery.last is not None:
            raise about(self._recovery.last, prompt_id) from cause
        if isinstance(cause, _BROKEN) and supervisor is not None and not supervisor.running:
            raise about(self._parts.death(), prompt_id) from cause

    # --- policies --------------------------------------------------------------------------------------------------

    def _fixed_id(self) -> str | None:
        return str(uuid.uuid4()) if self.resubmits else None

    async def _persist(self, case: Case) -> JsonObject:
        while True:
            try:
                await self._meet_loss(case)
                return await self.attempt(case)
            except ServerDiedError as death:
                if not self.resubmits:
                    raise
                await self._survive(case, death)
            except OutOfMemoryError as error:
                if not await self._relieve(case, error):
                    raise

    async def _meet_loss(self, case: Case) -> None:
        """The server may have died since the caller was told that it is ready."""
        if self._lifecycle.state not in {State.ERROR, State.INITIALIZING} or self._recovery.last is None:
            return
        if not self.resubmits:
            raise about(self._recovery.last, case.prompt_id)
        await self._await_server(case)

    async def _survive(self, case: Case, death: ServerDiedError) -> None:
        """Return when the prompt is to be submitted again; raise where it is not."""
        self._look()
        case.deaths.append(death)
        stage = case.run.stage if case.run is not None else "new"
        if stage == "ended" or self._was_out_of_sight(case.run):
            fact = "ended" if stage == "ended" else "may have ended while its socket was down"
            problem = f"prompt {case.prompt_id} {fact}, and the server died before its record was read"
            problem += f"; it is not executed again: {death.problem}"
            raise ResultLostError(problem, prompt_id=case.prompt_id) from death
        if case.prompt_id in self._recovery.suspects:
            case.suspicions += 1
        if case.suspicions >= _DEATHS_OF_ONE_PROMPT:
            problem = (
                f"the server died {case.suspicions} times with prompt {case.prompt_id}, it is not submitted again:"
            )
            raise FatalPromptError(problem, case.deaths, prompt_id=case.prompt_id) from death
        _log.warning("prompt %s (%s) waits for a new server and is submitted again", case.prompt_id, stage)
        self._chronicle.note("resubmission", prompt_id=case.prompt_id, stage=stage)
        case.run = None
        await self._await_server(case)

    def _was_out_of_sight(self, run: Run | None) -> bool:
        """Whether the end of a run can have been missed: its socket was lost before the server was, not with it."""
        if run is None or not run.sent or run.blind_since is None:
            return False
        return run.blind_since < self._recovery.lost_at - _SOCKET_OF_THE_DEAD

    async def _await_server(self, case: Case) -> None:
        try:
            async with asyncio.timeout(case.remaining) as scope:
                await self._ready()
        except TimeoutError as error:
            if not scope.expired() or case.asked is None:
                raise
            problem = f"prompt {case.prompt_id} took longer than {case.asked:g} s; the server died and was not back yet"
            raise RunTimeout(problem, timeout=case.asked, prompt_id=case.prompt_id) from error
        except StateError as error:
            problem = f"the connector was shut down while prompt {case.prompt_id} waited for a new server"
            raise ExecutionInterrupted(problem, prompt_id=case.prompt_id) from error

    async def _relieve(self, case: Case, error: OutOfMemoryError) -> bool:
        """Ask the server to free its memory; whether the run is to be tried once more.

        Models of other people on an attached server are only unloaded where a retry was asked for.
        """
        retry = self._parts.settings.on_out_of_memory == "retry_once" and not case.is_retried
        client = self._parts.client
        if client is not None and (self._parts.owned or retry):
            try:
                await client.rest.free(deadline=_FREE_DEADLINE)
            except (ServerError, StateError) as failure:
                _log.warning("the server could not be asked to free its memory: %s", failure)
        self._chronicle.note("out of memory", prompt_id=error.prompt_id, node=error.node_id)
        if retry:
            _log.warning("prompt %s ran out of memory at node %s; trying it once more", error.prompt_id, error.node_id)
            case.is_retried = True
            # The record of the first attempt stands in the history under its id.
            case.prompt_id = self._fixed_id()
        return retry

    # --- the ladder of a cancellation --------------------------------------------------------------------------------

    def _climb(self, case: Case) -> None:
        """The client has dequeued or interrupted the prompt; see to it that the node ends, where that was asked for."""
        seconds, run = self._parts.settings.cancel_restart_after, case.run
        if seconds is None or not self._parts.owned or run is None or run.stage in {"new", "ended"}:
            return
        self._spawn(self._await_end(run.prompt_id, seconds, self._recovery.count), "discomfort-ladder")

    async def _await_end(self, prompt_id: str, seconds: float, count: int) -> None:
        deadline = time.monotonic() + seconds
        while await self._is_running(prompt_id, count):
            left = deadline - time.monotonic()
            if left <= 0:
                problem = f"the server was restarted: cancelled prompt {prompt_id} ran on for {seconds:g} s"
                self._lose(ServerDiedError(problem))
                return
            await asyncio.sleep(min(_LADDER_LOOK, left))

    async def _is_running(self, prompt_id: str, count: int) -> bool:
        client = self._parts.client
        if client is None or self._recovery.count != count or self._lifecycle.state is not State.READY:
            return False
        try:
            return prompt_id in running_prompts(await client.rest.queue(deadline=_FREE_DEADLINE))
        except StateError:
            return False
        except ServerError as error:
            _log.debug("no answer about a cancelled prompt: %s", type(error).__name__)
            return True


_BROKEN = (ServerConnectionError, BrowserError)
"""What a connection raises first when the process behind it ends."""
