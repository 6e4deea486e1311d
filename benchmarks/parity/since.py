"""Scenarios about what ComfyUI does since 0.3.64: dynamic inputs, cycles, records, expansion, replaced nodes."""

from __future__ import annotations

from typing import Any

from benchmarks.parity.building import Builder, Graph
from benchmarks.parity.corners import SCENARIOS
from benchmarks.parity.scenarios import numbers, scenario, shown
from benchmarks.parity.watching import Stage

__all__ = ["SCENARIOS"]


def alone(class_type: str, **inputs: Any) -> Graph:
    """One node, an output; ``__`` in the name of an input stands for a dot."""
    given = {name.replace("__", "."): value for name, value in inputs.items()}
    return {"1": {"class_type": class_type, "inputs": given}}


@scenario
async def dynamic_inputs(stage: Stage) -> None:
    """Grown, named and chosen inputs: right, missing, too many, of another option, unknown, linked, lazy."""
    await stage.join("a")
    for index, given in enumerate((
        {"grow__v0": 1, "grow__v1": "2", "mode": "one", "mode__n": 5},
        {"grow__v0": 1, "grow__v1": 2, "grow__v3": 4, "grow__v9": 9, "mode": "none"},
        {"grow__v0": 1, "grow__v1": 2, "named__b": 1.5, "mode": "two", "mode__s": 5, "mode__sub": "p",
         "mode__sub__f": 2},
        {"grow__v0": 1, "grow__v1": 2, "mode": "two", "mode__s": "x", "mode__sub": "q", "mode__n": 99},
        {"grow__v0": 1, "grow__v1": 2, "mode": "other", "mode__n": 99},
        {"grow__v0": 1, "grow__v1": 2},
        {"grow__v0": 1, "mode": "one", "mode__n": 5},
        {"grow": {"v0": 1, "v1": 2}, "mode": {"mode": "one"}},
        {"v0": 1, "v1": 2, "mode": "one", "n": 3},
        {"grow__v0": 1, "grow__v1": 2, "mode": "one", "mode__n": 99},
        {"grow__v0": 1, "grow__v1": "x", "mode": "two", "mode__sub": "p"},
        {"grow__v0": 1, "grow__v1": {"__value__": 3}, "mode": {"__value__": "one"}, "mode__n": 1},
        {"grow__v0": 1, "grow__v1": 2, "mode": ["1", 0], "mode__n": 1},
    )):  # fmt: skip
        await stage.run(alone("ParityDynamic", **given), prompt_id=f"{index}")
    for name in ("ParityDynamicLists", "ParityDynamicHooks"):
        b = Builder()
        list_ = b("ParityRange", start=900, count=2)
        graph = b.graph | {"9": {"class_type": name, "inputs": {"grow.v0": list_, "grow.v1": 1, "plain": 2}}}
        for turn in "12":
            await stage.run(graph, prompt_id=f"{name} {turn}")
    graph = numbers(902) | {
        "9": {"class_type": "ParityDynamicHooks", "inputs": {"grow.v0": ["1", 0], "grow.v1": ["2", 0], "plain": 13}}
    }
    await stage.run(graph, prompt_id="lazy and refused")


@scenario
async def combos_and_unions(stage: Stage) -> None:
    """Choices of the newer kind; several types; what may be linked to what."""
    await stage.join("a")
    for index, given in enumerate((
        {"one": "a", "many": {"__value__": [1, 3]}, "long": "20", "union": 1.5},
        {"one": None}, {"one": "c"}, {"one": "a", "many": {"__value__": [1, 4, 5]}}, {"one": "a", "many": 2},
        {"one": "a", "many": 9}, {"one": "a", "long": "21"}, {"one": "a", "far": "anything"}, {"one": "a", "union": -1},
        {"one": "a", "union": 10.5}, {"one": "a", "union": "x"}, {"one": "a", "older": "z"},
        {"one": "a", "many": [1, 2]}, {"one": "a", "many": [1, 2, 3]},
    )):  # fmt: skip
        await stage.run(alone("ParityCombos", **given), prompt_id=f"{index}")
    for name in ("one", "many", "older", "union"):
        for slot in (0, 1):
            for source in ("ParityCombos", "ParityTyped"):
                first: dict[str, Any] = {"one": "a"} if source == "ParityCombos" else {
                    "number": 1, "fraction": 0.5, "yes": True, "text": "t", "choice": "one",
                }  # fmt: skip
                graph = {
                    "1": {"class_type": source, "inputs": first},
                    "2": {"class_type": "ParityCombos", "inputs": {"one": "a", name: ["1", slot]}},
                }
                await stage.run(graph, prompt_id=f"{source} {slot} to {name}")


