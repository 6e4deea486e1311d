"""Compares what the pool believes that servers hold with the memory that they say they use."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from discomfort.exceptions import DiscomfortError
from discomfort.pool.scheduler import Scheduler
from discomfort.pool.server_profile import profile_of
from discomfort.pool.server_slots import ServerSlot, ServerSlots

_log = logging.getLogger("discomfort.pool")

LOOK_EVERY = 15.0
"""Seconds between two looks. A wrong belief costs one load, so there is no hurry."""


class MemoryCheck:
    """Asks each server that ran something since the last look."""

    def __init__(self, scheduler: Scheduler, slots: ServerSlots) -> None:
        self._scheduler, self._slots = scheduler, slots
        self._seen: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._watch(), name="discomfort-pool-memory")

    async def end(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def look(self) -> None:
        """Ask all servers that ran something since the last time. Never raises."""
        changed = [slot for slot in self._slots.slots if self._seen.get(slot.name) != slot.use.runs]
        await asyncio.gather(*(self._ask(slot) for slot in changed if slot.state in ("ready", "draining")))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.look()

    async def _ask(self, slot: ServerSlot) -> None:
        runs, life = slot.use.runs, slot.life
        try:
            stats = await slot.server.get("/system_stats")
        except DiscomfortError as error:
            _log.debug("the memory of the server %s is not known: %s", slot.name, error)
            return
        if slot.life != life or slot.state not in ("ready", "draining"):
            return
        told = profile_of(slot.profile.url, stats, {})
        slot.profile = replace(slot.profile, vram_free=told.vram_free)
        self._seen[slot.name] = runs
        # While it runs, it may just be loading what the book has already.
        if told.vram and not slot.run_id and not told.is_cpu:
            self._scheduler.check(slot.name, told.vram - told.vram_free)
