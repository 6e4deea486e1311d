"""What results are kept from one run to the next, and within one: ComfyUI's three policies.

A store keeps one thing by the keys of nodes (see :mod:`comfyui_emulator.execution.cache`); a server has one for the
values of nodes and one for what they show, each of which forgets on its own, as in ComfyUI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from comfyui_emulator.registry import JsonObject, is_link, node_inputs
from comfyui_emulator.settings import CacheKind

V = TypeVar("V")
Key = bytes
KeyOf = Callable[[str], Key]


class Store(Generic[V]):
    """``classic``: keeps what the newest prompt names, and what its nodes added to former ones."""

    def __init__(self) -> None:
        self._kept: dict[Key, V] = {}
        self._key_of: KeyOf | None = None

    def begin(self, prompt: Mapping[str, JsonObject], key_of: KeyOf, below: Iterable[Key] = ()) -> None:
        """A run of ``prompt`` begins: drop what the policy does not keep.

        ``below`` are keys of nodes that the nodes of this run added in former ones.
        """
        self._key_of = key_of
        named = {key_of(node_id) for node_id in prompt}.union(below)
        self._kept = {key: value for key, value in self._kept.items() if key in named}

    def _key(self, node_id: str) -> Key:
        if self._key_of is None:
            raise RuntimeError("results belong to a run, and none has begun")
        return self._key_of(node_id)

    def get(self, node_id: str) -> V | None:
        """What is kept for a node of the run."""
        return self._kept.get(self._key(node_id))

    def put(self, node_id: str, value: V) -> None:
        """Keep a value for a node of the run."""
        self._kept[self._key(node_id)] = value

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def __len__(self) -> int:
        """How much is kept."""
        return len(self._kept)


class LatestStore(Store[V]):
    """``lru``: when a run begins with more than ``limit`` kept, the oldest runs' are dropped, run by run.

    What a run names, looks for or makes is of that run; what the newest names is never dropped, however much that is.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._used: dict[Key, int] = {}
        self._run = self._oldest = 0

    def begin(self, prompt: Mapping[str, JsonObject], key_of: KeyOf, below: Iterable[Key] = ()) -> None:
        """A run of ``prompt`` begins."""
        del below
        self._key_of = key_of
        self._run += 1
        for node_id in prompt:
            self._used[key_of(node_id)] = self._run
        while len(self._kept) > self._limit and self._oldest < self._run:
            self._oldest += 1
            self._kept = {key: value for key, value in self._kept.items() if self._used[key] >= self._oldest}
        # What was looked for and is not there needs no memory beyond its run.
        self._used = {key: run for key, run in self._used.items() if key in self._kept or run == self._run}

    def get(self, node_id: str) -> V | None:
        """What is kept for a node of the run."""
        self._used[self._key(node_id)] = self._run
        return super().get(node_id)

    def put(self, node_id: str, value: V) -> None:
        """Keep a value for a node of the run."""
        self._used[self._key(node_id)] = self._run
        super().put(node_id, value)

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        self._used.clear()


class FrugalStore(Store[V]):
    """``none``: keeps nothing from run to run, and within one only what a node that was not executed yet links to.

    Where an equal node was executed in its place, it never is, and what it links to stays, as in ComfyUI.
    """

    def __init__(self) -> None:
        super().__init__()
        self._above: dict[str, set[str]] = {}
        self._below: dict[str, set[str]] = {}
        self._executed: set[str] = set()

    def begin(self, prompt: Mapping[str, JsonObject], key_of: KeyOf, below: Iterable[Key] = ()) -> None:
        """A run of ``prompt`` begins."""
        del below
        self._key_of = key_of
        self.clear()
        self._above = {node_id: set() for node_id in prompt}
        self._below = {node_id: set() for node_id in prompt}
        for node_id, node in prompt.items():
            for value in node_inputs(node).values():
                if is_link(value) and value[0] in self._below:
                    self._above[node_id].add(value[0])
                    self._below[value[0]].add(node_id)

    def put(self, node_id: str, value: V) -> None:
        """Keep a value for a node of the run, and drop those that it was the last to need."""
        super().put(node_id, value)
        self._executed.add(node_id)
        for source in self._above.get(node_id, set()) & self._executed:
            if self._below[source] <= self._executed:
                self._kept.pop(self._key(source), None)

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        self._executed.clear()


class Results:
    """What nodes gave (``values``, per output slot a list), and what they show (``shown``: UI part and ``meta``)."""

    def __init__(self, kind: CacheKind = "classic", limit: int = 0) -> None:
        self.frugal = kind == "none"
        """Whether nothing is kept from run to run."""
        self.flat = kind == "lru"
        """Whether a node that an expansion added is known by what made it alone, wherever it is added."""
        self.values: Store[list[list[object]]] = _store(kind, limit)
        self.shown: Store[JsonObject] = _store(kind, limit)

    def begin(self, prompt: Mapping[str, JsonObject], key_of: KeyOf, below: Iterable[Key] = ()) -> None:
        """A run begins; see :meth:`Store.begin`."""
        below = list(below)
        self.values.begin(prompt, key_of, below)
        self.shown.begin(prompt, key_of, below)

    def clear(self) -> None:
        """Forget everything."""
        self.values.clear()
        self.shown.clear()


def _store(kind: CacheKind, limit: int) -> Store[V]:
    return LatestStore(limit) if kind == "lru" else FrugalStore() if kind == "none" else Store()
