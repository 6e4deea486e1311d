"""Slow or stuck: what each part's state tells, and the watch for a server that answers and runs nothing.

There is no limit on silence: a model may load for ten minutes without a word. What convicts a server is a fact that no
slow server shows.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable

import psutil

from discomfort._json import JsonObject
from discomfort.client.comfy import ComfyClient
from discomfort.client.protocol import queue_positions, running_prompts
from discomfort.client.rest import never_sent
from discomfort.connector.assembly import Assembly
from discomfort.exceptions import ServerConnectionError, ServerError, ServerResponseError
from discomfort.process.supervisor import Supervisor

_log = logging.getLogger("discomfort.connector.liveness")

LOOK_EVERY = 15.0
"""Seconds between two looks at the queue while runs are pending."""

STUCK_AFTER = 120.0
"""Seconds that a prompt may stand first in line while nothing runs. ComfyUI's execution thread takes the next prompt at
once; between two prompts it may unload models and collect garbage, which takes seconds, tens of them at worst."""

_ROUND_SHARE = 20
_REQUEST = 10.0
_DIED = re.compile(r"Exception in thread [^\r\n]{0,200}\(prompt_worker\)")

VITAL = frozenset({"client", "server process"})
"""The parts whose illness only a new start heals; browser and socket come back by themselves."""

REFUSED = "refuses connections"


async def examine(parts: Assembly, *, http_timeout: float) -> dict[str, str]:
    """What is wrong with each part, ``""`` where nothing is. One small HTTP request on an open connection."""
    client = parts.client
    found = {"client": "" if client is not None else "is not connected"}
    if parts.owned:
        found["server process"] = process_problem(parts.supervisor)
    if parts.converter is not None:
        found["browser"] = "" if parts.converter.healthy else "does not run"
    if client is None:
        return found
    found["WebSocket"] = "" if client.connected else "is being reconnected"
    if not found.get("server process"):
        found["HTTP"] = await http_problem(client, http_timeout)
    return found


def process_problem(supervisor: Supervisor | None) -> str:
    """What is wrong with the owned server's process, ``""`` where nothing is."""
    if supervisor is None:
        return "was not started"
    if not supervisor.running:
        return f"died: {supervisor.exit}"
    if supervisor.worker_died:
        return "answers, but its execution thread died"
    try:
        status = psutil.Process(supervisor.pid).status()
    except psutil.Error as error:
        return f"can not be looked at: {error}"
    return "is stopped (SIGSTOP, or a debugger)" if status in {psutil.STATUS_STOPPED, "tracing-stop"} else ""


async def http_problem(client: ComfyClient, timeout: float) -> str:
    """What is wrong with HTTP, ``""`` where the server answers within ``timeout`` seconds."""
    try:
        await client.rest.remaining(deadline=timeout)
    except ServerConnectionError as error:
        return REFUSED if never_sent(error) else error.problem
    except ServerResponseError as error:
        return f"answers {error.status}"
    return ""


class StuckWatch:
    """Looks at the queue while the client has runs, and calls ``on_stuck`` with what it found; then it stops.

    Two things convict: a prompt that stands first in line for :data:`STUCK_AFTER` seconds while nothing runs (each
    pending prompt is itself the probe that would start at once), and, with ``reads_log``, the server's own log line
    about the end of its execution thread. That line is only asked for where a process is not ours to listen to.
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
        self._first: str | None = None
        self._since = 0.0
        self._running: frozenset[str] = frozenset()

    async def watch(self) -> None:
        """Look until no runs are left, or something was found; costs nothing but a sleep while runs are short.

        While a server is being restarted there is no client, and the runs that wait for it are not over.
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
            # Busy, or gone: that is for the poll of the runs to judge.
            _log.debug("no look at the queue: %s", type(error).__name__)
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
                f"the server takes no prompts any more: {first} has been first in line for {now - self._since:.0f} s "
                "while nothing runs; its execution thread is dead or stuck"
            )
        return ""

    async def _judge_log(self, client: ComfyClient, running: frozenset[str]) -> str:
        unchanged, self._running = running and running == self._running, running
        if not unchanged or not self._reads_log:
            return ""
        try:
            logs = await client.rest.logs(deadline=_REQUEST)
        except ServerError as error:
            _log.debug("the server shows no log: %s", type(error).__name__)
            self._reads_log = False
            return ""
        entries = logs.get("entries")
        texts = [entry.get("m") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        if _DIED.search("".join(text for text in texts if isinstance(text, str))):
            return "the server's execution thread died, as its log says: it answers HTTP but runs nothing any more"
        return ""
