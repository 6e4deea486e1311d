"""The selectors of a prompt, which has the nodes inside of subgraphs, but not the subgraphs' own nodes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.node_names import Target
from discomfort.workflow.nodes import iterate, subgraphs
from discomfort.workflow.prompt_graph import PromptGraph
from discomfort.workflow.prompt_ids import prompt_paths
from discomfort.workflow.selectors import Index
from discomfort.workflow.subgraphs import is_group


def prompt_index(prompt: JsonObject, definitions: Mapping[str, Any] | None, workflow: JsonObject | None) -> Index:
    """An index of a prompt's inputs; ``workflow`` is what it was made of, which has the titles of its subgraphs."""
    graph = PromptGraph(prompt, definitions)
    return Index(graph.targets, graph.names, hosts=host_targets(prompt, workflow))


def host_targets(prompt: JsonObject, workflow: JsonObject | None) -> list[Target]:
    """The nodes of a prompt's subgraphs, by the ids that they have in it; without a workflow they have no names."""
    named = {} if workflow is None else {each.id: each for each in _named(prompt, workflow)}
    return [named.get(each, Target(each, None, "")) for each in dict.fromkeys([*named, *_prefixes(prompt)])]


def _named(prompt: JsonObject, workflow: JsonObject) -> Iterator[Target]:
    definitions, ids = subgraphs(workflow), prompt_paths(workflow, prompt)
    for found in iterate(workflow):
        if found.type not in definitions and not is_group(found.type):
            continue
        title, subgraph = found.node.get("title"), definitions.get(found.type)
        kind = found.type[len("workflow>") :] if subgraph is None else str(subgraph.get("name") or found.type)
        yield Target(ids.get(found.id, found.id), title if isinstance(title, str) and title else None, kind)


def _prefixes(prompt: JsonObject) -> Iterator[str]:
    for node_id in prompt:
        steps = node_id.split(":")
        yield from (":".join(steps[:end]) for end in range(1, len(steps)))
