"""Finds one input of one node by a readable selector: ``KSampler.seed``, ``3.seed``, ``Host/My title.text``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from discomfort._error_text import nearest
from discomfort.exceptions import InputSelectorError
from discomfort.workflow.node_names import MARKS, STEP, NamedNodes, NodePaths, Target

_SHORT = 20
"""Nodes, and inputs of a node, up to which all are candidates, the nearest first."""
_NEAR = 0.5
_MOST_NAMES = 5000


class Index:
    """The nodes of one workflow or prompt by id, title, class, and by path through subgraphs.

    ``inputs`` returns the names of a node's inputs by its id, including those that cannot be set. ``hint`` returns what
    the error about an input adds that the node does not have. ``hosts`` are the subgraphs' nodes of a prompt, which has
    only those inside.
    """

    def __init__(
        self,
        targets: Iterable[Target],
        inputs: Callable[[str], Sequence[str]],
        hint: Callable[[str, str], str] = lambda _node_id, _name: "",
        hosts: Iterable[Target] = (),
    ) -> None:
        self.targets: list[Target] = list(targets)
        self._hint = hint
        self._inputs = inputs
        self._paths = NodePaths(self.targets, hosts)
        self._names = self._paths.names

    def resolve(self, selector: str) -> tuple[str, str]:
        """Return node id and input name of the one input that the selector names.

        The selector is split at its last dot; at an earlier one only if that finds nothing (some inputs have dots
        in their names). The node is looked up by id, title, class, then title and class regardless of case. The first
        of these that finds a node with such an input wins. ``#`` before the node forces its id, ``@`` its title,
        ``%`` its class. What names no node as a whole is a path: ``Host/Inner`` is the node ``Inner`` inside ``Host``.

        Raises :class:`InputSelectorError` listing the candidates if nothing matches, or more than one node does.
        """
        for is_folded in (False, True):
            for node_text, name in _splits(selector):
                for matches in self._paths.levels(node_text):
                    found = [(target, match) for target in matches if (match := self._input(target, name, is_folded))]
                    if len(found) > 1:
                        candidates = [self.friendly(target, match) for target, match in found]
                        raise InputSelectorError(selector, f"{len(found)} nodes match", candidates)
                    if found:
                        return found[0][0].id, found[0][1]
        raise self._unknown(selector)

    def friendly(self, target: Target, name: str) -> str:
        """Return a selector for this input: by title or class if that is unique, else by path or id."""
        for text, nodes in ((target.title, self._names.titles), (target.kind, self._names.kinds)):
            if text and text not in self._names.ids and not text.startswith(MARKS):
                taken = nodes is self._names.kinds and text in self._names.titles
                if not taken and len(nodes[text]) == 1:
                    return f"{text}.{name}"
        path = self._paths.path(target) if target.host else None
        return f"#{target.id}.{name}" if path is None else f"{path}.{name}"

    def nodes(self, text: str) -> Sequence[Target]:
        """Return the nodes that a text names, without an input: several if it is ambiguous."""
        return self._paths.first(text)

    def _input(self, target: Target, name: str, is_folded: bool) -> str | None:
        names = self._inputs(target.id)
        if not is_folded:
            return name if name in names else None
        matches = [candidate for candidate in names if candidate.casefold() == name.casefold()]
        return matches[0] if len(matches) == 1 else None

    def _unknown(self, selector: str) -> InputSelectorError:
        for node_text, name in [*_splits(selector), (selector, "")]:
            matches = next((found for found in self._paths.levels(node_text) if found), [])
            if matches:
                hint = self._hint(matches[0].id, name)
                problem = f"{matches[0]} has no input {name!r}{hint}" if name else "names a node, but no input of it"
                by_id = node_text.removeprefix("#") in self._names.ids
                return InputSelectorError(selector, problem, self._near_inputs(matches, name, by_id=by_id))
        if "." not in selector:
            return InputSelectorError(selector, "expected NODE.INPUT, found no dot", self._near_nodes(selector, ""))
        node_text, name = next(_splits(selector), (selector, ""))
        broken = self._paths.broken(node_text) if STEP in node_text else None
        if broken is not None:
            host, rest = broken
            known = self._near_nodes(rest, name, self._paths.inside(host))
            return InputSelectorError(selector, f"{host} has no node {rest!r} inside", known)
        nameless = self._paths.nameless if STEP in node_text else None
        if nameless is not None:
            problem = (
                f"there is no node {node_text!r}; the prompt does not have the titles of subgraphs, name them by id: "
                f"{nameless.id}{STEP}TITLE"
            )
            return InputSelectorError(selector, problem, self._near_nodes(node_text, name))
        problem = f"there is no node {node_text!r}{self._meant(node_text)}"
        return InputSelectorError(selector, problem, self._near_nodes(node_text, name))

    def _meant(self, text: str) -> str:
        """The title that is probably meant, where the candidates cannot show it because several nodes have it."""
        near = nearest(_plain(text), list(self._names.titles), cutoff=_NEAR)[:1]
        shared = [(title, self._names.titles[title]) for title in near if len(self._names.titles[title]) > 1]
        return "".join(f"; {len(nodes)} nodes have the title {title!r}" for title, nodes in shared)

    def _near_inputs(self, nodes: Sequence[Target], name: str, *, by_id: bool) -> list[str]:
        candidates: list[str] = []
        for node in nodes[:_SHORT]:
            names = self._inputs(node.id)
            ordered = nearest(name, names, cutoff=0.0 if len(names) <= _SHORT else _NEAR)
            show = f"#{node.id}.{{}}".format if by_id else partial(self.friendly, node)
            candidates.extend(map(show, ordered))
        return candidates

    def _near_nodes(self, text: str, name: str, among: Sequence[Target] | None = None) -> list[str]:
        """Inputs of the nodes whose title or class is similar, then of those with a similar id, the nearest first."""
        names = self._names if among is None else NamedNodes(among, lambda target: target.id.rpartition(":")[2])
        near: dict[str, Target] = {}
        tables = {**names.folded_kinds, **names.folded_titles}
        known = [*names.folded_titles, *(kind for kind in names.folded_kinds if kind not in names.folded_titles)]
        is_short = len(names.ids) <= _SHORT
        ways: list[tuple[list[str], dict[str, list[Target]]]] = [(known, tables), (list(names.ids), names.ids)]
        if text.startswith("#") or _plain(text).isdigit():
            ways.reverse()
        # Of a path whose first step names nothing, the last step may be right.
        for sought in dict.fromkeys([_plain(text.rpartition(STEP)[2]), _plain(text)]):
            for texts, nodes in ways:
                for match in nearest(sought, texts[:_MOST_NAMES], cutoff=0.0 if is_short else _NEAR):
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
