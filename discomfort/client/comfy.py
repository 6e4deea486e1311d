"""A client of one ComfyUI server: every run ends with its result or the real reason for its failure; none can hang."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from discomfort._json import JsonObject, copied
from discomfort._system.concurrency import EndableScopes, to_thread
from discomfort._system.http_sessions import DIRECT, Route
from discomfort.client.connection import Connection
from discomfort.client.rest import RestClient, never_sent
from discomfort.client.runs import Limits, PromptRun
from discomfort.exceptions import (
    ExecutionInterrupted,
    PayloadError,
    RunTimeout,
    ServerConnectionError,
    ServerResponseError,
    StateError,
)
from discomfort.progress import Done, ProgressCallback
from discomfort.server_features import ServerFeatures
from discomfort.workflow.partner_nodes import NO_SPENDING, Spending


class ComfyClient:
    """HTTP and one WebSocket to the server at ``url``; belongs to the event loop in which :meth:`open` is called.

    ``headers`` are sent with every request, including the WebSocket's. ``name`` is used in logs. All connections take
    the ``route``.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        name: str = "comfyui",
        limits: Limits | None = None,
        route: Route = DIRECT,
    ) -> None:
        self.route = route
        self.url: str = url.rstrip("/")
        self.name = name
        self.limits: Limits = limits or Limits()
        self._headers = dict(headers or {})
        self._runs: dict[str, PromptRun] = {}
        self._parts: Connection | None = None
        self._opening = asyncio.Lock()
        self._openers = EndableScopes()
        self._closing: asyncio.Task[None] | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        state = "closed" if self._openers.closed else "new" if self._parts is None else "open"
        return f"<ComfyClient {self.name} {self.url} {state} connected={self.connected} pending={self.pending}>"

    @property
    def rest(self) -> RestClient:
        """The HTTP requests. Raises StateError before :meth:`open`."""
        return self._open_parts(closed_too=True).rest

    @property
    def client_id(self) -> str:
        """Id of the current WebSocket; a new one after each reconnect. Empty before :meth:`open`."""
        return self._parts.mux.client_id if self._parts is not None else ""

    @property
    def ws_url(self) -> str:
        """Address of the WebSocket, with its client id. Empty before :meth:`open`."""
        return self._parts.mux.ws_url if self._parts is not None else ""

    @property
    def connected(self) -> bool:
        """Whether the WebSocket is connected now; runs do not depend on it."""
        return self._parts is not None and self._parts.mux.connected

    @property
    def pending(self) -> int:
        """How many runs are under way."""
        return len(self._runs)

    @property
    def runs(self) -> tuple[PromptRun, ...]:
        """The runs under way, oldest first."""
        return tuple(self._runs.values())

    async def open(self) -> None:
        """Connect. Returns at once if already open; may be called again after a failure.

        Raises ServerConnectionError if there is no WebSocket within ``limits.connect`` seconds, or at once if the
        server redirects to another address; StateError after :meth:`aclose`, also if that is called meanwhile. On error
        and cancellation nothing stays open.
        """
        async with self._openers.enter(), self._opening:
            if self._parts is not None:
                return
            async with contextlib.AsyncExitStack() as stack:
                parts = Connection(self.url, self._headers, self._runs, self.limits, self._take_off, self.route)
                stack.push_async_callback(parts.aclose)
                parts.facts.start()
                await parts.mux.open(self.limits.connect)
                stack.pop_all()
                self._parts = parts

    async def aclose(self) -> None:
        """Fail every pending run with ExecutionInterrupted, take their prompts off the server, close everything.

        Everything else that waits is ended at once: ``open()``, ``refresh_socket()`` and ``definitions()`` with
        StateError, requests through :attr:`rest` with ServerConnectionError. Idempotent; takes ``limits.withdraw`` plus
        about 3 s at most. Continues in the background if cancelled, even if ``asyncio.run`` cancels every task.
        """
        self._shut()
        while not self._is_closed:
            if self._closing is None or self._closing.done():
                self._closing = asyncio.create_task(self._close(), name="discomfort-close")
            # asyncio.wait(), not await: Ctrl-C may cancel that task, which must not look like our own cancellation.
            await asyncio.wait([self._closing])
            if self._closing.done() and not self._closing.cancelled():
                self._closing.result()

    async def refresh_socket(self) -> None:
        """Close the WebSocket and connect a new one with a fresh client id.

        Runs under way continue: their events are lost, their end is found by polling. Raises ServerConnectionError if
        there is no new socket within ``limits.connect`` seconds (the attempts continue in the background then), and
        StateError if the client is not open.
        """
        parts = self._open_parts()
        parts.mark_events_lost()
        await parts.mux.refresh(self.limits.connect)

    def fail_pending(self, error: Callable[[str], BaseException]) -> None:
        """Make every pending run raise ``error(prompt_id)`` at once, for example because the server died.

        Call it in the loop's thread only. Nothing is sent to the server.
        """
        for run in list(self._runs.values()):
            run.fail(error(run.prompt_id))

    async def features(self) -> ServerFeatures:
        """The version that the server reports, and the facts that depend on it. Raises StateError."""
        return await self._open_parts().facts.get()

    async def definitions(self) -> JsonObject:
        """A copy of ``/object_info``, which is fetched once and kept; concurrent callers share one request.

        Safe to cancel: the request continues for the others. Raises ServerConnectionError, ServerResponseError,
        StateError.
        """
        return await to_thread(copied, await self.shared_definitions())

    async def shared_definitions(self) -> JsonObject:
        """:meth:`definitions` without the copy, for callers that only read them: nothing in them may be changed."""
        return await self._open_parts().definitions.get()

    async def check_prompt(self, prompt: JsonObject, definitions: JsonObject | None) -> None:
        """Raises what a run of the prompt raises before it is sent, by these definitions; ``None`` if there are none.

        PayloadError (UnsafePromptError, MissingNodesError), ValidationError.
        """
        await self._open_parts().definitions.checked(prompt, definitions)

    def forget_definitions(self) -> None:
        """Fetch the definitions again when they are next needed, for example after a model was added."""
        if self._parts is not None:
            self._parts.definitions.forget()

    def run(
        self,
        prompt: JsonObject,
        *,
        on_progress: ProgressCallback | None = None,
        timeout: float | None = None,
        extra_data: Mapping[str, Any] | None = None,
        prompt_id: str | None = None,
        asked: float | None = None,
        on_run: Callable[[PromptRun], None] | None = None,
        copy: bool = True,
        spending: Spending = NO_SPENDING,
    ) -> Coroutine[Any, Any, JsonObject]:
        """Run a prompt. When awaited, returns ``{prompt_id: {"prompt", "outputs", "status", "meta"}}``.

        ``prompt`` and ``extra_data`` are copied by the call itself, before it is awaited: later changes have no effect.
        ``copy=False`` is for a caller that does not change them any more.
        ``timeout`` is in seconds and covers everything from the check of the prompt to its record. The server keeps
        ``extra_data`` with the prompt (``extra_pnginfo`` is saved in images). ``prompt_id`` must be new to the server;
        by default a random one is used. ``asked`` is the time that RunTimeout names if ``timeout`` is only the rest of
        it. ``on_run`` receives the run at its beginning, so that its stage can be read at any time. ``spending`` says
        whether nodes that cost money may run, and with which key.

        Cancellation takes the prompt off the queue, or interrupts only it, before CancelledError is raised. This takes
        a fraction of a second, ``limits.withdraw`` at most, and continues in the background if cancelled again. A
        timeout does the same.

        Raises PayloadError (UnsafePromptError, MissingNodesError, PaidNodesError) for a prompt that was not sent,
        ValidationError for one that was refused, ExecutionError, OutOfMemoryError, ExecutionInterrupted,
        PromptLostError, RunTimeout, ServerConnectionError, ServerResponseError, StateError, and the errors made by
        :meth:`fail_pending`.
        """
        try:
            if copy:
                prompt, extra_data = copied(prompt), copied(extra_data)
        except RecursionError as error:
            raise PayloadError("the prompt or extra_data contains itself, or is nested too deeply") from error
        return self._run(prompt, on_progress, timeout, extra_data, prompt_id, asked or timeout, on_run, spending)

    async def _run(
        self,
        prompt: JsonObject,
        on_progress: ProgressCallback | None,
        timeout: float | None,
        extra_data: Mapping[str, Any] | None,
        prompt_id: str | None,
        asked: float | None,
        on_run: Callable[[PromptRun], None] | None,
        spending: Spending,
    ) -> JsonObject:
        parts = self._open_parts()
        run = self._enter(parts, prompt, prompt_id, on_progress)
        return await self._complete(
            parts, run, lambda: parts.execution.perform(run, extra_data, spending), timeout, asked, on_run
        )

    async def follow(
        self,
        prompt_id: str,
        *,
        on_progress: ProgressCallback | None = None,
        on_run: Callable[[PromptRun], None] | None = None,
    ) -> JsonObject:
        """Wait for a prompt that the server has already, and return as :meth:`run` does.

        The prompt may be queued, running or ended, and may come from another program. Its events are not received;
        ``on_progress`` learns its position, its start and its end from polls. It stays on the server if the call is
        cancelled or the client closed, unless :attr:`PromptRun.ours` of the run that ``on_run`` receives is set.

        Raises PromptLostError at once if the server does not have it, otherwise as :meth:`run`.
        """
        parts = self._open_parts()
        run = self._enter(parts, {}, prompt_id, on_progress)
        run.follow()
        return await self._complete(parts, run, lambda: parts.execution.follow(run), None, None, on_run)

    async def _complete(
        self,
        parts: Connection,
        run: PromptRun,
        work: Callable[[], Awaitable[JsonObject]],
        timeout: float | None,
        asked: float | None,
        on_run: Callable[[PromptRun], None] | None,
    ) -> JsonObject:
        if on_run is not None:
            on_run(run)
        success = False
        try:
            record = await self._supervise(parts, run, work, timeout, asked)
            success = True
        finally:
            self._leave(parts, run)
            if run.reporter is not None:
                await run.reporter.finish(Done(run.prompt_id, success), self.limits.drain)
        return {run.prompt_id: record}

    def _enter(
        self, parts: Connection, prompt: JsonObject, prompt_id: str | None, on_progress: ProgressCallback | None
    ) -> PromptRun:
        if prompt_id is None:
            prompt_id = str(uuid.uuid4())
        elif not isinstance(prompt_id, str) or not prompt_id:
            raise PayloadError(f"prompt_id must be a non-empty string, not {prompt_id!r}")
        elif prompt_id in self._runs:
            raise StateError(f"prompt {prompt_id} is already under way; use another prompt_id")
        run = PromptRun(prompt_id, prompt, on_progress, parts.after_end)
        self._runs[prompt_id] = run
        parts.mux.register(prompt_id, run)
        return run

    def _leave(self, parts: Connection, run: PromptRun) -> None:
        run.seal()
        if self._runs.get(run.prompt_id) is run:
            del self._runs[run.prompt_id]
        parts.mux.unregister(run.prompt_id, run)

    async def _supervise(
        self,
        parts: Connection,
        run: PromptRun,
        work: Callable[[], Awaitable[JsonObject]],
        timeout: float | None,
        asked: float | None,
    ) -> JsonObject:
        """Run within ``timeout``, and take the prompt off the server if the run ends early."""
        try:
            async with asyncio.timeout(timeout) as scope:
                return await work()
        except TimeoutError:
            if asked is None or not scope.expired():
                raise
            run.seal()
            gone = await self._take_off(run)
            stage = "was running" if run.state.started else "had not started" if run.accepted else "was not accepted"
            fate = "it was taken off the server" if gone else "the server does not answer and may still run it"
            problem = f"prompt {run.prompt_id} took longer than {asked:g} s ({stage}); {fate}"
            raise RunTimeout(problem, timeout=asked, prompt_id=run.prompt_id) from None
        except asyncio.CancelledError:
            if run.seal() and run.failure is not None:
                raise run.failure from None
            await self._take_off(run)
            raise
        except (ServerConnectionError, ServerResponseError) as error:
            if run.failure not in {None, error}:
                # The request broke because the server died or the client was closed: that is the error to raise.
                raise run.failure from error
            if run.ours and run.sent and not run.state.ended and not _is_refused(error):
                # The prompt may still be on the server, and nobody waits for it any more.
                parts.withdraw(run)
            raise

    async def _take_off(self, run: PromptRun) -> bool:
        """Take the prompt of a run that ends early off the server, if it may be there. Returns whether it is gone.

        If cancelled, or if it takes longer than ``limits.withdraw``, it continues in the background.
        """
        if not run.ours or not run.sent or run.state.finished or self._parts is None:
            return True
        task = asyncio.ensure_future(self._parts.withdraw(run))
        await asyncio.wait([task], timeout=self.limits.withdraw)
        # The closing client or asyncio.run() may have cancelled it.
        return task.done() and not task.cancelled() and task.result()

    def _open_parts(self, *, closed_too: bool = False) -> Connection:
        if self._parts is None or (self._openers.closed and not closed_too):
            raise StateError(f"the client of {self.url} is {'closed' if self._openers.closed else 'not open'}")
        return self._parts

    def _shut(self) -> None:
        """Refuse new work, and fail everything that waits. Synchronous, so that no run can begin in between."""
        if self._openers.closed:
            return
        self._openers.close(lambda: StateError(f"the client of {self.url} is closed"))
        on_server = [run for run in self._runs.values() if run.ours and run.sent and not run.state.finished]
        for run in list(self._runs.values()):
            problem = f"the client was closed while prompt {run.prompt_id} was under way"
            run.fail(ExecutionInterrupted(problem, prompt_id=run.prompt_id))
        if self._parts is not None:
            if on_server:
                self._parts.withdraw(*on_server)
            self._parts.close()

    async def _close(self) -> None:
        """The work of :meth:`aclose`, in a task of its own; a cancellation is delivered at its end.

        On Ctrl-C, ``asyncio.run`` cancels this task too and waits for it. Each step is bounded.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.limits.withdraw
        cancelled: asyncio.CancelledError | None = None
        while not self._is_closed:
            try:
                async with self._opening:
                    if self._parts is not None:
                        await self._parts.withdrawals.settle(end - loop.time())
                        await self._parts.aclose()
                self._is_closed = True
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled


def _is_refused(error: ServerConnectionError | ServerResponseError) -> bool:
    """Whether the server's address refuses connections, so that no server has the prompt."""
    return never_sent(error) or (error.__cause__ is not None and never_sent(error.__cause__))
