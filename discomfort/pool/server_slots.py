"""The servers of a pool: started, watched, lost, ready again, drained and released."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from discomfort._system.concurrency import finish, first_failure
from discomfort.connector.background import BackgroundTasks
from discomfort.exceptions import DiscomfortError, StateError
from discomfort.pool.definition_groups import DefinitionGroup, fingerprint_of, listed
from discomfort.pool.group_host import GroupHost
from discomfort.pool.pool_servers import PoolServer
from discomfort.pool.run_requests import ModelFile, PoolRequest
from discomfort.pool.scheduler import Scheduler
from discomfort.pool.server_classes import ServerClass, labels_of
from discomfort.pool.server_profile import ServerProfile

_log = logging.getLogger("discomfort.pool")

SlotState = Literal["starting", "ready", "lost", "draining", "closed"]

_LOOK_EVERY = 2.0
"""Seconds between two looks at a lost server whose state tells nothing, such as one that others run."""

STARTS_AT_ONCE = 4
"""Servers that start side by side: each reads gigabytes of Python packages, and more only wait for the disk."""


@dataclass(slots=True)
class ServerUse:
    """What a server did for the pool. Times are in seconds: ``useful`` executing, ``loading`` models before that."""

    runs: int = 0
    loads: int = 0
    useful: float = 0.0
    loading: float = 0.0
    deaths: int = 0


@dataclass(slots=True, eq=False)
class ServerSlot:
    """One server and what the pool knows of it."""

    server: PoolServer
    state: SlotState = "starting"
    profile: ServerProfile = field(default_factory=ServerProfile)
    models: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    is_kept_idle: bool = False
    """Whether it was drained while it was lost: it gets no runs when it comes back."""
    run_id: str = ""
    reason: str = ""
    """Why it is lost."""
    since: float = field(default_factory=time.monotonic)
    server_class: ServerClass | None = None
    """Its class when it was last ready."""
    life: int = 0
    """Counts how often it became ready: a run that began in an earlier life does not make it idle."""
    use: ServerUse = field(default_factory=ServerUse)
    looks: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        """The server's name."""
        return self.server.name


