"""What every connector is built on: its state, its parts, its background tasks, and how it survives a lost server."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from typing import Any

from discomfort.config import Settings
from discomfort.connector.assembly import Assembly
from discomfort.connector.calls import Calls
from discomfort.connector.chronicle import Chronicle
from discomfort.connector.lifecycle import Lifecycle, State
from discomfort.connector.liveness import StuckWatch
from discomfort.connector.recovery import Recovery, RestartBudget, about, suspects
from discomfort.connector.running import Runner
from discomfort.exceptions import ServerDiedError

_log = logging.getLogger("discomfort.connector")

_LAST_WORDS = 0.5
"""Seconds in which what a dead server had sent is read from its socket, which the system closes within a few ms."""

_LAST_RECORDS = 2.0
"""Seconds in which the records of prompts that ended are still read from a server whose execution thread died."""


class ConnectorBase:
    """State and parts of a connector, and how it survives the loss of its server."""

    def __init__(
        self, settings: Settings, *, attach_url: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._parts = Assembly(settings, attach_url=attach_url, headers=headers)
        self._lifecycle = Lifecycle()
        self._chronicle = Chronicle()
        self._background: set[asyncio.Task[None]] = set()
        self._calls = Calls()
        self._recovery = Recovery(
            settings.on_server_death,
            RestartBudget(settings.max_restarts),
            start=self._start,
            spawn=self._spawn,
            chronicle=self._chronicle,
        )
        self._runner = Runner(
            self._parts,
            self._lifecycle,
            self._recovery,
            self._chronicle,
            ready=self._ensure_ready,
            look=self._server_died,
            lose=lambda death: self._lose_server(death, ordered=True),
            spawn=self._spawn,
            calls=self._calls,
            watch=self._watch_runs,
        )
        self._stuck_watch = StuckWatch(lambda: self._parts.client, self._server_stuck, reads_log=not self._parts.owned)
        self._stuck_task: asyncio.Task[None] | None = None
        self._stuck = ""
        self._lost: object = None
        self._ill: dict[str, str] = {}
        self._init_lock = asyncio.Lock()
        self._starting: asyncio.Task[None] | None = None
        self._start_waiters = 0
        self._handed_out = False  # whether a caller of create() or attach() has received this connector
        self._closing: asyncio.Task[None] | None = None
        self._farewell: asyncio.Task[None] | None = None
        self._self_test_error: BaseException | None = None

    @property
    def state(self) -> State:
        """``uninit``, ``initializing``, ``ready``, ``error`` or ``killed``."""
        return self._lifecycle.state

    @property
    def server_address(self) -> str:
        """HTTP URL of the server, such as ``http://127.0.0.1:8188``."""
        return self._parts.url

    @property
    def _http_timeout(self) -> float:
        return 1.0 if self._parts.owned else 5.0

    async def _ensure_ready(self) -> None:
        """Start the server where there is none, or wait until one is there."""
        raise NotImplementedError

    async def _start(self) -> None:
        """Start the server, together with whoever else wants that."""
        raise NotImplementedError

    # --- the loss of a server ----------------------------------------------------------------------------------------

    def _server_exited(self) -> None:
        """Called from a thread when the server's process or its execution thread ended."""
        try:
            self._loop.call_soon_threadsafe(self._server_died)
        except RuntimeError:
            _log.debug("the server ended after its event loop")

    def _server_died(self) -> None:
        """Take notice of a server that ended, or whose execution thread did; each is noticed once."""
        supervisor = self._parts.supervisor
        if self._closing is not None or supervisor is None or supervisor is self._lost:
            return
        if not supervisor.running:
            self._lost = supervisor
            if self._parts.client is not None and self._parts.client.connected and self._parts.client.pending:
                self._spawn(self._read_last_words(), "discomfort-last-words")
            else:
                self._lose_server(self._parts.death(), is_dead=True)
        elif supervisor.worker_died:
            self._lost = supervisor
            # It still answers: records of what had ended can be read.
            self._spawn(self._read_last_records(), "discomfort-last-records")

    async def _notice_death(self) -> None:
        """Be aware of an owned server that has ended, even before its news made their way here."""
        supervisor = self._parts.supervisor
        if self.state is State.READY and supervisor is not None and not supervisor.running:
            self._server_died()
            if self.state is State.READY:
                await self._recovery.noted(self._recovery.count, 2 * _LAST_WORDS)

    async def _read_last_words(self) -> None:
        """Let the socket come to its end: what the dead server had sent tells which prompts had ended."""
        client, death = self._parts.client, self._parts.death()
        deadline = time.monotonic() + _LAST_WORDS
        while client is not None and time.monotonic() < deadline:
            if not client.connected:
                break
            await asyncio.sleep(0.005)
        self._lose_server(death, is_dead=True)

    async def _read_last_records(self) -> None:
        client, death = self._parts.client, self._parts.death()
        deadline = time.monotonic() + _LAST_RECORDS
        while client is not None and time.monotonic() < deadline:
            if not any(run.stage == "ended" for run in client.runs):
                break
            await asyncio.sleep(0.02)
        self._lose_server(death, is_dead=True)

    def _server_stuck(self, problem: str) -> None:
        """The server lives and runs nothing any more; found by looking at its queue."""
        if self._closing is not None or self.state is not State.READY:
            return
        supervisor, client = self._parts.supervisor, self._parts.client
        death = ServerDiedError(problem, log_tail=supervisor.log_tail() if supervisor is not None else ())
        if self._parts.owned:
            self._lose_server(death)
            return
        _log.error("%s", problem)
        self._stuck = problem
        self._chronicle.note("server stuck", problem=problem)
        if client is not None:
            client.fail_pending(lambda prompt_id: about(death, prompt_id))

    def _lose_server(self, death: ServerDiedError, *, is_dead: bool = False, ordered: bool = False) -> None:
        """Give up on the owned server: tell all who wait for it, and start a new one where the policy says so."""
        if self._closing is not None:
            return
        client, self._lost = self._parts.client, self._parts.supervisor
        self._recovery.lost_at = self._loop.time()
        _log.error("%s", death.problem)
        self._recovery.note(death, suspects(client.runs) if client is not None and is_dead else frozenset())
        was_ready = self.state is State.READY
        if was_ready:
            self._lifecycle.to(State.ERROR, "the server died" if is_dead else "the server was given up")
        if client is not None:
            client.fail_pending(lambda prompt_id: about(death, prompt_id))
        self._calls.server_lost(death)
        if was_ready:
            self._recovery.begin(ordered=ordered)

    # --- background tasks --------------------------------------------------------------------------------------------

    def _watch_runs(self) -> None:
        """See to it that somebody looks whether the server still runs prompts at all."""
        if self._closing is None and (self._stuck_task is None or self._stuck_task.done()):
            self._stuck_task = self._spawn(self._stuck_watch.watch(), "discomfort-liveness")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run ``work`` in the background until its end, or that of the connector."""
        task = self._loop.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._background_ended)
        return task

    def _background_ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("%s failed", task.get_name(), exc_info=task.exception())

    async def _end_background(self) -> None:
        while tasks := list(self._background):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
