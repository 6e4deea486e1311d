"""Watches the servers that have runs: one that does not answer any more is ended, so that its run gets an end, too."""

from __future__ import annotations

import asyncio
import logging
import time

from discomfort.exceptions import ServerConnectionError
from discomfort.pool.dispatcher import Dispatcher
from discomfort.pool.pool_events import Stalled
from discomfort.pool.server_slots import ServerSlot

_log = logging.getLogger("discomfort.pool")

LOOK_EVERY = 5.0
"""Seconds between two looks at each server that has a run."""


class SilenceWatch:
    """Looks at busy servers; see :class:`~discomfort.pool.pool_arguments.PoolOptions` for ``silent_after``."""

    def __init__(self, dispatcher: Dispatcher, silent_after: float) -> None:
        self._dispatcher, self._silent_after = dispatcher, silent_after
        self._since: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._watch(), name="discomfort-pool-silence")

    async def end(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(LOOK_EVERY, max(0.05, self._silent_after / 4)))
            busy = [slot for slot in self._dispatcher.slots.slots if slot.run_id and slot.server.is_ready]
            await asyncio.gather(*(self._look(slot) for slot in busy))
            names = {slot.name for slot in busy}
            self._since = {name: since for name, since in self._since.items() if name in names}

    async def _look(self, slot: ServerSlot) -> None:
        begun, life = time.monotonic(), slot.life
        problem = await slot.server.problem()
        if not problem or slot.life != life or not slot.run_id:
            self._since.pop(slot.name, None)
            return
        silent = time.monotonic() - self._since.setdefault(slot.name, begun)
        for run in self._dispatcher.attempts_on(slot):
            run.stream.publish(Stalled(run.run_id, slot.name, round(silent, 1), problem))
        if silent >= self._silent_after:
            self._end(slot, f"the server {slot.name} did not answer for {silent:.0f} s: {problem}")

    def _end(self, slot: ServerSlot, reason: str) -> None:
        _log.error("%s", reason)
        self._since.pop(slot.name, None)
        if slot.server.is_owned:
            # Its end is certain then, so its run may begin elsewhere.
            slot.server.give_up(reason)
        else:
            self._dispatcher.take_from(slot, ServerConnectionError(reason, url=slot.server.server_address))
            self._dispatcher.slots.lost(slot, reason)
