"""The same workflow with other values, as people and programs would set them; knows nothing of what is learnt."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

WORDS = ["a", "red", "fox,", "in the", "(snow:1.3)", "at night.", "cinematic", "100% sharp", "8k", "O'Neill's"]
ODD = ["{day|night} sky", "a // note", "one\ntwo", "\\(escaped\\)", "<lora:x:0.8>", "", "7", "漢字"]
ODD += ["%date:yyyy%/x", "%KSampler.seed%", "50% a, 5% b"]
CONTROL = ["fixed", "randomize", "increment", "decrement"]

Inputs = dict[str, list[tuple[Any, dict[str, Any]]]]


def inputs_by_class(object_info: bytes) -> Inputs:
    """Type or choices, and options, of every input of every node class."""
    found: Inputs = {}
    for name, info in json.loads(object_info).items():
        groups = [group for group in (info.get("input") or {}).values() if isinstance(group, dict)]
        for spec in (spec for group in groups for spec in group.values()):
            options = spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
            kind = options["options"] if isinstance(options.get("options"), list) else spec[0]
            found.setdefault(name, []).append((kind, options))
    return found


def varied(workflow: dict[str, Any], chance: random.Random, inputs: Inputs, *, odd: float = 0.0) -> dict[str, Any]:
    """``workflow`` with about half of its values changed; ``odd``: the share of values that are unusual."""
    made = copy.deepcopy(workflow)
    subgraphs = (made.get("definitions") or {}).get("subgraphs") or []
    for graph in (made, *subgraphs):
        for node in graph["nodes"]:
            values = node.get("widgets_values")
            keys = range(len(values)) if isinstance(values, list) else list(values) if isinstance(values, dict) else ()
            for key in keys:
                if chance.random() < 0.5:
                    values[key] = _other(values[key], chance, inputs.get(node["type"], []), chance.random() < odd)
    return made


def _other(value: Any, chance: random.Random, inputs: list[tuple[Any, dict[str, Any]]], odd: bool) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return _number(value, chance, inputs, odd)
    if not isinstance(value, str):
        return value
    listed = next((kind for kind, _ in inputs if isinstance(kind, list) and value in kind), None)
    if listed is not None:
        return chance.choice(listed)
    if "." in value and " " not in value:
        return f"file {chance.randrange(100)}.{value.rpartition('.')[2]}"
    if value in CONTROL:
        return chance.choice(CONTROL)
    return chance.choice(ODD) if odd else " ".join(chance.choices(WORDS, k=chance.randint(2, 12)))


def _number(value: float, chance: random.Random, inputs: list[tuple[Any, dict[str, Any]]], odd: bool) -> float:
    """Within what all inputs of the node's class allow that could hold ``value``; anything if ``odd``."""
    fitting = [o for kind, o in inputs if kind in ("INT", "FLOAT") and o.get("min", 0) <= value <= o.get("max", 2**64)]
    low = max((options.get("min", 0) for options in fitting), default=0)
    high = min((options.get("max", 2**64) for options in fitting), default=2**64)
    if value > 10**6:
        return chance.randrange(int(low), min(int(high), 2**63))
    if isinstance(value, int):
        other: float = value + chance.randint(-3, 9)
    else:
        other = round(value * chance.uniform(0.2, 1.5), 3)
    if odd:
        return other
    return min(max(other, low), high)


def other_value(value: Any) -> Any:
    """Another value of the same type; of an object, other numbers in it."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return round(value * 0.75, 4)
    if isinstance(value, dict):
        return {key: other_value(each) if isinstance(each, int | float | list) else each for key, each in value.items()}
    if isinstance(value, list):
        return [*value[:-2], other_value(value[-2]), value[-1]] if len(value) > 1 else value
    return f"{value}x"


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Any]]:
    """The inputs that differ between two prompts of the same nodes, with their new values."""
    if set(old) != set(new):
        return [("nodes", sorted(new))]
    return [
        (f"{node_id}.{name}", _plain(new[node_id]["inputs"].get(name)))
        for node_id in old
        for name in {**old[node_id]["inputs"], **new[node_id]["inputs"]}
        if old[node_id]["inputs"].get(name) != new[node_id]["inputs"].get(name)
    ]


def _plain(value: Any) -> Any:
    """Newer frontends wrap some values."""
    return value["__value__"] if isinstance(value, dict) and "__value__" in value else value
