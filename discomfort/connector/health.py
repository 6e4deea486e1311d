"""The health of each part, and the watch for a server that answers but executes nothing.

There is no limit on silence: a model may load for ten minutes without any message. A server is declared stuck only on
evidence that a merely slow server cannot produce.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import psutil

from discomfort._json import JsonObject
from discomfort._system.http_sessions import open_session
from discomfort.client.comfy import ComfyClient
from discomfort.client.protocol import queue_positions, running_prompts
from discomfort.client.rest import never_sent
from discomfort.connector.background import BackgroundTasks
from discomfort.connector.resources import Resources
from discomfort.connector.server_loss import ServerLoss
from discomfort.connector.states import Lifecycle
from discomfort.exceptions import ServerConnectionError, ServerError, ServerResponseError
from discomfort.server.log_tail import says_worker_died
from discomfort.server.readiness import problem_at
from discomfort.server.supervisor import Supervisor

_log = logging.getLogger("discomfort.connector.health")

LOOK_EVERY = 15.0
"""Seconds between two looks at the queue while runs are pending."""

STUCK_AFTER = 120.0
"""Seconds that a prompt may be first in the queue while nothing runs. ComfyUI's execution thread takes the next prompt
at once; between two prompts it may unload models and collect garbage, which takes seconds, tens of them at worst."""

_ROUND_SHARE = 20
_REQUEST = 10.0

_ANSWER = 5.0
"""Seconds within which a healthy server answers. ComfyUI answers nothing while it lists its node definitions, which a
page asks for as it loads: 0.5 s on an idle machine with ComfyUI 0.33, several times that beside other work."""

VITAL = frozenset({"client", "server process"})
"""The parts whose failure needs a restart; browser and socket are replaced automatically."""

_REPLACED = frozenset({"browser", "WebSocket"})

REFUSED = "refuses connections"
UNCONNECTED = "cannot be connected to"
"""No connection, but not because it was refused: the certificate, the proxy, the name. The reason follows."""


class HealthReport(dict[str, str]):
    """The problem of each part by its name, ``""`` if it has none."""

    @property
    def ok(self) -> bool:
        """Whether requests can be served. A browser or WebSocket that is replaced at its next use does not count."""
        return not self.problems.keys() - _REPLACED

    @property
    def problems(self) -> dict[str, str]:
        """The parts that do not work."""
        return {name: problem for name, problem in self.items() if problem}


class Health:
    """Examines the parts of one connector, and logs each problem once."""

    def __init__(self, parts: Resources, loss: ServerLoss) -> None:
        self._parts, self._loss = parts, loss
        self._logged: dict[str, str] = {}

    async def examine(self) -> HealthReport:
        """The problem of each part, ``""`` if it has none."""
        found = await examine(self._parts, http_timeout=_ANSWER)
        if self._loss.stuck:
            found["execution"] = self._loss.stuck
        return found

    async def validate(self) -> bool:
        """Whether all parts work; a change is logged."""
        ill = (await self.examine()).problems
        if ill != self._logged:
            self._logged = ill
            if ill:
                _log.warning("not healthy: %s", ", ".join(f"{name} {problem}" for name, problem in ill.items()))
            else:
                _log.info("healthy again")
        return not ill

    async def is_usable(self) -> bool:
        """Whether a ready connector can be used as it is; a dead browser does not count, since it is replaced on use.

        A server that is only slow to answer is kept: it may be loading a model, and other callers wait for its runs.
        """
        found = await self.examine()
        if any(found.get(name) for name in VITAL) or found.get("HTTP", "").startswith((REFUSED, UNCONNECTED)):
            _log.warning("not usable: %s", ", ".join(f"{n} {p}" for n, p in found.items() if p))
            return False
        if found.get("browser") and self._parts.settings.browser == "eager":
            await self._parts.get_converter().restart_browser()
        return True

    async def answers(self) -> bool:
        """Whether the server answers HTTP in time."""
        return not await self.silence()

    async def silence(self) -> str:
        """Why the server does not answer HTTP in time, empty if it does."""
        if self._parts.client is not None:
            return await http_problem(self._parts.client, _ANSWER)
        async with open_session(headers=self._parts.headers, route=self._parts.route) as session:
            return await problem_at(session, self._parts.url, timeout=_ANSWER)


async def examine(parts: Resources, *, http_timeout: float) -> HealthReport:
    """The problem of each part, ``""`` if it has none. Sends one small HTTP request on an open connection."""
    client = parts.client
    found = HealthReport(client="" if client is not None else "is not connected")
    if parts.owned:
        found["server process"] = process_problem(parts.supervisor)
    if parts.converter is not None:
        # A browser that was never needed, or was closed on purpose, is healthy: it starts when it is needed.
        found["browser"] = "does not run" if parts.converter.browser_state == "died" else ""
    if client is None:
        return found
    found["WebSocket"] = "" if client.connected else "is being reconnected"
    if not found.get("server process"):
        found["HTTP"] = await http_problem(client, http_timeout)
    return found


def process_problem(supervisor: Supervisor | None) -> str:
    """The problem of the owned server's process, ``""`` if it has none."""
    if supervisor is None:
        return "was not started"
    if not supervisor.running:
        return f"died: {supervisor.exit}"
    if supervisor.worker_died:
        return "answers, but its execution thread died"
    try:
        status = psutil.Process(supervisor.pid).status()
    except psutil.Error as error:
        return f"cannot be examined: {error}"
    return "is stopped (SIGSTOP, or a debugger)" if status in {psutil.STATUS_STOPPED, "tracing-stop"} else ""


