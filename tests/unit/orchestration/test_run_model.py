"""Runs of random lists of workflows give what the same steps give by hand, by value and by reference."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from example_count import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.orchestration.conftest import runner
from unit.orchestration.fake_worker import FakeWorker, node, port

from discomfort import Reference
from discomfort.context.context import WorkflowContext

IDS = ("a", "b", "c")
Source = int | str | tuple[int]
"""A constant, the variable of an INPUT port, or the sum with this number."""


@dataclass(frozen=True)
class Sums:
    """A workflow: sums of constants, variables and earlier sums; the sums that leave it, by variable."""

    sums: tuple[tuple[Source, Source], ...]
    outputs: tuple[tuple[str, int], ...]
    passing: bool

    def by_hand(self, variables: dict[str, int]) -> dict[str, int]:
        """What it writes."""
        found: list[int] = []

        def value(source: Source) -> int:
            if isinstance(source, tuple):
                return found[source[0]]
            return variables[source] if isinstance(source, str) else source

        for left, right in self.sums:
            found.append(value(left) + value(right))
        return {unique_id: found[index] for unique_id, index in self.outputs}

    def prompt(self) -> dict[str, Any]:
        """The same with ports; with ``passing`` each link between sums goes through a port."""
        made: dict[str, Any] = {}

        def link(source: Source) -> Any:
            if isinstance(source, int):
                return source
            if isinstance(source, tuple):
                return [f"p{source[0]}" if self.passing else f"s{source[0]}", 0]
            made[f"in-{len(made)}"] = port(source)
            return [f"in-{len(made) - 1}", 0]

        for index, (left, right) in enumerate(self.sums):
            made[f"s{index}"] = node("StandInAdd", a=link(left), b=link(right))
            if self.passing and any((index,) in pair for pair in self.sums):
                made[f"p{index}"] = port(f"passing-{index}", [f"s{index}", 0])
        for unique_id, index in self.outputs:
            made[f"out-{unique_id}"] = port(unique_id, [f"s{index}", 0])
        return made


@st.composite
def workflows(draw: st.DrawFn) -> Sums:
    pairs: list[tuple[Source, Source]] = []
    for index in range(draw(st.integers(1, 4))):
        sources: st.SearchStrategy[Source] = st.integers(-9, 9) | st.sampled_from(IDS)
        if index:
            sources = sources | st.tuples(st.integers(0, index - 1))
        pairs.append((draw(sources), draw(sources)))
    outputs = draw(st.dictionaries(st.sampled_from(IDS), st.integers(0, len(pairs) - 1), min_size=1))
    return Sums(tuple(pairs), tuple(outputs.items()), draw(st.booleans()))


@settings(deadline=None, max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(workflows(), min_size=1, max_size=3),
    iterations=st.integers(1, 3),
    rule=st.sampled_from(["val", "ref", "auto"]),
    warm=st.sampled_from([0, 3, 300]),
)
@pytest.mark.usefixtures("places")
def test_as_by_hand(steps: list[Sums], iterations: int, rule: str, warm: int) -> None:
    """Over all iterations; a reference that came out gives the value that it was made for, whatever came later."""
    variables = dict.fromkeys(IDS, 1)
    expected: dict[str, int] = {}
    for _ in range(iterations):
        for step in steps:
            written = step.by_hand(variables)
            variables |= written
            expected |= written
    prompts = [step.prompt() for step in steps]

    async def work() -> None:
        run = runner(FakeWorker(), warm)
        with WorkflowContext() as context:
            results = await run(prompts, dict.fromkeys(IDS, 1), iterations, context=context, rules={"INT": rule})
            assert set(results) == set(expected)
            assert all(isinstance(each, Reference) == (rule == "ref") for each in results.values())
            reading = {"1": port("x"), "2": node("StandInAdd", a=["1", 0], b=0), "3": port("y", ["2", 0])}
            found = {key: (await run(reading, {"x": each}))["y"] for key, each in results.items()}
            stored = {key: (await run(reading, {"x": context.load(key)}))["y"] for key in IDS}
        assert found == expected
        assert stored == variables

    asyncio.run(work())
