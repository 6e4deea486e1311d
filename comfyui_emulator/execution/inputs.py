"""Gathers the arguments of a node: constants, results of other nodes, hidden values. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from comfyui_emulator.execution.calls import Expansion, Inputs, Returns, merge
from comfyui_emulator.execution.graph import RunGraph, result_links
from comfyui_emulator.execution.stores import Entry
from comfyui_emulator.registry import JsonObject, NodeType, is_link


def hidden_values(graph: RunGraph, node_id: str, extra_data: JsonObject) -> dict[str, Any]:
    """The values of the hidden inputs by their kind."""
    return {
        "PROMPT": graph.prompt,
        "DYNPROMPT": graph,
        "EXTRA_PNGINFO": extra_data.get("extra_pnginfo"),
        "UNIQUE_ID": node_id,
        "AUTH_TOKEN_COMFY_ORG": extra_data.get("auth_token_comfy_org"),
        "API_KEY_COMFY_ORG": extra_data.get("api_key_comfy_org"),
        "COMFY_USAGE_SOURCE": extra_data.get("comfy_usage_source"),
    }


def bare_hidden_values(node_id: str) -> dict[str, Any]:
    """The hidden values for hooks that are called before a node runs; ComfyUI passes them only these."""
    kinds = ("DYNPROMPT", "EXTRA_PNGINFO", "AUTH_TOKEN_COMFY_ORG", "API_KEY_COMFY_ORG", "COMFY_USAGE_SOURCE")
    return {"PROMPT": {}, "UNIQUE_ID": node_id, **dict.fromkeys(kinds)}


def gather(
    kind: NodeType,
    given: JsonObject,
    value_of: Callable[[str, int], list[Any] | None],
    hidden: dict[str, Any],
) -> tuple[Inputs, set[str]]:
    """The inputs of a node as lists, and the names of links that have no value yet; those are ``[None]``.

    An undeclared constant is dropped, except by a node that takes all, but an undeclared link is passed on, as in
    ComfyUI. A link to an output that its node did not return has no value. Dynamic inputs are not nested yet.
    """
    inputs: Inputs = {}
    missing: set[str] = set()
    declared = kind.shape(given).declared
    for name, value in given.items():
        entry = kind.input_entry(name, declared)
        if is_link(value) and not (entry is not None and entry[2].get("rawLink")):
            found = value_of(value[0], int(value[1]))
            if found is None:
                missing.add(name)
            inputs[name] = [None] if found is None else found
        elif entry is not None or kind.accepts_all:
            inputs[name] = [value]
    for name, wanted in (kind.structure.get("hidden") or {}).items():
        # A node of the newer schema gets its hidden inputs as lists of one.
        value_kind = wanted if isinstance(wanted, str) else wanted[0]
        if value_kind in hidden:
            inputs[kind.hidden_prefix + name] = [hidden[value_kind]]
    return inputs, missing


def resolve(kind: NodeType, returns: Returns, arrived: Callable[[str], Entry | None]) -> list[list[Any]]:
    """The values of a node that expanded: links in its results are replaced by the children's values.

    Raises ``ValueError`` if a child has no result.
    """
    resolved: list[Sequence[Any]] = []
    for result in returns.results:
        if not isinstance(result, Expansion):
            resolved.append(result)
            continue
        values: list[Any] = []
        links = {position: (source, slot) for position, source, slot in result_links(result.result)}
        for position, value in enumerate(result.result):
            if position not in links:
                values.append(value)
                continue
            source, slot = links[position]
            entry = arrived(source)
            if entry is None:
                raise ValueError(f"node {source} of the expansion has no result")
            # As in ComfyUI, each item is an output of its own, so several items move the outputs behind them.
            values += entry.values[slot]
        resolved.append(values)
    return merge(resolved, kind)