class ServerSlots:
    """Keeps the scheduler informed of the servers; ``changed`` is called whenever one comes, goes or is idle again."""

    def __init__(self, scheduler: Scheduler, changed: Callable[[], None]) -> None:
        self._scheduler, self._changed = scheduler, changed
        self._slots: dict[str, ServerSlot] = {}
        self._groups: dict[str, DefinitionGroup] = {}
        self._hosts: dict[DefinitionGroup, GroupHost] = {}
        self._background = BackgroundTasks()
        self._needed: set[ModelFile] = set()
        self._is_closing = False
        self._came = asyncio.Event()
        self.awaited: int = 0
        """How many wait until there is any server."""

    def __getitem__(self, name: str) -> ServerSlot:
        return self._slots[name]

    def get(self, name: str) -> ServerSlot | None:
        """The server of this name, if there is one."""
        return self._slots.get(name)

    @property
    def slots(self) -> tuple[ServerSlot, ...]:
        """All servers, in the order in which they came."""
        return tuple(self._slots.values())

    @property
    def groups(self) -> tuple[DefinitionGroup, ...]:
        """The groups of servers with the same nodes, the largest first; while all servers are lost, the former ones."""
        found = sorted(self._groups.values(), key=lambda group: -len(group.servers))
        return tuple([group for group in found if group.servers] or found)

    def hosts(self) -> dict[DefinitionGroup, GroupHost]:
        """What prepares calls for each group, in the order of :attr:`groups`."""
        return {
            group: self._hosts.setdefault(group, GroupHost(group, self._asked, self._wait_any)) for group in self.groups
        }

    def _asked(self, name: str) -> PoolServer | None:
        """The server of this name, if it can be asked now."""
        slot = self._slots.get(name)
        return slot.server if slot is not None and slot.server.is_ready else None

    async def _wait_any(self) -> None:
        """Wait until a server is ready."""
        self.awaited += 1
        try:
            while not any(slot.state in ("ready", "draining") for slot in self.slots) and not self._is_closing:
                self._came.clear()
                await self._came.wait()
        finally:
            self.awaited -= 1

    def misfits(self, request: PoolRequest) -> dict[str, list[str]]:
        """Why no server may have a run, by name; empty if one may. Servers that are lost now count: they come back."""
        found: dict[str, list[str]] = {}
        for slot in self.slots:
            if slot.server_class is None or slot.state == "closed":
                continue
            reasons = request.requirement.misfits(slot.server_class)
            if slot.name in request.avoided:
                reasons.append("has lost this run")
            if not reasons:
                return {}
            found[slot.name] = reasons
        return found

    async def start(self, servers: Iterable[PoolServer]) -> None:
        """Start servers side by side. If one cannot be started, all of them are released, and its error is raised."""
        added = [self._slot(server) for server in servers]
        limit = asyncio.Semaphore(STARTS_AT_ONCE)

        async def start(slot: ServerSlot) -> None:
            async with limit:
                await slot.server.start()
                await self._admit(slot)

        try:
            async with asyncio.TaskGroup() as group:
                for slot in added:
                    group.create_task(start(slot))
        except BaseException as error:
            await finish(asyncio.gather(*(self._release(slot) for slot in added)))
            if isinstance(error, BaseExceptionGroup):
                raise first_failure(error) from None
            raise

    def _slot(self, server: PoolServer) -> ServerSlot:
        if server.name in self._slots:
            raise StateError(f"the pool has a server {server.name!r} already")
        slot = self._slots[server.name] = ServerSlot(server)
        server.watch(lambda: self._look(slot))
        return slot

    def lost(self, slot: ServerSlot, reason: str) -> None:
        """A server does not take runs any more. What ran there fails by itself."""
        if slot.state not in ("ready", "draining") or self._is_closing:
            return
        _log.warning("the server %s is lost: %s", slot.name, reason)
        was_draining = slot.state == "draining"
        self._scheduler.remove_server(slot.name)
        self._leave_group(slot)
        slot.state, slot.reason, slot.since = "lost", reason, time.monotonic()
        slot.use.deaths += 1
        slot.idle.set()
        self._changed()
        if not was_draining:
            self._background.spawn(self._revive(slot), "discomfort-pool-revive")

    def need(self, models: Iterable[ModelFile]) -> None:
        """Runs need these models: servers that lack them must not get the runs."""
        new = [model for model in models if model not in self._needed]
        self._needed.update(new)
        for slot in self.slots if new else ():
            if slot.state in ("ready", "draining"):
                self._note_lacks(slot)

    async def refresh(self) -> None:
        """Read again which nodes and models the servers have: somebody may have added some. Never raises."""
        ready = [slot for slot in self.slots if slot.state in ("ready", "draining")]
        found = await asyncio.gather(*(slot.server.profile() for slot in ready), return_exceptions=True)
        for slot, profile in zip(ready, found, strict=True):
            if isinstance(profile, ServerProfile) and slot.state in ("ready", "draining"):
                self._leave_group(slot)
                self._scheduler.change_class(slot.name, self._enter_group(slot, profile))
        self._changed()

    def drain(self, slot: ServerSlot) -> None:
        """Give a server no more runs, also when it comes back from a loss."""
        slot.is_kept_idle = True
        if slot.state == "ready":
            slot.state = "draining"
            self._scheduler.drain(slot.name)
            self._changed()

    def resume(self, slot: ServerSlot) -> None:
        """Give a drained server runs again."""
        slot.is_kept_idle = False
        if slot.state == "draining":
            slot.state = "ready"
            self._scheduler.resume(slot.name)
            self._changed()

    async def remove(self, slot: ServerSlot) -> None:
        """Release a server. What runs there fails."""
        if slot.state in ("ready", "draining"):
            self._scheduler.remove_server(slot.name)
            self._leave_group(slot)
            slot.state = "closed"
            self._changed()
        await self._release(slot)

    async def close(self) -> None:
        """Release all servers, side by side."""
        self._is_closing = True
        self._came.set()
        await self._background.end()
        await asyncio.gather(*(self._release(slot) for slot in self.slots))

    def kill_now(self) -> None:
        """Release all servers at once, without an event loop."""
        self._is_closing = True
        for slot in self.slots:
            slot.server.kill_now()

    async def _release(self, slot: ServerSlot) -> None:
        slot.state = "closed"
        slot.idle.set()
        await slot.server.close()
        self._slots.pop(slot.name, None)

    async def _admit(self, slot: ServerSlot) -> None:
        """A server is ready: read what it is and has, and let it have runs. Raises ServerError, StateError."""
        profile = await slot.server.profile()
        if slot.state not in ("starting", "lost") or self._is_closing:
            return
        server_class = self._enter_group(slot, profile)
        slot.state, slot.reason, slot.since = "ready", "", time.monotonic()
        slot.life += 1
        self._came.set()
        self._scheduler.add_server(slot.name, server_class, keeps_last_only=profile.keeps_last_only)
        if slot.is_kept_idle:
            self.drain(slot)
        self._changed()

    def _enter_group(self, slot: ServerSlot, profile: ServerProfile) -> ServerClass:
        """Take note of what a server has. Returns its class."""
        slot.profile = profile = self._shared(profile)
        slot.models = listed(profile.definitions)
        fingerprint = self._fingerprint(profile)
        group = self._groups.setdefault(fingerprint, DefinitionGroup(fingerprint))
        group.add(slot.name, profile.definitions)
        slot.lacks = self._lacks_of(slot)
        slot.server_class = self._class_of(slot, fingerprint)
        return slot.server_class

    def _shared(self, profile: ServerProfile) -> ServerProfile:
        """The profile with the definitions of another server, where they are equal: they have several MB."""
        for slot in self.slots:
            if slot.profile.definitions == profile.definitions:
                return replace(profile, definitions=slot.profile.definitions)
        return profile

    def _fingerprint(self, profile: ServerProfile) -> str:
        for fingerprint, group in self._groups.items():
            if any(each is profile.definitions for each in (*group.servers.values(), group.definitions)):
                return fingerprint
        return fingerprint_of(profile.definitions)

    def _class_of(self, slot: ServerSlot, fingerprint: str) -> ServerClass:
        return ServerClass(slot.profile.vram, fingerprint, labels_of(slot.server.labels), slot.lacks)

    def _lacks_of(self, slot: ServerSlot) -> frozenset[str]:
        # What no list names, such as a model of a pack's own loader, is left to the server to judge.
        return frozenset(str(model) for model in self._needed if model.folder and str(model) not in slot.models)

    def _note_lacks(self, slot: ServerSlot) -> None:
        lacks = self._lacks_of(slot)
        if lacks != slot.lacks:
            slot.lacks = lacks
            fingerprint = next(key for key, group in self._groups.items() if slot.name in group.servers)
            slot.server_class = self._class_of(slot, fingerprint)
            self._scheduler.change_class(slot.name, slot.server_class)

    def _leave_group(self, slot: ServerSlot) -> None:
        # A group without servers stays: workflows that were converted for it can be called while all are restarted.
        for group in self._groups.values():
            group.remove(slot.name)

    def _look(self, slot: ServerSlot) -> None:
        """Something changed at a server."""
        slot.looks.set()
        if slot.state in ("ready", "draining") and not slot.server.is_ready:
            self.lost(slot, "it died")

    async def _revive(self, slot: ServerSlot) -> None:
        """Wait until a lost server takes runs again."""
        while slot.state == "lost":
            slot.looks.clear()
            try:
                if slot.server.is_ready and not await slot.server.problem():
                    await self._admit(slot)
                    _log.info("the server %s is ready again", slot.name)
                    return
            except DiscomfortError as error:
                _log.debug("the server %s is not ready yet: %s", slot.name, error)
            try:
                async with asyncio.timeout(_LOOK_EVERY):
                    await slot.looks.wait()
            except TimeoutError:
                continue
