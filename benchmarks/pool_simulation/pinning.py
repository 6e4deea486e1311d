"""A bound to compare with: models pinned to servers by somebody who knows all that will come, solved beforehand.

Each server keeps its models for good, so nothing is loaded twice. The pins are chosen greedily: one more server for the
model whose runs are expected to wait longest, and what is left of the larger servers for the same. A scheduler that
knows nothing beforehand can hardly need less GPU time; it can wait less, since it may move models as the load changes.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from heapq import heapify, heapreplace

from benchmarks.pool_simulation.policies import Pair
from benchmarks.pool_simulation.servers import SimulatedServer
from benchmarks.pool_simulation.workload import SimulatedRun, Workload
from discomfort.pool.run_requests import ModelFile


def waiting(work: float, servers: float) -> float:
    """How much waits with so much work on so many servers, by Sakasegawa's formula; endless where they are too few."""
    if work <= 0:
        return 0.0
    busy = work / servers if servers else 2.0
    if busy >= 1:
        return 1e6 * (work - servers + 1)
    return float(busy ** math.sqrt(2 * (servers + 1)) / (1 - busy))


def pins(workload: Workload, servers: list[SimulatedServer]) -> dict[SimulatedServer, list[ModelFile]]:
    """The models of each server."""
    total = sum(workload.weights)
    work = {
        family.files[0]: workload.rate * weight / total * family.median * 1.133
        for weight, family in zip(workload.weights, workload.families, strict=True)
    }
    has: dict[ModelFile, float] = dict.fromkeys(work, 0.0)
    heap = [(-waiting(work[file], 0), number, file) for number, file in enumerate(work)]
    heapify(heap)
    pinned: dict[SimulatedServer, list[ModelFile]] = {}
    for server in sorted(servers, key=lambda server: server.room):
        _, number, file = heap[0]
        has[file] += 1
        pinned[server] = [file]
        heapreplace(heap, (-waiting(work[file], has[file]), number, file))
    for server, files in pinned.items():
        used = workload.sizes[files[0]]
        for _, _, file in sorted(heap):
            if file not in files and used + workload.sizes[file] <= server.room:
                files.append(file)
                used += workload.sizes[file]
                has[file] += 1 / len(files)
        heap = [(-waiting(work[file], has[file]), number, file) for _, number, file in heap]
    return pinned


class Pinned:
    """Runs go to the servers of their model, in the order in which they come."""

    name = "clairvoyant pins"

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._servers: list[SimulatedServer] = []
        self._pins: dict[SimulatedServer, list[ModelFile]] = {}
        self._idle: dict[ModelFile, dict[SimulatedServer, None]] = defaultdict(dict)
        self._queues: dict[ModelFile, deque[SimulatedRun]] = defaultdict(deque)
        self._pairs: list[Pair] = []

    def add(self, server: SimulatedServer) -> None:
        self._servers.append(server)

    def remove(self, server: SimulatedServer) -> None:
        raise NotImplementedError("pins are for servers that stay")

    drain = remove

    def submit(self, run: SimulatedRun, now: float) -> None:
        if not self._pins:
            self._pins = pins(self._workload, self._servers)
            for server in self._servers:
                self._put(server)
        idle = self._idle[run.files[0]]
        if idle:
            server = min(idle, key=lambda server: len(self._pins[server]))
            for file in self._pins[server]:
                del self._idle[file][server]
            self._pairs.append((run, server))
        else:
            self._queues[run.files[0]].append(run)

    def finished(self, server: SimulatedServer, now: float, seconds: float) -> None:
        queues = [queue for file in self._pins[server] if (queue := self._queues[file])]
        if queues:
            self._pairs.append((min(queues, key=lambda queue: queue[0].at).popleft(), server))
        else:
            self._put(server)

    def _put(self, server: SimulatedServer) -> None:
        for file in self._pins[server]:
            self._idle[file][server] = None

    def decide(self, now: float) -> list[Pair]:
        pairs, self._pairs = self._pairs, []
        return pairs

    def next_check(self, now: float) -> float | None:
        return None
