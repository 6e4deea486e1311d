"""The policies that are compared: the pool's own, and three others, each as kind to it as its source allows."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Protocol

from benchmarks.pool_simulation.servers import SimulatedServer
from benchmarks.pool_simulation.workload import SimulatedRun, Workload, load_seconds
from discomfort.pool.run_requests import ModelFile, PoolRequest
from discomfort.pool.scheduler import Policy, Scheduler
from discomfort.pool.server_classes import ServerClass

Pair = tuple[SimulatedRun, SimulatedServer]
TICK = 0.5
MATCHING = 1.5
"""Ray Serve 2.60 looks for a replica with the model for so many seconds, of which it draws one between 1 and 2."""


class Router(Protocol):
    """What the simulation needs of a policy."""

    name: str

    def add(self, server: SimulatedServer) -> None: ...

    def remove(self, server: SimulatedServer) -> None: ...

    def drain(self, server: SimulatedServer) -> None: ...

    def submit(self, run: SimulatedRun, now: float) -> None: ...

    def finished(self, server: SimulatedServer, now: float, seconds: float) -> None: ...

    def decide(self, now: float) -> list[Pair]: ...

    def next_check(self, now: float) -> float | None: ...


class Ours:
    """The pool's scheduler."""

    name = "this pool"

    def __init__(self, workload: Workload, policy: Policy | None = None) -> None:
        self.scheduler = Scheduler(policy)
        self._sizes = workload.sizes
        self._servers: dict[str, SimulatedServer] = {}
        self._runs: dict[str, SimulatedRun] = {}

    def add(self, server: SimulatedServer) -> None:
        self._servers[server.name] = server
        self.scheduler.add_server(server.name, ServerClass(vram=server.room))

    def remove(self, server: SimulatedServer) -> None:
        del self._servers[server.name]
        self.scheduler.remove_server(server.name)

    def drain(self, server: SimulatedServer) -> None:
        self.scheduler.drain(server.name)

    def submit(self, run: SimulatedRun, now: float) -> None:
        for file in run.files:
            self.scheduler.learn_size(file, self._sizes[file])
        self._runs[str(run.id)] = run
        self.scheduler.submit(PoolRequest(str(run.id), run.at, run.tenant, frozenset(run.files)), now)

    def finished(self, server: SimulatedServer, now: float, seconds: float) -> None:
        self.scheduler.finished(server.name, now, seconds=seconds)

    def decide(self, now: float) -> list[Pair]:
        pairs = []
        for assignment in self.scheduler.decide(now):
            run, server = self._runs.pop(assignment.request.id), self._servers[assignment.server]
            if assignment.loads != {file for file in run.files if file not in server.held}:
                raise RuntimeError(f"the book is wrong about {server.name}: it expects to load {assignment.loads}")
            pairs.append((run, server))
        return pairs

    def next_check(self, now: float) -> float | None:
        return self.scheduler.next_check(now)


class FirstCome:
    """Any idle server for the run that came first, with no eye for models: Ray's ActorPool, or most queues."""

    name = "first come, any server"

    def __init__(self) -> None:
        self.idle: dict[SimulatedServer, None] = {}
        self.waiting: deque[SimulatedRun] = deque()

    def add(self, server: SimulatedServer) -> None:
        self.idle[server] = None

    def remove(self, server: SimulatedServer) -> None:
        self.idle.pop(server, None)

    def drain(self, server: SimulatedServer) -> None:
        self.idle.pop(server, None)

    def submit(self, run: SimulatedRun, now: float) -> None:
        self.waiting.append(run)

    def finished(self, server: SimulatedServer, now: float, seconds: float) -> None:
        if not server.leaving:
            self.idle[server] = None

    def decide(self, now: float) -> list[Pair]:
        pairs = []
        while self.idle and self.waiting:
            server = next(iter(self.idle))
            del self.idle[server]
            pairs.append((self.waiting.popleft(), server))
        return pairs

    def next_check(self, now: float) -> float | None:
        return None


