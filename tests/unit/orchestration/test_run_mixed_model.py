"""Runs of random lists of workflows with values of every kind give what the same steps give by hand.

Numbers, list outputs, pictures, and objects that stay in the server; each by value, by reference, or as it comes; a
variable may be a stored workflow, which makes its value anew in each run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from example_count import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.orchestration.conftest import runner
from unit.orchestration.fake_worker import FakeWorker, node, port

from discomfort import Reference
from discomfort.context.context import WorkflowContext

KINDS = {"a": "number", "b": "number", "p": "picture", "q": "picture", "o": "object"}
START = {"a": [2], "b": [3], "p": [0.25], "q": [0.5], "o": [7]}
Items = list[Any]
"""What flows in a link: the items of a list output, or one value. A picture is its level."""
Source = int | str | tuple[int]
"""A constant, the variable of an INPUT port, or the result of the node with this number."""


@dataclass(frozen=True)
class Op:
    """A node: what it takes by input, and what it gives."""

    kind: str
    inputs: tuple[tuple[str, Source], ...]
    gives: str

    def by_hand(self, *items: Items) -> Items:
        """What it gives for the items at its inputs."""
        if self.kind == "StandInRange":
            return list(range(items[0][0]))
        count = 0 if any(not each for each in items) else max(map(len, items))
        rows = [[each[min(row, len(each) - 1)] for each in items] for row in range(count)]
        return [_MEANINGS[self.kind](*row) for row in rows]


_MEANINGS: Mapping[str, Any] = {
    "StandInAdd": lambda a, b: a + b,
    "StandInObject": lambda value: value,
    "StandInValue": lambda value: value,
    "ImageInvert": lambda level: 1 - level,
    "StandInImprove": lambda level: level + 0.125,
}


@dataclass(frozen=True)
class Mixed:
    """A workflow: nodes, the results that leave it by variable, and whether all links go through a port."""

    ops: tuple[Op, ...]
    outputs: tuple[tuple[str, int], ...]
    passing: bool

    def by_hand(self, variables: Mapping[str, Items]) -> dict[str, Items]:
        """What it writes."""
        found: list[Items] = []

        def value(source: Source) -> Items:
            if isinstance(source, tuple):
                return found[source[0]]
            return variables[source] if isinstance(source, str) else [source]

        for op in self.ops:
            items = [value(source) for _, source in op.inputs]
            found.append(op.by_hand(*items))
        return {unique_id: found[index] for unique_id, index in self.outputs}

    def prompt(self) -> dict[str, Any]:
        """The same with ports."""
        made: dict[str, Any] = {}

        def link(source: Source) -> Any:
            if isinstance(source, int):
                return source
            if isinstance(source, str):
                made[f"in-{len(made)}"] = port(source)
                return [f"in-{len(made) - 1}", 0]
            if not self.passing:
                return [f"op{source[0]}", 0]
            made[f"pass-{len(made)}"] = port(f"passing {len(made)}", [f"op{source[0]}", 0])
            return [f"pass-{len(made) - 1}", 0]

        for index, op in enumerate(self.ops):
            made[f"op{index}"] = node(op.kind, **{name: link(source) for name, source in op.inputs})
        for unique_id, index in self.outputs:
            made[f"out-{unique_id}"] = port(unique_id, [f"op{index}", 0])
        return made


@st.composite
def workflows(draw: st.DrawFn) -> Mixed:
    ops: list[Op] = []

    def source(kind: str) -> Source:
        choices: list[Source] = [key for key, each in KINDS.items() if each == kind]
        choices += [(index,) for index, op in enumerate(ops) if op.gives == kind]
        if kind == "number":
            choices.append(draw(st.integers(-9, 9)))
        return draw(st.sampled_from(choices))

    for _ in range(draw(st.integers(1, 5))):
        match draw(st.sampled_from(["add", "value", "range", "invert", "improve", "object"])):
            case "add":
                op = Op("StandInAdd", (("a", source("number")), ("b", source("number"))), "number")
            case "value":
                op = Op("StandInValue", (("object", source("object")),), "number")
            case "range":
                op = Op("StandInRange", (("count", draw(st.integers(0, 3))),), "number")
            case "invert":
                op = Op("ImageInvert", (("image", source("picture")),), "picture")
            case "improve":
                op = Op("StandInImprove", (("image", source("picture")),), "picture")
            case _:
                op = Op("StandInObject", (("value", source("number")),), "object")
        ops.append(op)
    outputs = {}
    for index, op in enumerate(ops):
        keys = [key for key, kind in KINDS.items() if kind == op.gives]
        if index == len(ops) - 1 or draw(st.booleans()):
            outputs[draw(st.sampled_from(keys))] = index
    return Mixed(tuple(ops), tuple(outputs.items()), draw(st.booleans()))


def given_value(unique_id: str) -> Any:
    """The first value of a variable, as a program gives it."""
    (value,) = START[unique_id]
    return np.full((1, 2, 2, 3), value, np.float32) if KINDS[unique_id] == "picture" else value


READERS = {
    "number": {"1": port("x"), "2": node("StandInAdd", a=["1", 0], b=0), "3": port("y", ["2", 0])},
    "picture": {"1": port("x"), "2": node("ImageInvert", image=["1", 0]), "3": port("y", ["2", 0])},
    "object": {"1": port("x"), "2": node("StandInValue", object=["1", 0]), "3": port("y", ["2", 0])},
}


def read(kind: str, value: Any) -> Items:
    """The items of a value that a reader gave."""
    items = value if isinstance(value, list) else [value]
    return [round(1 - float(np.asarray(each).mean()), 4) if kind == "picture" else each for each in items]


RULES = st.sampled_from(["val", "ref", "auto"])


@settings(deadline=None, max_examples=examples(50), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(workflows(), min_size=1, max_size=3),
    iterations=st.integers(1, 2),
    rules=st.tuples(RULES, RULES, st.sampled_from(["ref", "auto"])),
    use_ram=st.booleans(),
    is_recipe=st.booleans(),
    warm=st.sampled_from([0, 3, 300]),
)
@pytest.mark.usefixtures("places")
def test_as_by_hand(
    steps: list[Mixed], iterations: int, rules: tuple[str, ...], use_ram: bool, is_recipe: bool, warm: int
) -> None:
    """All results, and all that the context has at the end."""
    variables, expected = dict(START), {}
    is_open = is_recipe
    for _ in range(iterations):
        for step in steps:
            if is_open:  # it is made of what "a" is when a workflow begins
                variables["b"] = Op("StandInAdd", (), "number").by_hand(variables["a"], [100])
            written = step.by_hand(variables)
            variables |= written
            expected |= written
            is_open = is_open and "b" not in written

    async def work() -> None:
        run = runner(FakeWorker(), warm)
        with WorkflowContext() as context:
            made = await run(READERS["number"] | {"4": node("StandInObject", value=7), "5": port("o", ["4", 0])},
                             {"x": 0}, context=context)  # fmt: skip
            assert isinstance(made["o"], Reference)
            inputs = {key: given_value(key) for key in START if key != "o"}
            if is_recipe:
                del inputs["b"]
                recipe = {"1": port("a"), "2": node("StandInAdd", a=["1", 0], b=100), "3": port("b", ["2", 0])}
                context.save("b", recipe, pass_by="ref")
            by = dict(zip(("INT", "IMAGE", "STANDIN_OBJECT"), rules, strict=True))
            prompts = [step.prompt() for step in steps]
            results = await run(prompts, inputs, iterations, use_ram, context=context, rules=by)
            stored = {key: context.load(key) for key in START if not (key == "b" and is_open)}
            found = await _read_all(run, results)
            kept = await _read_all(run, stored)
        assert found == _rounded(expected)
        assert kept == _rounded({key: variables[key] for key in stored})

    asyncio.run(work())


async def _read_all(run: Any, values: Mapping[str, Any]) -> dict[str, Items]:
    found = {}
    for key, value in values.items():
        results = await run(READERS[KINDS[key]], {"x": value})
        found[key] = read(KINDS[key], results["y"]) if "y" in results else []
    return found


def _rounded(values: Mapping[str, Items]) -> dict[str, Items]:
    return {
        key: [round(each, 4) for each in items] if KINDS[key] == "picture" else items for key, items in values.items()
    }
