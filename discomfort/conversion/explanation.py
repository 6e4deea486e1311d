"""The outcome of each node in a conversion, and broken links. Pure: read from workflow and prompt."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from discomfort._error_text import install_command, packs_remedy
from discomfort._json import copied
from discomfort.exceptions import GraphProblem
from discomfort.workflow.javascript import id_text
from discomfort.workflow.nodes import MODE_BYPASSED, MODE_MUTED, NOTES
from discomfort.workflow.prompt_ids import PromptIds
from discomfort.workflow.subgraphs import find_subgraph, inner_nodes, is_group, link_list, objects, pack_of

if TYPE_CHECKING:
    from discomfort._json import JsonObject

SUBGRAPH_INPUT: Final = -10
"""Id that the links of a subgraph give as their origin where they come from its inputs."""

Outcome = Literal["kept", "muted", "bypassed", "virtual", "frontend-only", "subgraph", "group", "missing", "dropped"]

ConversionPath = Literal["browser", "cache", "native"]

MAX_NODES: Final = 20_000
"""Nodes that are examined, inner ones once per instance: a subgraph that contains itself twice has no end."""

MAX_DEPTH: Final = 100
"""Subgraphs within subgraphs that are followed; the frontend allows 1000, and one that contains itself has no end."""


_REASONS: Final[dict[Outcome, str]] = {
    "kept": "it is in the prompt",
    "muted": "switched off in the workflow, so it does not run",
    "bypassed": "switched off in the workflow, and its inputs go on to its outputs",
    "virtual": "only the frontend has it, and its value or link is in the inputs of other nodes",
    "frontend-only": "a note",
    "subgraph": "its inner nodes take its place",
    "group": "its inner nodes take its place",
    "missing": "the server does not have this node type",
    "dropped": "inside a muted or bypassed node",
}


@dataclass(frozen=True, slots=True)
class NodeFate:
    """What happened to one node.

    ``node_id`` is its id as in prompts (``12:5`` is node 5 in the subgraph of node 12). ``outcome``: *kept* (it is in
    the prompt), *muted*, *bypassed*, *virtual* (resolved by the frontend: reroutes, primitives, virtual nodes of
    packs), *frontend-only* (notes), *subgraph* or *group* (replaced by its ``inner`` nodes), *missing* (its type is
    unknown), *dropped* (inside something muted or bypassed). ``pack`` is the pack that the workflow names for it.
    """

    node_id: str
    class_type: str
    title: str | None
    outcome: Outcome
    inner: int = 0
    pack: str | None = None

    @property
    def reason(self) -> str:
        """Why, in a few words; for a missing node also the pack, and the command that installs it."""
        text = _REASONS[self.outcome]
        if self.outcome != "missing":
            return text
        if self.pack is None:
            return f"{text}, and the workflow names no pack for it"
        command = install_command([self.pack])
        return f"{text}; it is in the pack {self.pack!r}" + (f": {command}" if command else "")

    def __str__(self) -> str:
        name = self.title or self.class_type
        kind = f" ({self.class_type})" if self.class_type != name else ""
        count = f" of {self.inner}" if self.inner else ""
        return f"{self.node_id} {name!r}{kind}: {self.outcome}{count}; {self.reason}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A conversion, node by node.

    ``path`` is what converted it (``browser``, ``cache`` or ``native``), ``prompt`` the result. As text it has one line
    for each node.
    """

    path: ConversionPath
    nodes: tuple[NodeFate, ...]
    prompt: JsonObject = field(repr=False)

    @property
    def missing(self) -> tuple[NodeFate, ...]:
        """The nodes whose type the server does not have."""
        return tuple(node for node in self.nodes if node.outcome == "missing")

    @property
    def install(self) -> str | None:
        """The command that installs the packs of all missing nodes; ``None`` if the workflow names none of them."""
        return install_command([node.pack for node in self.missing])

    @property
    def remedy(self) -> str:
        """What helps if nodes are missing; empty if none is."""
        return packs_remedy([node.pack for node in self.missing]) if self.missing else ""

    def to_dict(self) -> JsonObject:
        """The explanation as values for JSON: ``path``, ``nodes`` with their reasons, ``install``, ``prompt``."""
        nodes = [{**asdict(node), "reason": node.reason} for node in self.nodes]
        return {"path": self.path, "nodes": nodes, "install": self.install, "prompt": copied(self.prompt)}

    def __str__(self) -> str:
        return "\n".join([f"converted by: {self.path}", *map(str, self.nodes)])


def node_fates(workflow: JsonObject, output: JsonObject) -> tuple[NodeFate, ...]:
    """What happened to each node of ``workflow`` in the prompt ``output``; inner nodes follow the node around them."""
    prompt_ids = PromptIds(workflow, output)
    found = _fates(workflow, output, list(objects(workflow.get("nodes"))), "", 0, prompt_ids, active=True)
    return tuple(itertools.islice(found, MAX_NODES))


