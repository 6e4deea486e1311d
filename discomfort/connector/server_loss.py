"""The loss of a server: noticing it, telling all who wait, and naming it as the true reason of other errors."""

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
"""Seconds to read what a dead server had sent from its socket, which the system closes within a few ms."""

_LAST_RECORDS = 2.0
"""Seconds to read the records of ended prompts from a server whose execution thread died."""

_DEATH_NOTICE = 2.0
"""Seconds to wait for the news of a process's end after its connection broke, to tell death from a network fault."""

_BROKEN = (ServerConnectionError, BrowserError)
"""The first error on a connection whose process ends."""


class ServerLoss:
    """Notices that the server is lost, once for each server, and tells all who wait for it."""

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
        """Why an attached server is believed to run nothing any more; empty where it is not."""

    def expect_end(self) -> None:
        """The present server's end is our own doing: it is no loss."""
        self._noticed = self._parts.supervisor

    def on_exit(self) -> None:
        """Called from a thread when the server's process or its execution thread ended."""
        try:
            self._loop.call_soon_threadsafe(self.notice)
        except RuntimeError:
            _log.debug("the server ended after its event loop")

    def notice(self) -> None:
        """Look whether the server ended, or its execution thread did."""
        supervisor = self._parts.supervisor
        if self._lifecycle.ending or supervisor is None or supervisor is self._noticed:
            return
        if not supervisor.running:
            self._noticed = supervisor
            if self._parts.client is not None and self._parts.client.connected and self._parts.client.pending:
                self._background.spawn(self._read_last_words(), "discomfort-last-words")
            else:
                self._lose(self._parts.death(), is_dead=True)
        elif supervisor.worker_died:
            self._noticed = supervisor
            # It still answers: records of what had ended can be read.
            self._background.spawn(self._read_last_records(), "discomfort-last-records")

    async def wait_noticed(self) -> None:
        """Notice that the server has exited even if its exit callback has not been delivered yet."""
        supervisor = self._parts.supervisor
        if self._lifecycle.state is State.READY and supervisor is not None and not supervisor.running:
            self.notice()
            if self._lifecycle.state is State.READY:
                await self._recovery.noted(self._recovery.count, 2 * _LAST_WORDS)

    def give_up(self, death: ServerDiedError, count: int) -> None:
        """Stop using a server that lives, and start another, unless the server was lost since there were ``count``."""
        if self._recovery.count == count and self._lifecycle.state is State.READY:
            self._noticed = self._parts.supervisor
            self._lose(death, ordered=True)

    def is_stuck(self, problem: str) -> None:
        """The server answers and runs nothing any more; found by a look at its queue."""
        if self._lifecycle.ending or self._lifecycle.state is not State.READY:
            return
        supervisor, client = self._parts.supervisor, self._parts.client
        death = ServerDiedError(problem, log_tail=supervisor.log_tail() if supervisor is not None else ())
        if self._parts.owned:
            self._noticed = supervisor
            self._lose(death)
            return
        _log.error("%s", problem)
        self.stuck = problem
        self._events.note("server stuck", problem=problem)
        if client is not None:
            client.fail_pending(lambda prompt_id: for_prompt(death, prompt_id))

    async def raise_if_dead(self, cause: DiscomfortError, count: int, prompt_id: str | None = None) -> None:
        """Raise ServerDiedError where that is the true reason for ``cause``.

        ``count`` is how often the server had been lost before the work that failed began. A broken connection is often
        the first sign of a process that ends; its end is then waited for a moment.
        """
        supervisor, recovery = self._parts.supervisor, self._recovery
        is_broken = self._is_broken(cause)
        if recovery.count == count and supervisor is not None and is_broken:
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
        if is_broken and supervisor is not None and not supervisor.running:
            raise for_prompt(self._parts.death(), prompt_id) from cause

    def _is_broken(self, cause: DiscomfortError) -> bool:
        """Whether an error may be the first sign of a process that ends."""
        if isinstance(cause, ConversionError):
            # Most have another reason, and are not held up: the server's silence shows at the gateway.
            converter = self._parts.converter
            return converter is not None and converter.server_lost
        return isinstance(cause, _BROKEN)

    async def _read_last_words(self) -> None:
        """Read the socket to its end: what the dead server had sent shows which prompts had ended."""
        client, death = self._parts.client, self._parts.death()
        deadline = self._loop.time() + _LAST_WORDS
        while client is not None and self._loop.time() < deadline:
            if not client.connected:
                break
            await asyncio.sleep(0.005)
        self._lose(death, is_dead=True)

    async def _read_last_records(self) -> None:
        client, death = self._parts.client, self._parts.death()
        deadline = self._loop.time() + _LAST_RECORDS
        while client is not None and self._loop.time() < deadline:
            if not any(run.stage == "ended" for run in client.runs):
                break
            await asyncio.sleep(0.02)
        self._lose(death, is_dead=True)

    def _lose(self, death: ServerDiedError, *, is_dead: bool = False, ordered: bool = False) -> None:
        """Tell all who wait for the server that it is gone, and start another where the policy says so."""
        if self._lifecycle.ending:
            return
        client = self._parts.client
        _log.error("%s", death.problem)
        suspected = suspects(client.runs) if client is not None and is_dead else frozenset[str]()
        self._recovery.note(death, suspected, at=self._loop.time())
        was_ready = self._lifecycle.state is State.READY
        if was_ready:
            self._lifecycle.to(State.ERROR, "the server died" if is_dead else "the server was given up")
        if client is not None:
            client.fail_pending(lambda prompt_id: for_prompt(death, prompt_id))
        self._calls.server_lost(death)
        if was_ready:
            self._recovery.begin(ordered=ordered)
