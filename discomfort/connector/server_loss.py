"""The loss of a server: notices it, fails what waits for the server, and names it as the cause of other errors."""

from __future__ import annotations

import asyncio
import logging

from discomfort.connector.background import BackgroundTasks
from discomfort.connector.calls import Calls
from discomfort.connector.event_log import EventLog
from discomfort.connector.recovery import Recovery, for_prompt, suspects
from discomfort.connector.resources import Resources
from discomfort.connector.states import Lifecycle, State
from discomfort.exceptions import (
    BrowserError,
    ConversionError,
    DiscomfortError,
    ServerConnectionError,
    ServerDiedError,
)

_log = logging.getLogger("discomfort.connector")

_LAST_WORDS = 0.5
"""Seconds to read what a dead server had sent before its exit; the kernel closes its socket within a few ms."""

_LAST_RECORDS = 2.0
"""Seconds to read the history records of ended prompts from a server whose execution thread died."""

_DEATH_NOTICE = 2.0
"""Seconds to wait for a process's exit after its connection broke, to tell its death from a network fault."""

_BROKEN = (ServerConnectionError, BrowserError)
"""The errors of the first request or page after the server's process ended."""


class ServerLoss:
    """Notices the loss of a server, once for each server, and fails everything that waits for it."""

    stuck: str

    def __init__(
        self,
        parts: Resources,
        lifecycle: Lifecycle,
        recovery: Recovery,
        calls: Calls,
        background: BackgroundTasks,
        events: EventLog,
    ) -> None:
        self._parts, self._lifecycle, self._recovery = parts, lifecycle, recovery
        self._calls, self._background, self._events = calls, background, events
        self._loop = asyncio.get_running_loop()
        self._noticed: object = None
        self.stuck = ""
        """Why an attached server seems to execute nothing any more; empty if it does not seem so."""

    def expect_end(self) -> None:
        """Announce that we end the present server ourselves: its exit is not a loss."""
        self._noticed = self._parts.supervisor

    def on_exit(self) -> None:
        """Called from a thread when the server's process or its execution thread ended."""
        try:
            self._loop.call_soon_threadsafe(self.notice)
        except RuntimeError:
            # The loop was closed without kill_api(): the exit handler cleans up, and no run is left to fail.
            _log.debug("the server ended after its event loop was closed")

    def notice(self) -> None:
        """Check whether the server, or its execution thread, has ended. Safe to call again at any time."""
        supervisor = self._parts.supervisor
        # Compared by identity: each server has a supervisor of its own, so the next server needs no reset.
        if self._lifecycle.ending or supervisor is None or supervisor is self._noticed:
            return
        if not supervisor.running:
            self._noticed = supervisor
            # The kernel still delivers what the server wrote before it died. A prompt whose end is among that must not
            # be taken for one that was broken off, or it would run twice.
            if self._parts.client is not None and self._parts.client.connected and self._parts.client.pending:
                self._background.spawn(self._read_last_words(), "discomfort-last-words")
            else:
                self._lose(self._parts.death(), is_dead=True)
        elif supervisor.worker_died:
            self._noticed = supervisor
            # HTTP still works: the records of prompts that ended can be read.
            self._background.spawn(self._read_last_records(), "discomfort-last-records")

    async def wait_noticed(self) -> None:
        """Notice that the server has exited even if its exit callback has not been delivered yet."""
        supervisor = self._parts.supervisor
        if self._lifecycle.state is State.READY and supervisor is not None and not supervisor.running:
            self.notice()
            # Still ready: notice() is reading the socket to its end first, and changes the state after that.
            if self._lifecycle.state is State.READY:
                await self._recovery.noted(self._recovery.count, 2 * _LAST_WORDS)

    def give_up(self, death: ServerDiedError, count: int) -> None:
        """Replace a server that still runs, unless it was lost since ``count`` was read."""
        if self._recovery.count == count and self._lifecycle.state is State.READY:
            self._noticed = self._parts.supervisor
            self._lose(death, ordered=True)

    def is_stuck(self, problem: str) -> None:
        """Handle a server that answers HTTP but executes nothing any more, as its queue shows."""
        if self._lifecycle.ending or self._lifecycle.state is not State.READY:
            return
        supervisor, client = self._parts.supervisor, self._parts.client
        death = ServerDiedError(problem, log_tail=supervisor.log_tail() if supervisor is not None else ())
        if self._parts.owned:
            self._noticed = supervisor
            self._lose(death)
            return
        # An attached server is not ours to restart: its runs fail, and health() reports the reason.
        _log.error("%s", problem)
        self.stuck = problem
        self._events.note("server stuck", problem=problem)
        if client is not None:
            client.fail_pending(lambda prompt_id: for_prompt(death, prompt_id))

    async def raise_if_dead(self, cause: DiscomfortError, count: int, prompt_id: str | None = None) -> None:
        """Raise ServerDiedError if that is the real reason for ``cause``.

        ``count`` is how often the server had been lost before the failed work began. A broken connection is often the
        first sign of a process that is dying, so its exit is waited for briefly.
        """
        supervisor, recovery = self._parts.supervisor, self._recovery
        is_broken = self._is_broken(cause)
        if recovery.count == count and supervisor is not None and is_broken:
            # A process closes its sockets before it can be reaped, so the broken connection is seen first.
            try:
                async with asyncio.timeout(_DEATH_NOTICE):
                    await supervisor.wait()
            except TimeoutError:
                _log.debug("the connection broke, and the server's process lives")
            else:
                self.notice()
                await recovery.noted(count, _DEATH_NOTICE)
        if recovery.count != count and recovery.last is not None:
            raise for_prompt(recovery.last, prompt_id) from cause
        # Dead, but the count did not move: notice() ignores an exit that we caused or that is being handled.
        if is_broken and supervisor is not None and not supervisor.running:
            raise for_prompt(self._parts.death(), prompt_id) from cause

    def _is_broken(self, cause: DiscomfortError) -> bool:
        """Whether an error may be the first sign of a dying process."""
        if isinstance(cause, ConversionError):
            # Most conversion errors are the workflow's fault and must not wait for a process that is well. The
            # gateway knows whether its last request to the server got an answer.
            converter = self._parts.converter
            return converter is not None and converter.server_lost
        return isinstance(cause, _BROKEN)

    async def _read_last_words(self) -> None:
        """Let the client read the socket to its end: what the server sent last shows which prompts had ended."""
        client, death = self._parts.client, self._parts.death()
        deadline = self._loop.time() + _LAST_WORDS
        while client is not None and self._loop.time() < deadline:
            if not client.connected:
                break  # End of file: every message before it has been handled.
            await asyncio.sleep(0.005)
        self._lose(death, is_dead=True)

    async def _read_last_records(self) -> None:
        client, death = self._parts.client, self._parts.death()
        deadline = self._loop.time() + _LAST_RECORDS
        while client is not None and self._loop.time() < deadline:
            # A run leaves the client's list once its record is read. What is still queued or running never ends here.
            if not any(run.stage == "ended" for run in client.runs):
                break
            await asyncio.sleep(0.02)
        self._lose(death, is_dead=True)

    def _lose(self, death: ServerDiedError, *, is_dead: bool = False, ordered: bool = False) -> None:
        """Fail everything that waits for the server, and start another one if the policy says so."""
        if self._lifecycle.ending:
            return
        # No await from here to the end: tasks that wake up find the count, the state and the restart changed together.
        client = self._parts.client
        # Those who wait get this as an error; in the log of a program that handles it, it would be read twice.
        is_raised = bool(client is not None and client.runs) or self._calls.need_server
        is_heard = (is_raised and not self._recovery.resubmits) or self._lifecycle.state is State.INITIALIZING
        _log.log(logging.INFO if is_heard else logging.ERROR, "%s", death.problem)
        # A server that was given up did not die of a prompt, so none is suspected.
        suspected = suspects(client.runs) if client is not None and is_dead else frozenset[str]()
        self._recovery.note(death, suspected, at=self._loop.time())
        was_ready = self._lifecycle.state is State.READY
        if was_ready:
            self._lifecycle.to(State.ERROR, "the server died" if is_dead else "the server was given up")
        if client is not None:
            client.fail_pending(lambda prompt_id: for_prompt(death, prompt_id))
        self._calls.server_lost(death)
        # If it was not ready, a start is under way: it fails by itself, and whoever runs it decides about the next.
        if was_ready:
            self._recovery.begin(ordered=ordered)