def _fates(
    workflow: JsonObject,
    output: JsonObject,
    nodes: list[JsonObject],
    prefix: str,
    depth: int,
    prompt_ids: PromptIds,
    *,
    active: bool,
) -> Iterator[NodeFate]:
    for node, node_id in zip(nodes, prompt_ids.ids(nodes, prefix), strict=True):
        kind = str(node.get("type"))
        inner = inner_nodes(workflow, kind) if depth < MAX_DEPTH else None
        outcome = _outcome(node, kind, output.get(node_id), active=active)
        if inner is not None and outcome in ("virtual", "muted", "bypassed", "dropped"):
            if outcome == "virtual":
                outcome = "group" if is_group(kind) else "subgraph"
            yield NodeFate(node_id, kind, _title(node), outcome, len(inner))
            held = active and outcome in ("group", "subgraph")
            yield from _fates(workflow, output, inner, f"{node_id}:", depth + 1, prompt_ids, active=held)
        else:
            pack = pack_of(node) if outcome == "missing" else None
            yield NodeFate(node_id, kind, _title(node), outcome, pack=pack)


def _title(node: JsonObject) -> str | None:
    title = node.get("title")
    return title if isinstance(title, str) and title else None


def _outcome(node: JsonObject, kind: str, made: Any, *, active: bool) -> Outcome:
    mode = node.get("mode")
    if isinstance(made, dict):
        return "kept" if isinstance(made.get("class_type"), str) else "missing"
    if mode in (MODE_MUTED, MODE_BYPASSED):
        return "muted" if mode == MODE_MUTED else "bypassed"
    if not active:
        return "dropped"
    return "frontend-only" if kind in NOTES else "virtual"


def links_to_nowhere(workflow: JsonObject, output: JsonObject | None = None) -> tuple[GraphProblem, ...]:
    """Inputs that are connected to a link, or by a link to a node, that is not in the workflow.

    With the prompt ``output``, only inputs that its nodes lack count; without it, those of all nodes that are neither
    muted nor bypassed. The frontend either fails at such an input or omits it silently.
    """
    prompt_ids = PromptIds(workflow, output)
    return tuple(_nowhere(workflow, output, workflow, "", 0, prompt_ids, budget=iter(range(MAX_NODES))))


def _nowhere(
    workflow: JsonObject,
    output: JsonObject | None,
    graph: JsonObject,
    prefix: str,
    depth: int,
    prompt_ids: PromptIds,
    *,
    budget: Iterator[int],
) -> Iterator[GraphProblem]:
    nodes = list(objects(graph.get("nodes")))
    ids = {id_text(node.get("id")) for node in nodes}
    origins = dict(_origins(graph))
    # The budget comes last: zip takes from it only where there is a node.
    for node, node_id, _ in zip(nodes, prompt_ids.ids(nodes, prefix), budget, strict=False):
        kind = str(node.get("type"))
        for name, link in _linked_inputs(node, node_id, output):
            problem = _where(origins, ids, link)
            if problem:
                yield GraphProblem(node_id, kind, node.get("title"), name, problem)
        subgraph = find_subgraph(workflow, kind) if depth < MAX_DEPTH else None
        if subgraph is not None and node.get("mode") not in (MODE_MUTED, MODE_BYPASSED):
            yield from _nowhere(workflow, output, subgraph, f"{node_id}:", depth + 1, prompt_ids, budget=budget)


def _linked_inputs(node: JsonObject, node_id: str, output: JsonObject | None) -> Iterator[tuple[str, str]]:
    """Name and link of the node's inputs that should have led to something in the prompt, as far as it is known."""
    given: Any = {}
    if output is None:
        if node.get("mode") in (MODE_MUTED, MODE_BYPASSED):
            return
    elif isinstance(output.get(node_id), dict):
        given = output[node_id].get("inputs", {})
    else:
        return
    for slot in objects(node.get("inputs")):
        name = str(slot.get("name"))
        if slot.get("link") is not None and name not in given:
            yield name, id_text(slot["link"])


def _where(origins: dict[str, str], ids: set[str], link: str) -> str | None:
    if link not in origins:
        return f"its link {link} does not exist"
    origin = origins[link]
    return (
        None
        if origin in ids or origin == str(SUBGRAPH_INPUT)
        else f"it is linked to node {origin}, which does not exist"
    )


def _origins(graph: JsonObject) -> Iterator[tuple[str, str]]:
    """Link id and origin of every link."""
    for link in link_list(graph):
        if isinstance(link, list) and len(link) > 1:
            yield id_text(link[0]), id_text(link[1])
        elif isinstance(link, dict):
            yield id_text(link.get("id")), id_text(link.get("origin_id"))