class _ByModel:
    """One queue for each set of models, and the idle servers by what they hold: what the two below have in common."""

    def __init__(self) -> None:
        self.idle: dict[SimulatedServer, None] = {}
        self._idle_with: dict[ModelFile, dict[SimulatedServer, None]] = defaultdict(dict)
        self._queues: dict[tuple[ModelFile, ...], deque[SimulatedRun]] = {}
        self._holders: dict[ModelFile, int] = defaultdict(int)
        self._noted: dict[SimulatedServer, tuple[ModelFile, ...]] = {}

    def add(self, server: SimulatedServer) -> None:
        self._put(server)

    def remove(self, server: SimulatedServer) -> None:
        self._take(server)
        self._note(server, ())

    def drain(self, server: SimulatedServer) -> None:
        self._take(server)

    def finished(self, server: SimulatedServer, now: float, seconds: float) -> None:
        self._note(server, server.held)
        if not server.leaving:
            self._put(server)

    def submit(self, run: SimulatedRun, now: float) -> None:
        self._queues.setdefault(run.files, deque()).append(run)

    def next_check(self, now: float) -> float | None:
        return now + TICK if self.idle and self._queues else None

    def _put(self, server: SimulatedServer) -> None:
        self.idle[server] = None
        for file in server.held:
            self._idle_with[file][server] = None

    def _take(self, server: SimulatedServer) -> None:
        self.idle.pop(server, None)
        for file in server.held:
            self._idle_with[file].pop(server, None)

    def _note(self, server: SimulatedServer, held: Iterable[ModelFile]) -> None:
        for file in self._noted.pop(server, ()):
            self._holders[file] -= 1
        self._noted[server] = tuple(held)
        for file in self._noted[server]:
            self._holders[file] += 1

    def _pair(self, files: tuple[ModelFile, ...], server: SimulatedServer) -> Pair:
        queue = self._queues[files]
        run = queue.popleft()
        if not queue:
            del self._queues[files]
        self._take(server)
        self._note(server, {**dict.fromkeys(server.held), **dict.fromkeys(files)})
        return run, server

    def _warm(self) -> list[Pair]:
        """Each run for which an idle server holds the models, the oldest first of each kind."""
        pairs = []
        for files in list(self._queues):
            while files in self._queues and (server := self._holder(files)):
                pairs.append(self._pair(files, server))
        return pairs

    def _holder(self, files: tuple[ModelFile, ...]) -> SimulatedServer | None:
        rarest = min((self._idle_with[file] for file in files), key=len)
        return next((server for server in rarest if server.holds(files)), None)

    def _is_held(self, files: tuple[ModelFile, ...]) -> bool:
        return all(self._holders[file] > 0 for file in files)


class ServeLike(_ByModel):
    """Ray Serve 2.60's multiplexing, kindly: one router that sees everything. After 1.5 s, any idle replica."""

    name = "Serve-like, one router"

    def __init__(self) -> None:
        super().__init__()
        self._random = random.Random(0)

    def decide(self, now: float) -> list[Pair]:
        pairs = self._warm()
        while self.idle and self._queues:
            files = min(self._queues, key=lambda files: self._queues[files][0].at)
            if now - self._queues[files][0].at < MATCHING and self._is_held(files):
                break
            servers = list(self.idle)
            two = self._random.sample(servers, min(2, len(servers)))
            pairs.append(self._pair(files, min(two, key=lambda server: len(server.held))))
        return pairs


class SwarmLike(_ByModel):
    """SwarmUI's, as we read it: the model in memory first; else the model with the highest pressure (ten seconds for
    each run, and the age of the oldest), one load of a model at a time."""

    name = "SwarmUI-like"

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self._sizes = workload.sizes
        self._loading: dict[tuple[ModelFile, ...], float] = {}

    def decide(self, now: float) -> list[Pair]:
        pairs = self._warm()
        while self.idle and (files := self._most_wanted(now)):
            server = next(iter(self.idle))
            missing = [file for file in files if file not in server.held]
            self._loading[files] = now + sum(load_seconds(self._sizes[file]) for file in missing)
            pairs.append(self._pair(files, server))
        return pairs

    def _most_wanted(self, now: float) -> tuple[ModelFile, ...] | None:
        best, most = None, 0.0
        for files, queue in self._queues.items():
            age = now - queue[0].at
            if self._loading.get(files, 0.0) > now or (len(self.idle) > 1 and age < MATCHING and self._is_held(files)):
                continue
            if best is None or 10 * len(queue) + age > most:
                best, most = files, 10 * len(queue) + age
        return best
