"""The check of a list: what a server would refuse in any workflow is told before the first one runs."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from unit.orchestration.conftest import Run, runner
from unit.orchestration.fake_worker import FakeWorker, node, port
from unit.orchestration.test_running_lists import ADD

from discomfort.context.context import WorkflowContext
from discomfort.exceptions import (
    InputProblem,
    MissingNode,
    MissingNodesError,
    PayloadError,
    PortError,
    UnsafePromptError,
    ValidationError,
)

LOST = {"1": node("StandInAdd", a=["9", 0], b=1), "2": port("lost", ["1", 0])}
CIRCLE = {"1": node("StandInAdd", a=["2", 0], b=1), "2": node("StandInAdd", a=["1", 0], b=1), "3": port("c", ["2", 0])}
PORTS_IN_A_CIRCLE = {**ADD, "7": port("c", ["8", 0]), "8": port("d", ["7", 0])}
UNKNOWN = {"1": node("Nobody", a=1), "2": node("Nobody"), "3": port("out", ["1", 0])}
ENDLESS = {"1": port("sum"), "2": node("StandInAdd", a=["1", 0], b=1)}


@pytest.mark.parametrize(
    ("workflow", "error", "text"),
    [
        (LOST, UnsafePromptError, r"node 1 'StandInAdd' input 'a': links to node '9', which is not in the prompt"),
        (CIRCLE, UnsafePromptError, r"is part of a cycle: [12] → [12] → [12]"),
        (PORTS_IN_A_CIRCLE, UnsafePromptError, r"is part of a cycle: [78] → [78] → [78]"),
        (UNKNOWN, MissingNodesError, r"1 node type.* Nobody \(node 1, 2\)"),
        (ENDLESS, PayloadError, "has no output node"),
    ],
)
async def test_nothing_runs(
    run: Run, worker: FakeWorker, context: WorkflowContext, workflow: Any, error: type[Exception], text: str
) -> None:
    """Names the nodes as the workflow does, and the workflow."""
    with pytest.raises(error, match=text) as caught:
        await run([ADD, ADD, workflow], {"a": 1}, context=context)

    assert str(getattr(caught.value, "workflow", "")) == "workflows[2]"
    assert caught.value.__notes__ == ["in workflows[2]"]
    assert worker.sent == []
    assert context.list_keys() == []


async def test_classes_added_since(run: Run, worker: FakeWorker) -> None:
    """What old definitions lack is looked up again; what no definition can mend is not."""
    new, old = worker.definitions, {key: each for key, each in worker.definitions.items() if key != "StandInAdd"}

    async def definitions(*, fresh: bool = False) -> dict[str, Any]:
        worker.refreshed += fresh
        return new if fresh else old

    worker._node_definitions = definitions  # type: ignore[method-assign]
    assert await run(ADD, {"a": 1}) == {"sum": 2}
    assert worker.refreshed == 1
    old["StandInAdd"] = new["StandInAdd"]
    with pytest.raises(UnsafePromptError):
        await run(LOST, {})
    assert worker.refreshed == 1


async def test_values_of_combos(run: Run, worker: FakeWorker) -> None:
    """A value that is not in the list is told by its place, again with new definitions."""
    worker.definitions["StandInAdd"]["input"]["required"]["b"] = ["COMBO", {"options": [1, 2]}]
    chosen = {"1": port("b"), "2": node("StandInAdd", a=1, b=["1", 0]), "3": port("out", ["2", 0])}
    with pytest.raises(PortError, match=r"workflows\[1\]: port 'b': node 2 .* 3"):
        await run([ADD, chosen], {"a": 1, "b": 3})
    with pytest.raises(ValidationError, match="node 2 .*Value not in list, given '3'") as caught:
        await run([ADD, {**ADD, "2": node("StandInAdd", a=["1", 0], b=3)}], {"a": 1})

    assert str(caught.value.workflow) == "workflows[1]"
    assert worker.refreshed == 2
    assert worker.sent == []


async def test_servers_without_definitions_or_ports(places: None) -> None:
    """Ports need no node of the server, and classes are not judged without definitions."""
    attached = FakeWorker("attached")
    del attached.definitions["DiscomfortPort"]
    with pytest.raises(PortError, match=r"\(tier 3\)"):
        await runner(attached)(ADD, {"a": 1})
    attached.definitions = {}
    with pytest.raises(PortError, match="neither DiscomfortPort nor PreviewAny"):
        await runner(attached)(UNKNOWN, {}, rules={"*": "ref", "ANY": "ref", "INT": "ref"})


@pytest.mark.parametrize(("slot", "outputs", "text"), [(4, ["INT"], "which has one: 0"),
                                                       (2, ["INT", "INT"], "which has 0 to 1"),
                                                       (0, [], "which has none")])  # fmt: skip
async def test_outputs_that_do_not_exist(
    run: Run, worker: FakeWorker, slot: int, outputs: list[str], text: str
) -> None:
    """Are named with their node, wherever the link is."""
    worker.definitions["StandInAdd"]["output"] = outputs
    wrong = {"1": node("StandInAdd", a=1, b=1), "2": port("out", ["1", slot])}
    with pytest.raises(PortError, match=rf"node 2 .* output {slot} of node 1 'StandInAdd', {text}") as caught:
        await run([{"1": port("a"), "2": port("b", ["1", 0])}, wrong], {"a": 1})
    assert "'input_data': workflows[1]: is linked to" in str(caught.value)
    assert worker.sent == []


async def test_outputs_of_any_type(run: Run, worker: FakeWorker) -> None:
    """A class whose output may be anything may have more than it declares."""
    worker.definitions["StandInAdd"]["output"] = ["*"]
    with pytest.raises(IndexError):  # of the worker, which has run it
        await run({"1": node("StandInAdd", a=1, b=1), "2": port("out", ["1", 4])})
    assert len(worker.sent) == 1


REFERENCE = {"1": port("n"), "2": node("StandInAdd", a=["1", 0], b=1), "3": port("number", ["2", 0])}


def _refusals(own_id: str, other_id: str) -> list[Exception]:
    missing = MissingNodesError([MissingNode("StandInAdd", (own_id, other_id))])
    problems = [InputProblem(each, "StandInAdd", None, "a", "odd", "Odd") for each in (own_id, other_id)]
    return [missing, ValidationError("the server refused the prompt", problems, node_errors={own_id: {}})]


@pytest.mark.parametrize("index", [0, 1])
async def test_names_of_nodes_at_sending(run: Run, worker: FakeWorker, context: WorkflowContext, index: int) -> None:
    """A refusal of the server names nodes by the ids of their workflows, in text and fields."""
    rules = {"INT": "ref"}
    await run(REFERENCE, {"n": 1}, context=context, rules=rules)
    found: dict[str, str] = {}

    async def refuse(prompt: Any) -> None:
        made = {key: each["_meta"]["origin"] for key, each in prompt.items() if "origin" in each.get("_meta", {})}
        found["own"] = next(key for key, each in made.items() if each["node_id"] == "20")
        found["other"] = next(key for key, each in made.items() if each["node_id"] == "2")
        raise _refusals(found["own"], found["other"])[index]

    worker.before = refuse
    uses = {"1": port("number"), "20": node("StandInAdd", a=["1", 0], b=1), "3": port("total", ["20", 0])}
    with pytest.raises(MissingNodesError if index == 0 else ValidationError, match="node 20") as caught:
        await run(uses, context=context, rules=rules)

    error: Any = pickle.loads(pickle.dumps(caught.value))
    assert found["own"] not in str(error)
    assert error.__notes__[0] == f"node {found['other']} is node 2 of workflows[0], which a reference brought"
    named = error.missing[0].node_ids if index == 0 else tuple(each.node_id for each in error.problems)
    assert named == ("20", found["other"])
    if index:
        assert error.node_errors == {found["own"]: {}}
        assert found["own"] not in error.problem