@scenario
async def cycles(stage: Stage) -> None:
    """Cycles that validation finds, of one, two and three nodes, beside good outputs; and those that it does not."""
    await stage.join("a")
    two = {
        "1": {"class_type": "ParityAdd", "inputs": {"a": ["2", 0], "b": 1}},
        "2": {"class_type": "ParityAdd", "inputs": {"a": 1, "b": ["1", 0]}},
    }
    self_made = {"1": {"class_type": "ParityShow", "inputs": {"value": ["1", 0]}}}
    for name, graph in (
        ("two", two | {"3": {"class_type": "ParityShow", "inputs": {"value": ["1", 0]}}}),
        ("self", self_made),
        ("beside a good one", {**numbers(910), **{f"x{key}": node for key, node in self_made.items()}}),
        ("with another error", {
            "1": {"class_type": "ParityAdd", "inputs": {"a": ["2", 0]}},
            "2": {"class_type": "ParityAdd", "inputs": {"a": ["1", 0], "b": 5000}},
            "3": {"class_type": "ParityShow", "inputs": {"value": ["2", 0]}},
        }),
        ("through an undeclared input", {
            "1": {"class_type": "ParityShow", "inputs": {"value": ["2", 0]}},
            "2": {"class_type": "ParityNumber", "inputs": {"value": 911, "other": ["1", 0]}},
        }),
        ("through an undeclared input, after another node", {
            **numbers(912),
            "6": {"class_type": "ParityShow", "inputs": {"value": ["7", 0]}},
            "7": {"class_type": "ParityNumber", "inputs": {"value": ["1", 0], "other": ["6", 0]}},
        }),
        ("by expansion", shown("ParityCircle", value=913)),
    ):  # fmt: skip
        await stage.run(graph, prompt_id=name)


@scenario
async def records_of_cached_runs(stage: Stage) -> None:
    """What a record lists of nodes that ran, were cached and reached, cached and kept, or not asked for."""
    await stage.join("a")
    b = Builder()
    aside = b("ParityAside", value=b("ParityNumber", value=920))
    kept = b("ParityKept", value=aside)
    b("ParityShow", value=kept)
    b("ParityKept", value=921)
    b("ParityShow", value=922)
    for name in ("first", "again"):
        await stage.run(b.graph, prompt_id=name)
    last = next(reversed(b.graph))
    await stage.run(b.graph, prompt_id="one output", partial_execution_targets=[last])
    changed = {**b.graph, last: {"class_type": "ParityShow", "inputs": {"value": 923}}}
    await stage.run(changed, prompt_id="changed")
    failing = {**b.graph, "f": {"class_type": "ParityFail", "inputs": {"value": 1, "kind": "Own", "message": "m"}}}
    failing["g"] = {"class_type": "ParityShow", "inputs": {"value": ["f", 0]}}
    await stage.run(failing, prompt_id="failing")
    await stage.run(b.graph, None, prompt_id="without a client")


@scenario
async def lazy_inputs_of_cached_nodes(stage: Stage) -> None:
    """A lazy input whose source is cached, or runs for another node."""
    await stage.join("a")
    b = Builder()
    one, two = b("ParityNumber", value=930), b("ParityNumber", value=931)
    b("ParityShow", value=one)
    b("ParityShow", value=b("ParityLazy", a=one, b=two, which="both"))
    await stage.run(b.graph)
    for which in ("a", "b", "both", "none"):
        graph = {**b.graph}
        lazy = next(key for key, node in graph.items() if node["class_type"] == "ParityLazy")
        graph[lazy] = {"class_type": "ParityLazy", "inputs": {"a": one, "b": two, "which": which}}
        await stage.run(graph, prompt_id=which)
        graph[lazy] = {"class_type": "ParityLazy", "inputs": {"a": one, "b": 5, "which": which}}
        await stage.run(graph, prompt_id=f"{which} with a constant")


@scenario
async def raw_links(stage: Stage) -> None:
    """A node that takes a link as it is."""
    await stage.join("a")
    graph = {
        "1": {"class_type": "ParityNumber", "inputs": {"value": 940}},
        "2": {"class_type": "ParityRaw", "inputs": {"value": ["1", 0]}},
    }
    for name in ("first", "again"):
        await stage.run(graph, prompt_id=name)


@scenario
async def ids_taken_over(stage: Stage) -> None:
    """Expansion to ids that other nodes have, of the prompt or of another expansion."""
    await stage.join("a")
    for index, ids in enumerate(("x", "x,y", "4", "5", "x,3")):
        graph = {
            "1": {"class_type": "ParityTakesOver", "inputs": {"value": 950 + index, "ids": ids}},
            "2": {"class_type": "ParityShow", "inputs": {"value": ["1", 0]}},
            "3": {"class_type": "ParityNumber", "inputs": {"value": 960 + index}},
            "4": {"class_type": "ParityNumber", "inputs": {"value": ["3", 0]}},
            "5": {"class_type": "ParityShow", "inputs": {"value": ["4", 0]}},
        }
        for turn in "12":
            await stage.run(graph, prompt_id=f"{ids} {turn}")


@scenario
async def errors_with_advice(stage: Stage) -> None:
    """Memory that a device lacks, told in two ways."""
    await stage.join("a")
    for kind in ("device", "text"):
        await stage.run(shown("ParityMemory", value=970, kind=kind), prompt_id=kind)


@scenario
async def classes_that_are_missing(stage: Stage) -> None:
    """With and without titles; and those that are replaced."""
    await stage.join("a")
    for name, node in (
        ("plain", {"class_type": "Nope", "inputs": {}}),
        ("titled", {"class_type": "Nope", "inputs": {}, "_meta": {"title": "T"}}),
        ("title of nothing", {"class_type": "Nope", "inputs": {}, "_meta": {}}),
        ("without a class", {"inputs": {}}),
        ("without a class, titled", {"inputs": {}, "_meta": {"title": "T"}}),
        ("without a class, title empty", {"inputs": {}, "_meta": {"title": ""}}),
    ):
        await stage.run({"n": node}, prompt_id=name)
    graph: Graph = {
        "1": {
            "class_type": "ConditioningAverage ",
            "inputs": {"conditioning_to": 1},
            "_meta": {"title": "Average"},
        },
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    await stage.run(graph, prompt_id="replaced")
