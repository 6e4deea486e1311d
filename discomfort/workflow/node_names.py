"""Nodes by what a selector calls them: id, title or class, or the path of these that leads through subgraphs. Pure.

A path needs no escapes: a title may have any character, also ``/``, ``.`` and ``:``. Every way to read it counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

STEP = "/"
"""What stands between the steps of a path: ``Host title/Inner title``."""
MARKS = ("#", "@", "%")
"""What forces an id, a title or a class."""


@dataclass(frozen=True, slots=True)
class Target:
    """A node that a selector can name by its id in the prompt, its title (if it has one) or its class."""

    id: str
    title: str | None
    kind: str

    def __str__(self) -> str:
        name = self.title or self.kind
        return f"node #{self.id} {name!r}" + (f" ({self.kind})" if self.kind != name else "")

    @property
    def host(self) -> str:
        """The id of the subgraph's node that it is in; ``""`` in the workflow itself."""
        return self.id.rpartition(":")[0]


class NamedNodes:
    """Some nodes by id, title and class. ``own_id`` returns the id by which they are known here."""

    def __init__(self, targets: Iterable[Target], own_id: Callable[[Target], str]) -> None:
        self.ids: dict[str, list[Target]] = {}
        self.titles: dict[str, list[Target]] = defaultdict(list)
        self.kinds: dict[str, list[Target]] = defaultdict(list)
        self.folded_titles: dict[str, list[Target]] = defaultdict(list)
        self.folded_kinds: dict[str, list[Target]] = defaultdict(list)
        for target in targets:
            self.ids[own_id(target)] = [target]
            if target.kind:
                self.kinds[target.kind].append(target)
                self.folded_kinds[target.kind.casefold()].append(target)
            if target.title:
                self.titles[target.title].append(target)
                self.folded_titles[target.title.casefold()].append(target)

    def levels(self, text: str) -> Iterator[Sequence[Target]]:
        """The nodes with that id, then title, class, and title and class regardless of case; first a forced one."""
        mark, rest = text[:1], text[1:]
        if mark == "#":
            yield self.ids.get(rest, [])
        elif mark == "@":
            yield self.titles.get(rest, [])
            yield self.folded_titles.get(rest.casefold(), [])
        elif mark == "%":
            yield self.kinds.get(rest, [])
            yield self.folded_kinds.get(rest.casefold(), [])
        # A title may itself begin with a mark.
        yield self.ids.get(text, [])
        yield self.titles.get(text, [])
        yield self.kinds.get(text, [])
        yield self.folded_titles.get(text.casefold(), [])
        yield self.folded_kinds.get(text.casefold(), [])


class NodePaths:
    """Nodes by name, and by the path of names through subgraphs.

    ``hosts`` are subgraphs' nodes that are not among the targets: steps of a path, but no end of one.
    """

    def __init__(self, targets: Sequence[Target], hosts: Iterable[Target] = ()) -> None:
        ends = {target.id for target in targets}
        self._nodes = {each.id: each for each in (*hosts, *targets)}
        self.names = NamedNodes(targets, lambda target: target.id)
        self._starts = NamedNodes(self._nodes.values(), lambda target: target.id)
        inside: dict[str, list[Target]] = defaultdict(list)
        for each in self._nodes.values():
            inside[each.host].append(each)
        inside.pop("", None)
        self._inside = {host: NamedNodes(nodes, _own_id) for host, nodes in inside.items()}
        self._ends = ends

    def levels(self, text: str) -> Iterator[Sequence[Target]]:
        """The nodes that a text may name, the surest first: as one name, then as a path.

        The first step of a path may be at any depth, each further one is inside the one before. All ways to read a path
        have the same rank if their steps have.
        """
        yield from self.names.levels(text)
        if STEP not in text:
            return
        found: dict[tuple[int, ...], dict[str, Target]] = defaultdict(dict)
        for ranks, target in self._walk(self._starts, text.split(STEP), ()):
            found[ranks][target.id] = target
        for ranks in sorted(found):
            yield list(found[ranks].values())

    def first(self, text: str) -> Sequence[Target]:
        """The nodes of the first level that has any."""
        return next((found for found in self.levels(text) if found), ())

    def path(self, target: Target) -> str | None:
        """The path of names that leads to a node inside subgraphs, if it leads nowhere else."""
        steps = [target]
        while steps[0].host:
            if steps[0].host not in self._nodes:
                return None
            steps.insert(0, self._nodes[steps[0].host])
        names = [step.title or step.kind for step in steps]
        text = STEP.join(names)
        return text if len(steps) > 1 and all(names) and list(self.first(text)) == [target] else None

    def broken(self, text: str) -> tuple[Target, str] | None:
        """The last host that a path leads to, and the rest of the path, which is not inside."""
        tokens = text.split(STEP)
        for end in range(len(tokens) - 1, 0, -1):
            hosts = [each for each in self._prefixes(STEP.join(tokens[:end])) if each.id in self._inside]
            if hosts:
                return hosts[0], STEP.join(tokens[end:])
        return None

    @property
    def nameless(self) -> Target | None:
        """A host that is known by its id alone, if there is one."""
        return next((each for each in self._nodes.values() if not each.title and not each.kind), None)

    def inside(self, host: Target) -> list[Target]:
        """The nodes of one subgraph that can be the end of a path."""
        return [each for nodes in self._inside[host.id].ids.values() for each in nodes if each.id in self._ends]

    def _prefixes(self, text: str) -> Iterator[Target]:
        yield from (each for level in self._starts.levels(text) for each in level)
        yield from (each for _, each in self._walk(self._starts, text.split(STEP), (), to_end=False))

    def _walk(
        self, names: NamedNodes, tokens: Sequence[str], ranks: tuple[int, ...], *, to_end: bool = True
    ) -> Iterator[tuple[tuple[int, ...], Target]]:
        """The ends of a path with the rank of each of its tokens; a step may be several of them."""
        for end in range(1, len(tokens) + 1):
            is_last = end == len(tokens)
            if is_last and not ranks:
                return
            for rank, matches in enumerate(names.levels(STEP.join(tokens[:end]))):
                for target in matches:
                    own = (*ranks, *[rank] * end)
                    if is_last and (target.id in self._ends or not to_end):
                        yield own, target
                    elif not is_last and target.id in self._inside:
                        yield from self._walk(self._inside[target.id], tokens[end:], own, to_end=to_end)


def _own_id(target: Target) -> str:
    return target.id.rpartition(":")[2]
