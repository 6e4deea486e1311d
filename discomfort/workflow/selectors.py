"""Finds one input of one node by a readable selector: ``KSampler.seed``, ``3.seed``, ``My title.text``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from discomfort._error_text import nearest
from discomfort.exceptions import InputSelectorError

_SHORT = 20
"""Nodes, and inputs of a node, up to which all are candidates, the nearest first."""
_NEAR = 0.5
_MOST_NAMES = 5000


@dataclass(frozen=True, slots=True)
class Target:
    """A node that a selector can name by its id in the prompt, its title (if it has one) or its class."""

    id: str
    title: str | None
    kind: str

    def __str__(self) -> str:
        name = self.title or self.kind
        return f"node #{self.id} {name!r}" + (f" ({self.kind})" if self.kind != name else "")


class Index:
    """The nodes of one graph by id, title and class.

    ``inputs`` returns the names of a node's inputs by its id, including those that cannot be set. ``hint`` is appended
    to the error about an input that the node does not have.
    """

    def __init__(self, targets: Iterable[Target], inputs: Callable[[str], Sequence[str]], hint: str = "") -> None:
        self.targets: list[Target] = list(targets)
        self._hint = hint
        self._inputs = inputs
        self._ids = {target.id: [target] for target in self.targets}
        self._titles: dict[str, list[Target]] = {}
        self._kinds: dict[str, list[Target]] = {}
        self._folded_titles: dict[str, list[Target]] = {}
        self._folded_kinds: dict[str, list[Target]] = {}
        for target in self.targets:
            self._kinds.setdefault(target.kind, []).append(target)
            self._folded_kinds.setdefault(target.kind.casefold(), []).append(target)
            if target.title:
                self._titles.setdefault(target.title, []).append(target)
                self._folded_titles.setdefault(target.title.casefold(), []).append(target)

    def resolve(self, selector: str) -> tuple[str, str]:
        """Return node id and input name of the one input that the selector names.

        The selector is split at its last dot; at an earlier one only if that finds nothing (some inputs have dots
        in their names). The node is looked up by id, title, class, then title and class regardless of case. The first
        of these that finds a node with such an input wins. ``#`` before the node forces its id, ``@`` its title,
        ``%`` its class.

        Raises :class:`InputSelectorError` listing the candidates if nothing matches, or more than one node does.
        """
        for is_folded in (False, True):
            for node_text, name in _splits(selector):
                for matches in self._levels(node_text):
                    found = [(target, match) for target in matches if (match := self._input(target, name, is_folded))]
                    if len(found) > 1:
                        candidates = [self.friendly(target, match) for target, match in found]
                        raise InputSelectorError(selector, f"{len(found)} nodes match", candidates)
                    if found:
                        return found[0][0].id, found[0][1]
        raise self._unknown(selector)

    def friendly(self, target: Target, name: str) -> str:
        """Return the shortest selector for this input: by title or class if that is unique, else by id."""
        for text, nodes in ((target.title, self._titles), (target.kind, self._kinds)):
            if text and text not in self._ids and not text.startswith(("#", "@", "%")):
                taken = nodes is self._kinds and text in self._titles
                if not taken and len(nodes[text]) == 1:
                    return f"{text}.{name}"
        return f"#{target.id}.{name}"

    def _levels(self, text: str) -> Iterator[list[Target]]:
        mark, rest = text[:1], text[1:]
        if mark == "#":
            yield self._ids.get(rest, [])
        elif mark == "@":
            yield self._titles.get(rest, [])
            yield self._folded_titles.get(rest.casefold(), [])
        elif mark == "%":
            yield self._kinds.get(rest, [])
            yield self._folded_kinds.get(rest.casefold(), [])
        # A title may itself begin with a mark.
        yield self._ids.get(text, [])
        yield self._titles.get(text, [])
        yield self._kinds.get(text, [])
        yield self._folded_titles.get(text.casefold(), [])
        yield self._folded_kinds.get(text.casefold(), [])

    def _input(self, target: Target, name: str, is_folded: bool) -> str | None:
        names = self._inputs(target.id)
        if not is_folded:
            return name if name in names else None
        matches = [candidate for candidate in names if candidate.casefold() == name.casefold()]
        return matches[0] if len(matches) == 1 else None

    def _unknown(self, selector: str) -> InputSelectorError:
        for node_text, name in [*_splits(selector), (selector, "")]:
            matches = next((found for found in self._levels(node_text) if found), [])
            if matches:
                problem = (
                    f"{matches[0]} has no input {name!r}{self._hint}" if name else "names a node, but no input of it"
                )
                by_id = node_text.removeprefix("#") in self._ids
                return InputSelectorError(selector, problem, self._near_inputs(matches, name, by_id=by_id))
        if "." not in selector:
            return InputSelectorError(selector, "expected NODE.INPUT, found no dot", self._near_nodes(selector, ""))
        node_text, name = next(_splits(selector), (selector, ""))
        problem = f"there is no node {node_text!r}{self._meant(node_text)}"
        return InputSelectorError(selector, problem, self._near_nodes(node_text, name))

    def _meant(self, text: str) -> str:
        """The title that is probably meant, where the candidates cannot show it because several nodes have it."""
        near = nearest(_plain(text), list(self._titles), cutoff=_NEAR)[:1]
        shared = [(title, self._titles[title]) for title in near if len(self._titles[title]) > 1]
        return "".join(f"; {len(nodes)} nodes have the title {title!r}" for title, nodes in shared)

    def _near_inputs(self, nodes: Sequence[Target], name: str, *, by_id: bool) -> list[str]:
        candidates: list[str] = []
        for node in nodes[:_SHORT]:
            names = self._inputs(node.id)
            ordered = nearest(name, names, cutoff=0.0 if len(names) <= _SHORT else _NEAR)
            show = f"#{node.id}.{{}}".format if by_id else partial(self.friendly, node)
            candidates.extend(map(show, ordered))
        return candidates

    def _near_nodes(self, text: str, name: str) -> list[str]:
        """Inputs of the nodes whose title or class is similar, then of those with a similar id, the nearest first."""
        near: dict[str, Target] = {}
        tables = {**self._folded_kinds, **self._folded_titles}
        names = [*self._folded_titles, *(kind for kind in self._folded_kinds if kind not in self._folded_titles)]
        is_short = len(self.targets) <= _SHORT
        ways: list[tuple[list[str], dict[str, list[Target]]]] = [(names, tables), (list(self._ids), self._ids)]
        if text.startswith("#") or _plain(text).isdigit():
            ways.reverse()
        for known, nodes in ways:
            for match in nearest(_plain(text), known[:_MOST_NAMES], cutoff=0.0 if is_short else _NEAR):
                for target in nodes[match]:
                    near.setdefault(target.id, target)
        candidates: list[str] = []
        for target in list(near.values())[:_SHORT]:
            inputs = self._inputs(target.id)
            shown = [name] if name in inputs else nearest(name, inputs)
            candidates.extend(self.friendly(target, other) for other in shown)
        return candidates


def _plain(text: str) -> str:
    return text.lstrip("#@%")


def _splits(selector: str) -> Iterator[tuple[str, str]]:
    end = len(selector)
    while (dot := selector.rfind(".", 0, end)) > 0:
        if dot + 1 < len(selector):
            yield selector[:dot], selector[dot + 1 :]
        end = dot
