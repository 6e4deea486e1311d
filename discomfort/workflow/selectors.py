"""Finds one input of one node by a readable selector: ``KSampler.seed``, ``3.seed``, ``My title.text``."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from discomfort.exceptions import InputSelectorError

_SHORT = 20
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
        self.targets = list(targets)
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
                    found = [
                        (target.id, match) for target in matches if (match := self._input(target, name, is_folded))
                    ]
                    if len(found) > 1:
                        raise InputSelectorError(
                            selector, f"{len(found)} nodes match", [f"#{node_id}.{match}" for node_id, match in found]
                        )
                    if found:
                        return found[0]
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
                return InputSelectorError(selector, problem, self._near_inputs(matches, name))
        if "." not in selector:
            return InputSelectorError(selector, "expected NODE.INPUT, found no dot", self._near_nodes(selector, ""))
        node_text, name = next(_splits(selector), (selector, ""))
        return InputSelectorError(selector, f"there is no node {node_text!r}", self._near_nodes(node_text, name))

    def _near_inputs(self, nodes: Sequence[Target], name: str) -> list[str]:
        candidates: list[str] = []
        for node in nodes[:_SHORT]:
            names = self._inputs(node.id)
            near = difflib.get_close_matches(name, names, 5, 0.5)
            rest = [other for other in names if other not in near] if len(names) <= _SHORT else []
            candidates.extend(f"#{node.id}.{other}" for other in (*near, *rest))
        return candidates

    def _near_nodes(self, text: str, name: str) -> list[str]:
        wanted = text.lstrip("#@%").casefold()
        known = [*self._folded_titles, *self._folded_kinds, *self._ids][:_MOST_NAMES]
        near: dict[str, Target] = {}
        for match in difflib.get_close_matches(wanted, known, 5, 0.5):
            for table in (self._folded_titles, self._folded_kinds, self._ids):
                near.update((target.id, target) for target in table.get(match, ()))
        if len(self.targets) <= _SHORT:
            near.update((target.id, target) for target in self.targets if target.id not in near)
        candidates: list[str] = []
        for target in near.values():
            names = self._inputs(target.id)
            candidates.extend(f"#{target.id}.{other}" for other in ([name] if name in names else names))
        return candidates


def _splits(selector: str) -> Iterator[tuple[str, str]]:
    end = len(selector)
    while (dot := selector.rfind(".", 0, end)) > 0:
        if dot + 1 < len(selector):
            yield selector[:dot], selector[dot + 1 :]
        end = dot
