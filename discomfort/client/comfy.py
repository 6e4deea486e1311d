"""A client of one ComfyUI server: every run ends with its result or with the true reason, and cannot hang."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp

from discomfort._json import JsonObject
from discomfort.client.definitions import Definitions
from discomfort.client.execution import Execution
from discomfort.client.multiplexer import Multiplexer
from discomfort.client.reconciler import AFTER_END, Reconciler
from discomfort.client.rest import RestClient
from discomfort.client.runs import Limits, Run
from discomfort.client.withdraw import withdraw
from discomfort.exceptions import (
    ExecutionInterrupted,
    PayloadError,
    RunTimeout,
    ServerConnectionError,
    ServerResponseError,
    StateError,
)
from discomfort.progress import Done, ProgressCallback

_CONNECTIONS = 100
_IDLE_CONNECTION = 4.0
"""Seconds that an idle connection is kept: less than what usual proxies allow, so that no POST meets a closed one."""


class ComfyClient:
    """HTTP and one WebSocket to the server at ``url``; for the event loop that :meth:`open` is called in.

    ``headers`` go with every request, the WebSocket's included. ``name`` is for logs.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        name: str = "comfyui",
        limits: Limits | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.name = name
        self.limits = limits or Limits()
        self._headers = dict(headers or {})
        self._runs: dict[str, Run] = {}
        self._parts: _Parts | None = None
        self._withdrawals: set[asyncio.Task[bool]] = set()
        self._opening = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "closed" if self._closing else "new" if self._parts is None else "open"
        return f"<ComfyClient {self.name} {self.url} {state} connected={self.connected} pending={self.pending}>"

    @property
    def rest(self) -> RestClient:
        """The HTTP side. Raises StateError before :meth:`open`."""
        return self._open_parts(closed_too=True).rest

    @property
    def client_id(self) -> str:
        """Id of the present WebSocket; another one after each reconnect. Empty before :meth:`open`."""
        return self._parts.mux.client_id if self._parts is not None else ""

    @property
    def ws_url(self) -> str:
        """Address of the WebSocket, with its client id. Empty before :meth:`open`."""
        return self._parts.mux.ws_url if self._parts is not None else ""

    @property
    def connected(self) -> bool:
        """Whether the WebSocket is connected at this moment; runs do not depend on it."""
        return self._parts is not None and self._parts.mux.connected

    @property
    def pending(self) -> int:
        """How many runs are under way."""
        return len(self._runs)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs under way, the oldest first."""
        return tuple(self._runs.values())

    @property
    def last_heard(self) -> float:
        """When the socket last brought anything, by the event loop's clock in seconds; 0 before it ever did."""
        return self._parts.mux.last_heard if self._parts is not None else 0.0

    async def open(self) -> None:
        """Connect. Returns at once if open already; can be called again after it failed.

        Raises ServerConnectionError when there is no WebSocket within ``limits.connect`` seconds, StateError after
        :meth:`aclose`. On error and cancellation nothing stays open.
        """
        async with self._opening:
            if self._closing is not None:
                raise StateError(f"the client of {self.url} is closed")
            if self._parts is not None:
                return
            async with contextlib.AsyncExitStack() as stack:
                parts = _Parts(self.url, self._headers, self._runs, self.limits, self._take_off)
                stack.push_async_callback(parts.aclose)
                await parts.mux.open(self.limits.connect)
                stack.pop_all()
                self._parts = parts

    async def aclose(self) -> None:
        """Fail every pending run with ExecutionInterrupted, take their prompts off the server, close everything.

        Idempotent; takes at most ``limits.withdraw`` and about 3 s. Goes on in the background if cancelled.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="discomfort-close")
        await asyncio.shield(self._closing)

    async def refresh_socket(self) -> None:
        """Close the WebSocket and connect a new one with a fresh client id.

        Runs under way go on: their events are lost, their end is found by polling. Raises ServerConnectionError when
        there is no new socket within ``limits.connect`` seconds (the attempts go on in the background then), and
        StateError when the client is not open.
        """
        parts = self._open_parts()
        parts.lose_sight()
        await parts.mux.refresh(self.limits.connect)

    def fail_pending(self, error: Callable[[str], BaseException]) -> None:
        """Let every pending run raise ``error(prompt_id)`` at once, as when the server has died.

        For the loop's thread only. Nothing is sent to the server.
        """
        for run in list(self._runs.values()):
            run.fail(error(run.prompt_id))

    async def definitions(self) -> JsonObject:
        """``/object_info``, fetched once and then kept; concurrent callers share one request. Do not change it.

        Safe to cancel: the request goes on for the others. Raises ServerConnectionError, ServerResponseError,
        StateError.
        """
        return await self._open_parts().definitions.get()

    def forget_definitions(self) -> None:
        """Ask the server anew at the next need, as after an upload of a model or a restart."""
        if self._parts is not None:
            self._parts.definitions.forget()

    async def run(
        self,
        prompt: JsonObject,
        *,
        on_progress: ProgressCallback | None = None,
        timeout: float | None = None,
        extra_data: Mapping[str, Any] | None = None,
        prompt_id: str | None = None,
        asked: float | None = None,
        on_run: Callable[[Run], None] | None = None,
    ) -> JsonObject:
        """Run a prompt and return ``{prompt_id: {"prompt", "outputs", "status", "meta"}}``.

        ``timeout`` is in seconds for everything from the check of the prompt to its record. ``extra_data`` is kept
        with the prompt by the server (``extra_pnginfo`` goes into saved images). ``prompt_id`` must be new to the
        server; without one a random one is used. ``asked`` is what RunTimeout tells where ``timeout`` is what was left
        of a longer time. ``on_run`` is given the run at its beginning, for a look at its stage at any time.

        Cancellation takes the prompt off the queue, or interrupts it alone, before CancelledError goes on; this takes
        a fraction of a second, at most ``limits.withdraw``, and goes on in the background when cancelled again. A
        passed ``timeout`` does the same.

        Raises PayloadError (UnsafePromptError, MissingNodesError) for a prompt that was not sent, ValidationError for
        one that was refused, ExecutionError, OutOfMemoryError, ExecutionInterrupted, PromptLostError, RunTimeout,
        ServerConnectionError, ServerResponseError, StateError, and what :meth:`fail_pending` makes.
        """
        parts = self._open_parts()
        run = self._enter(parts, prompt, prompt_id, on_progress)
        if on_run is not None:
            on_run(run)
        success = False
        try:
            record = await self._supervise(parts, run, timeout, extra_data, asked or timeout)
            success = True
        finally:
            self._leave(parts, run)
            if run.reporter is not None:
                await run.reporter.finish(Done(run.prompt_id, success), self.limits.drain)
        return {run.prompt_id: record}

    def _enter(
        self, parts: _Parts, prompt: JsonObject, prompt_id: str | None, on_progress: ProgressCallback | None
    ) -> Run:
        if prompt_id is None:
            prompt_id = str(uuid.uuid4())
        elif not isinstance(prompt_id, str) or not prompt_id:
            raise PayloadError(f"prompt_id must be a text that is not empty, not {prompt_id!r}")
        elif prompt_id in self._runs:
            raise StateError(f"prompt {prompt_id} is under way already")
        run = Run(prompt_id, prompt, on_progress, parts.after_end)
        self._runs[prompt_id] = run
        parts.mux.register(prompt_id, run)
        return run

    def _leave(self, parts: _Parts, run: Run) -> None:
        run.seal()
        if self._runs.get(run.prompt_id) is run:
            del self._runs[run.prompt_id]
        parts.mux.unregister(run.prompt_id, run)

    async def _supervise(
        self,
        parts: _Parts,
        run: Run,
        timeout: float | None,
        extra_data: Mapping[str, Any] | None,
        asked: float | None,
    ) -> JsonObject:
        """Run within the time that there is, and clear up behind a run that is broken off."""
        try:
            async with asyncio.timeout(timeout) as scope:
                return await parts.execution.perform(run, extra_data)
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

    async def _take_off(self, run: Run) -> bool:
        """Take the prompt of a run that ends early off the server, if it can be there; tells whether it is gone.

        When cancelled, and when it takes longer than ``limits.withdraw``, it goes on in the background.
        """
        if not run.sent or run.state.finished:
            return True
        done, _ = await asyncio.wait([self._withdraw([run])], timeout=self.limits.withdraw)
        return all(task.result() for task in done) if done else False

    def _withdraw(self, runs: list[Run]) -> asyncio.Task[bool]:
        ids = [run.prompt_id for run in runs]
        uncertain = [run.prompt_id for run in runs if not run.accepted]
        work = withdraw(self.rest, ids, uncertain=uncertain, deadline=self.limits.withdraw_late)
        task = asyncio.create_task(work, name="discomfort-withdraw")
        self._withdrawals.add(task)
        task.add_done_callback(self._withdrawals.discard)
        return task

    def _open_parts(self, *, closed_too: bool = False) -> _Parts:
        if self._parts is None or (self._closing is not None and not closed_too):
            raise StateError(f"the client of {self.url} is {'closed' if self._closing else 'not open'}")
        return self._parts

    async def _close(self) -> None:
        """The work of :meth:`aclose`, in a task of its own."""
        async with self._opening:
            parts = self._parts
            if parts is None:
                return
            on_server = [run for run in self._runs.values() if run.sent and not run.state.finished]
            for run in list(self._runs.values()):
                problem = f"the client was closed while prompt {run.prompt_id} was under way"
                run.fail(ExecutionInterrupted(problem, prompt_id=run.prompt_id))
            try:
                if on_server:
                    self._withdraw(on_server)
                if self._withdrawals:
                    await asyncio.wait(set(self._withdrawals), timeout=self.limits.withdraw)
            finally:
                if late := set(self._withdrawals):
                    for task in late:
                        task.cancel()
                    await asyncio.wait(late)
                await parts.aclose()


class _Parts:
    """What is taken by ``open()``: session, HTTP, socket, poll; given back by :meth:`aclose`."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        runs: dict[str, Run],
        limits: Limits,
        take_off: Callable[[Run], Awaitable[bool]],
    ) -> None:
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_IDLE_CONNECTION),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self.runs = runs
        self.rest = RestClient(self.session, url, headers)
        self.reconciler = Reconciler(self.rest, runs, limits, blind=self._is_blind)
        self.mux = Multiplexer(
            self.session,
            url,
            headers=headers,
            alive=self._answers,
            on_drop=self._dropped,
            ping_interval=limits.ping,
        )
        self.definitions = Definitions(self.rest)
        self.execution = Execution(
            self.rest,
            self.mux,
            self.reconciler,
            self.definitions,
            limits,
            runs=runs,
            take_off=take_off,
        )

    def lose_sight(self) -> None:
        """The socket that the runs' events come by is gone."""
        for run in self.runs.values():
            run.lose_sight()

    def _dropped(self) -> None:
        self.lose_sight()
        self.reconciler.kick()

    def after_end(self) -> None:
        """A prompt ended; its record follows, but the message that says so may be lost."""
        self.reconciler.look(AFTER_END)

    async def aclose(self) -> None:
        """Close everything, in the order of use; each step is bounded."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.session.close)
            stack.push_async_callback(self.mux.aclose)
            stack.push_async_callback(self.definitions.aclose)
            stack.push_async_callback(self.reconciler.aclose)

    def _is_blind(self, run: Run) -> bool:
        return not self.mux.connected or self.mux.client_id != run.client_id

    async def _answers(self) -> bool:
        """Whether the server answers HTTP within 5 s."""
        try:
            await self.rest.remaining(deadline=5.0)
        except ServerResponseError:
            return True
        except ServerConnectionError:
            return False
        return True
