"""The book of what each server holds: by what ran there, with the longest unused models pushed out first.

ComfyUI does not say which models it holds, so the book can be wrong. It is cleared when a server is restarted or freed,
and shortened where the server uses less memory than the book says.
"""

from __future__ import annotations

from collections import OrderedDict

from discomfort.pool.holdings import UNKNOWN_VRAM, KnownModel, KnownServer, ModelSet, ServerGroup
from discomfort.pool.known_sets import KnownSets
from discomfort.pool.run_requests import ModelFile
from discomfort.pool.server_classes import ServerClass

CLEARLY = 1_000_000_000
"""By how many bytes the book must be above the server's own figure, and by a tenth of it, to be wrong."""
NO_MODELS: frozenset[ModelFile] = frozenset()


class ServerBook:
    """The servers, their groups, and who holds what. ``ready`` are the wanted sets that an idle server holds."""

    def __init__(self, known: KnownSets, *, owned: bool = False) -> None:
        self.known = known
        self._owned = owned
        self.servers: dict[str, KnownServer] = {}
        self.groups: dict[tuple[ServerClass, str | None], ServerGroup] = {}
        self.ready: dict[ModelSet, None] = {}
        self.by_skeleton: dict[str, OrderedDict[KnownServer, None]] = {}
        self.idle = 0
        self.version = 0
        """Changes with the groups that take runs."""

    # --- servers come and go ---

    def add(self, name: str, server_class: ServerClass, *, keeps_last_only: bool) -> None:
        """It is idle and holds nothing."""
        if name in self.servers:
            raise ValueError(f"the pool has a server {name!r} already; remove it first")
        server = KnownServer(name, self._group(server_class, None), keeps_last_only, "")
        server.group.size += 1
        self.servers[name] = server
        self._enter(server)

    def remove(self, name: str) -> None:
        """It is gone."""
        server = self.servers.pop(name)
        self._exit(server)
        self._leave_group(server)

    def drain(self, name: str) -> None:
        """It takes no runs; what it holds counts for nobody."""
        server = self.servers[name]
        self._exit(server)
        server.draining = True

    def resume(self, name: str) -> None:
        """It takes runs."""
        server = self.servers[name]
        if server.draining:
            server.draining = False
            self._enter(server)

    def change_class(self, name: str, server_class: ServerClass) -> None:
        """It belongs to another group."""
        server = self.servers[name]
        self._exit(server)
        self._move(server, server_class, server.group.owner)
        self._trim(server)
        self._enter(server)

    def _move(self, server: KnownServer, server_class: ServerClass, owner: str | None) -> None:
        self._leave_group(server)
        server.group = self._group(server_class, owner)
        server.group.size += 1

    def _group(self, server_class: ServerClass, owner: str | None) -> ServerGroup:
        key = (server_class, owner)
        if key not in self.groups:
            self.groups[key] = ServerGroup(server_class, owner, server_class.vram or UNKNOWN_VRAM)
            self.version += 1
        return self.groups[key]

    def _leave_group(self, server: KnownServer) -> None:
        group = server.group
        group.size -= 1
        if not group.size:
            del self.groups[group.server_class, group.owner]
            self.version += 1

    # --- runs come and go ---

    def occupy(
        self, server: KnownServer, models: ModelSet, tenant: str, skeleton: str
    ) -> tuple[list[KnownModel], bool]:
        """A run begins. Returns what it loads, and whether the server must be wiped first."""
        self._set_busy(server)
        server.busy = True
        server.skeleton = skeleton
        wipe = False
        if server.scope != models.scope:
            wipe = bool(server.scope)
            self._take_over(server, models.scope, tenant)
        missing = [model for model in models.models if model not in server.held]
        for model in models.models:
            if model in server.held:
                server.held.move_to_end(model)
        server.last = len(models.models) - len(missing)
        if server.keeps_last_only:
            while len(server.held) > server.last:
                self._push_out(server)
        if missing:
            self._load(server, missing)
        server.last = len(models.models)
        return missing, wipe

    def _take_over(self, server: KnownServer, scope: str, tenant: str) -> None:
        self._exit(server)
        self._clear(server)
        server.scope = scope
        if self._owned:
            self._move(server, server.group.server_class, tenant)
        self._enter(server)

    def _load(self, server: KnownServer, missing: list[KnownModel]) -> None:
        need = sum(model.size for model in missing)
        while server.used + need > server.group.room and len(server.held) > server.last:
            self._push_out(server)
        for model in missing:
            server.held[model] = None
            model.holders[server] = None
        server.used += need
        for model in missing:
            for models in model.sets:
                if models not in server.sets and models.held_by(server):
                    self._note(server, models)

    def _push_out(self, server: KnownServer) -> None:
        """The longest unused model leaves."""
        model, _ = server.held.popitem(last=False)
        server.used -= model.size
        if model.holders.pop(server, 0) is None:
            for models in [models for models in server.sets if model in models.models]:
                self._unnote(server, models)

    def release(self, server: KnownServer) -> None:
        """Its run has ended."""
        server.busy = False
        if not server.draining:
            self._set_idle(server)

    # --- what is known otherwise ---

    def forget(self, name: str) -> None:
        """It holds nothing."""
        server = self.servers[name]
        self._exit(server)
        self._clear(server)
        self._enter(server)

    def check(self, name: str, used: int) -> None:
        """Pushes out what cannot be there. While a run is there, what it needs may still be on the way."""
        server = self.servers[name]
        if server.busy:
            return
        if not server.held:
            server.bare = used if not server.bare else min(server.bare, used)
            return
        room = max(used - server.bare, 0) * 1.1 + CLEARLY
        if server.used > room:
            self._exit(server)
            server.last = 0
            while server.held and server.used > room:
                self._push_out(server)
            self._enter(server)

    def learn_size(self, file: ModelFile, size: int) -> None:
        """A model's size; its holders may hold less than was thought."""
        changed, gone = self.known.learn(file, size)
        self.forgotten(gone)
        for model, more in changed:
            for server in self.servers.values() if more else ():
                if model in server.held:
                    self._exit(server)
                    server.used += more
                    self._trim(server)
                    self._enter(server)

    @staticmethod
    def _clear(server: KnownServer) -> None:
        server.held.clear()
        server.used = server.last = 0
        server.skeleton = ""

    def _trim(self, server: KnownServer) -> None:
        while server.used > server.group.room and len(server.held) > server.last:
            self._push_out(server)

    # --- sets ---

    def use(self, scope: str, files: frozenset[ModelFile]) -> ModelSet:
        """The set of these models, known until :meth:`unuse`."""
        found, new = self.known.use(scope, files)
        for models in new:
            for server in self._holders(models):
                self._note(server, models)
                if server.place >= 0:
                    models.idle.setdefault(server.group, OrderedDict())[server] = None
        return found

    def unuse(self, models: ModelSet) -> None:
        """One use of the set less."""
        self.forgotten(self.known.release(models))

    def _holders(self, models: ModelSet) -> list[KnownServer]:
        """The servers that hold a set and take runs, found without an index: from the rarest of its models."""
        if not models.models:
            return [server for server in self.servers.values() if models.held_by(server) and not server.draining]
        rarest = min(models.models, key=lambda model: len(model.holders))
        return [server for server in rarest.holders if models.held_by(server)]

    def forgotten(self, gone: list[ModelSet]) -> None:
        """Sets are known no longer."""
        for models in gone:
            for servers in models.holders.values():
                for server in servers:
                    del server.sets[models]
            self.ready.pop(models, None)

    def want(self, models: ModelSet) -> None:
        """One more run waits for the set."""
        models.wanted += 1
        if models.idle:
            self.ready[models] = None

    def unwant(self, models: ModelSet) -> None:
        """One run less."""
        models.wanted -= 1
        if not models.wanted:
            self.ready.pop(models, None)

    # --- indexes ---

    def _enter(self, server: KnownServer) -> None:
        """It takes runs: what it holds counts, and it may be idle."""
        if server.draining:
            return
        server.group.members += 1
        self.version += server.group.members == 1
        for model in server.held:
            model.holders[server] = None
        for model in server.held:
            for models in model.sets:
                if models not in server.sets and models.held_by(server):
                    self._note(server, models)
        none = self.known.find(server.scope, NO_MODELS)
        if none is not None:
            self._note(server, none)
        if not server.busy:
            self._set_idle(server)

    def _exit(self, server: KnownServer) -> None:
        """It takes no runs, for now or for ever."""
        if server.draining:
            return
        if server.place >= 0:
            self._set_busy(server)
        for models in list(server.sets):
            self._unnote(server, models)
        for model in server.held:
            del model.holders[server]
        server.group.members -= 1
        self.version += not server.group.members

    def _note(self, server: KnownServer, models: ModelSet) -> None:
        server.sets[models] = None
        models.holders.setdefault(server.group, {})[server] = None

    def _unnote(self, server: KnownServer, models: ModelSet) -> None:
        del server.sets[models]
        servers = models.holders[server.group]
        del servers[server]
        if not servers:
            del models.holders[server.group]

    def _set_idle(self, server: KnownServer) -> None:
        group = server.group
        server.place = len(group.idle)
        group.idle.append(server)
        self.idle += 1
        if not server.held:
            group.empty[server] = None
        if server.skeleton:
            self.by_skeleton.setdefault(server.skeleton, OrderedDict())[server] = None
        for models in server.sets:
            models.idle.setdefault(group, OrderedDict())[server] = None
            if models.wanted:
                self.ready[models] = None

    def _set_busy(self, server: KnownServer) -> None:
        group = server.group
        last = group.idle.pop()
        if last is not server:
            group.idle[server.place] = last
            last.place = server.place
        server.place = -1
        self.idle -= 1
        group.empty.pop(server, None)
        if server.skeleton:
            alike = self.by_skeleton[server.skeleton]
            del alike[server]
            if not alike:
                del self.by_skeleton[server.skeleton]
        for models in server.sets:
            servers = models.idle[group]
            del servers[server]
            if not servers:
                del models.idle[group]
                if not models.idle:
                    self.ready.pop(models, None)
