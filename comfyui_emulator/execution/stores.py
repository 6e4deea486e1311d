"""Stores for results, with ComfyUI's cache policies.

A store maps the keys of nodes (see :mod:`comfyui_emulator.execution.cache`) to their results. A run itself does not
depend on what the store keeps: see :mod:`comfyui_emulator.execution.arrivals`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from comfyui_emulator.device import DeviceModel
from comfyui_emulator.registry import JsonObject
from comfyui_emulator.settings import CacheKind, CacheRam

Key = bytes
KeyOf = Callable[[str], Key]


class Entry(NamedTuple):
    """The results of a node.

    ``values`` are a list per output slot, ``shown`` is the UI part with its ``meta``. ``models`` are those that each
    slot brings along, with a simulated device.
    """

    values: list[list[object]]
    shown: JsonObject | None
    models: tuple[tuple[DeviceModel, ...], ...] = ()


class Store:
    """``classic``: keeps the results of the newest prompt's nodes, and of nodes that those added in earlier runs."""

    flat = False
    """Whether the key of an added node does not depend on which node's expansion added it."""

    def __init__(self) -> None:
        self._kept: dict[Key, Entry] = {}
        self._key_of: KeyOf | None = None

    def begin(self, prompt: Mapping[str, JsonObject], key_of: KeyOf, below: Iterable[Key] = ()) -> None:
        """Start a run of ``prompt``: drop what the policy does not keep.

        ``below`` are keys of nodes that this run's nodes added in earlier runs.
        """
        self._key_of = key_of
        named = {key_of(node_id) for node_id in prompt}.union(below)
        self._kept = {key: value for key, value in self._kept.items() if key in named}

    def _key(self, node_id: str) -> Key:
        if self._key_of is None:
            raise RuntimeError("no run has begun, so there are no keys to look up")
        return self._key_of(node_id)

    def get(self, node_id: str) -> Entry | None:
        """The results kept for a node of the run, or ``None``."""
        return self._kept.get(self._key(node_id))

    def put(self, node_id: str, entry: Entry) -> None:
        """Keep the results of a node of the run."""
        self._kept[self._key(node_id)] = entry

    def stepped(self) -> None:
        """A node has run, or was found to be cached."""

    def names(self, node_ids: list[str]) -> list[str]:
        """The nodes that an error lists as known to the caches."""
        return node_ids

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def __len__(self) -> int:
        """The number of kept results."""
        return len(self._kept)


class LatestStore(Store):
    """``lru``: if a run begins with more than ``limit`` results, those of the oldest runs are dropped, run by run.

    A result belongs to the last run that named, looked up or made it. Those of the newest prompt are never dropped,
    however many there are.
    """

    flat = True

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._used: dict[Key, int] = {}
        self._run = self._oldest = 0

    def begin(self, prompt: Mapping[str, JsonObject], key_of: KeyOf, below: Iterable[Key] = ()) -> None:
        """Start a run of ``prompt``."""
        del below
        self._key_of = key_of
        self._run += 1
        for node_id in prompt:
            self._used[key_of(node_id)] = self._run
        self._shrink()
        # Keys that were looked up but not found are remembered only during their run.
        self._used = {key: run for key, run in self._used.items() if key in self._kept or run == self._run}

    def _shrink(self) -> None:
        while len(self._kept) > self._limit and self._oldest < self._run:
            self._oldest += 1
            self._drop_before(self._oldest)

    def _drop_before(self, run: int) -> None:
        self._kept = {key: value for key, value in self._kept.items() if self._used[key] >= run}

    def get(self, node_id: str) -> Entry | None:
        """The results kept for a node of the run, or ``None``."""
        self._used[self._key(node_id)] = self._run
        return super().get(node_id)

    def put(self, node_id: str, entry: Entry) -> None:
        """Keep the results of a node of the run."""
        self._used[self._key(node_id)] = self._run
        super().put(node_id, entry)

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        self._used.clear()


class PressedStore(LatestStore):
    """``ram``: when a node has run, and memory is short, the results of earlier runs are dropped.

    ``limits`` are gigabytes of available memory: below the first, the running prompt's results are dropped too; below
    the second, those of earlier runs. Without limits, memory always counts as short of the second kind, as it is in
    ComfyUI on a machine with less than 128 GB.
    """

    def __init__(self, limits: CacheRam | None, available: Callable[[], float]) -> None:
        super().__init__(0)
        self._limits, self._available = limits, available

    def _shrink(self) -> None:
        """Nothing is dropped when a run begins."""

    def stepped(self) -> None:
        """A node has run, or was found to be cached."""
        active, inactive = self._limits or (0.0, float("inf"))
        free = self._available() if self._limits else 1.0
        if free < inactive:
            self._drop_before(self._run)
        if free < active:
            self._kept.clear()


class NoStore(Store):
    """``none``: keeps nothing, so every node runs, and runs again where it is needed again."""

    def begin(self, prompt: Mapping[str, JsonObject], key_of: KeyOf, below: Iterable[Key] = ()) -> None:
        """Start a run of ``prompt``."""

    def get(self, node_id: str) -> Entry | None:
        """Nothing."""

    def put(self, node_id: str, entry: Entry) -> None:
        """Keep nothing."""

    def names(self, node_ids: list[str]) -> list[str]:
        """No nodes."""
        return []


def available_memory() -> float:
    """Gigabytes of memory that programs could still get, as the system estimates them."""
    import psutil

    return float(psutil.virtual_memory().available) / 1024**3


def make_store(
    kind: CacheKind, limit: int = 0, ram: CacheRam | None = None, available: Callable[[], float] = available_memory
) -> Store:
    """The store for a cache policy."""
    if kind == "ram":
        return PressedStore(ram, available)
    return LatestStore(limit) if kind == "lru" else NoStore() if kind == "none" else Store()