async def http_problem(client: ComfyClient, timeout: float) -> str:
    """The problem of HTTP, ``""`` if the server answers within ``timeout`` seconds."""
    try:
        await client.rest.remaining(deadline=timeout)
    except ServerConnectionError as error:
        if not never_sent(error):
            return error.problem
        refused = isinstance(getattr(error.__cause__, "os_error", None), ConnectionRefusedError)
        return REFUSED if refused else f"{UNCONNECTED}: {error.problem}"
    except ServerResponseError as error:
        return f"answers {error.status}"
    return ""


class StuckWatch:
    """Looks at the queue while the client has runs, calls ``on_stuck`` with the evidence, then stops.

    Evidence is either a prompt that is first in the queue for :data:`STUCK_AFTER` seconds while nothing runs (a working
    server would start it at once), or, with ``reads_log``, the server's own log line about the end of its execution
    thread. The log is read only for attached servers: an owned server's output is read by its supervisor.
    """

    def __init__(
        self,
        client: Callable[[], ComfyClient | None],
        on_stuck: Callable[[str], None],
        *,
        reads_log: bool,
        look_every: float = LOOK_EVERY,
        stuck_after: float = STUCK_AFTER,
    ) -> None:
        self._client, self._on_stuck, self._reads_log = client, on_stuck, reads_log
        self._look_every, self._stuck_after = look_every, stuck_after
        self._task: asyncio.Task[None] | None = None
        self._first: str | None = None
        self._since = 0.0
        self._running: frozenset[str] = frozenset()

    def start(self, background: BackgroundTasks, lifecycle: Lifecycle) -> None:
        """Watch in the background, unless a watch is running."""
        if not lifecycle.ending and (self._task is None or self._task.done()):
            self._task = background.spawn(self.watch(), "discomfort-stuck-watch")

    async def watch(self) -> None:
        """Look until no runs are left or evidence is found; short runs cost nothing but a sleep.

        While a server is being restarted there is no client, but runs still wait for it.
        """
        loop = asyncio.get_running_loop()
        self._first, self._running = None, frozenset()
        pause = self._look_every
        while True:
            await asyncio.sleep(pause)
            client = self._client()
            if client is None:
                self._first = None
                continue
            if not client.pending:
                return
            began = loop.time()
            problem = await self._look(client)
            if problem:
                self._on_stuck(problem)
                return
            pause = max(self._look_every, _ROUND_SHARE * (loop.time() - began))

    async def _look(self, client: ComfyClient) -> str:
        try:
            queue = await client.rest.queue(deadline=_REQUEST)
        except ServerError as error:
            # Busy or gone: the client's reconciler decides which.
            _log.debug("the queue could not be read: %s", type(error).__name__)
            self._first = None
            return ""
        return self._judge_line(queue) or await self._judge_log(client, running_prompts(queue))

    def _judge_line(self, queue: JsonObject) -> str:
        now = asyncio.get_running_loop().time()
        positions = queue_positions(queue)
        first = min(positions, key=lambda prompt_id: positions[prompt_id], default=None)
        if running_prompts(queue) or first is None:
            self._first = None
        elif first != self._first:
            self._first, self._since = first, now
        elif now - self._since >= self._stuck_after:
            return (
                f"the server executes no prompts any more: {first} has been first in the queue for "
                f"{now - self._since:.0f} s while nothing runs; its execution thread is dead or stuck"
            )
        return ""

    async def _judge_log(self, client: ComfyClient, running: frozenset[str]) -> str:
        # A dead thread leaves its prompt "running" for ever, so the log is read only if the same prompt still runs.
        unchanged, self._running = running and running == self._running, running
        if not unchanged or not self._reads_log:
            return ""
        try:
            logs = await client.rest.logs(deadline=_REQUEST)
        except ServerError as error:
            _log.debug("the server's log could not be read: %s", type(error).__name__)
            self._reads_log = False
            return ""
        entries = logs.get("entries")
        texts = [entry.get("m") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        if says_worker_died("".join(text for text in texts if isinstance(text, str))):
            return "the server's execution thread died, as its log says: it answers HTTP but runs nothing any more"
        return ""
