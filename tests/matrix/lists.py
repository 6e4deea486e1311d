"""Lists for the sweeps: what ``Discomfort.run`` is struck in, and what its context may have afterwards."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from contract.graphs import node
from matrix.bench import SharedBench
from matrix.steps import LIMIT, Outcome
from matrix.strikes import KILL_SERVER, Blow, Victim
from port_workflows import Graph

from discomfort import ComfyConnector, Discomfort, WorkflowContext
from discomfort._system import shared_memory
from discomfort.context.folders import user_folder
from discomfort.exceptions import StateError

SIDE = 96
"""Pixels: such a picture has a file of its own, as smaller values have not."""
_levels = itertools.count(1)
_made: WeakKeyDictionary[ComfyConnector, Discomfort] = WeakKeyDictionary()
_at_work: list[WorkflowContext] = []
"""The context of the call that is under way."""


def _port(unique_id: str, source: list[Any] | None = None) -> dict[str, Any]:
    return node("DiscomfortPort", unique_id=unique_id, **({} if source is None else {"input_data": source}))


FIRST: dict[str, Any] = {
    "1": _port("picture"), "2": node("ImageInvert", image=["1", 0]), "3": _port("inverted", ["2", 0]),
    "4": _port("level"), "5": node("SolidMask", value=["4", 0], width=SIDE, height=SIDE), "6": _port("mask", ["5", 0]),
}  # fmt: skip
SECOND: dict[str, Any] = {
    "1": _port("inverted"), "2": _port("mask"), "3": node("MaskToImage", mask=["2", 0]),
    "4": node("ImageBlend", image1=["1", 0], image2=["3", 0], blend_factor=1.0, blend_mode="multiply"),
    "5": _port("product", ["4", 0]),
}  # fmt: skip
"""It gets the mask by reference, so its prompt has nodes of the first, and the picture by value."""

BEFORE = {"kept"}
AFTER_FIRST = BEFORE | {"picture", "level", "inverted", "mask"}


def inverting_workflow(width: int) -> dict[str, Any]:
    """A workflow with ports; with another width it is another one for every cache."""
    graph = Graph()
    made = graph.add("ImageInvert", "image:IMAGE", "IMAGE:IMAGE")
    graph.input("picture", made)
    graph.output("inverted", made)
    workflow = graph.workflow()
    workflow["nodes"][0]["size"] = [width, 100]
    return workflow


def discomfort_of(connector: ComfyConnector) -> Discomfort:
    """The one of this connector: what it has learnt about references outlives a restart of the server."""
    found = _made.get(connector)
    if found is None:
        found = _made[connector] = Discomfort(connector)
        found.Tools.pass_by_rules["MASK"] = "ref"
    return found


async def run_list(connector: ComfyConnector) -> None:
    """``Discomfort.run`` of two prompts."""
    level = next(_levels) % 900 / 1000
    picture = np.full((1, SIDE, SIDE, 3), level, np.float32)

    async def call(context: WorkflowContext) -> None:
        inputs = {"picture": picture, "level": 0.5}
        results = await discomfort_of(connector).run([FIRST, SECOND], inputs, context=context)
        np.testing.assert_allclose(np.asarray(results["product"]), (1 - picture) * 0.5, atol=1e-5)
        assert context._is_closed() or set(context.list_keys()) == AFTER_FIRST | {"product"}

    await _in_context(call, [BEFORE, BEFORE | {"picture", "level"}, AFTER_FIRST, AFTER_FIRST | {"product"}])


async def run_through_the_page(connector: ComfyConnector) -> None:
    """``Discomfort.run`` of a workflow, which is converted on a page."""
    number = next(_levels)
    picture = np.full((1, SIDE, SIDE, 3), number % 900 / 1000, np.float32)

    async def call(context: WorkflowContext) -> None:
        workflow = inverting_workflow(100 + number)
        results = await discomfort_of(connector).run(workflow, {"picture": picture}, context=context)
        np.testing.assert_allclose(np.asarray(results["inverted"]), 1 - picture, atol=1e-5)

    await _in_context(call, [BEFORE, BEFORE | {"picture"}, BEFORE | {"picture", "inverted"}])


async def _in_context(call: Callable[[WorkflowContext], Any], allowed: list[set[str]]) -> None:
    """Run in a context of its own, which then has whole commits only, and no file but theirs."""
    with WorkflowContext() as context:
        _at_work.append(context)
        context.save("kept", np.zeros(100_000))
        try:
            await call(context)
        finally:
            _at_work.remove(context)
            if not context._is_closed():
                keys = set(context.list_keys())
                assert keys in allowed, keys
                _check_files(context, keys)
                np.testing.assert_array_equal(context["kept"], np.zeros(100_000))


def _check_files(context: WorkflowContext, keys: set[str]) -> None:
    """Only values have files: nothing that was staged, sent, or half received is left."""
    records = context._open_storage().records()
    assert set(records) == keys
    wanted = {Path(record.file).name for record in records.values() if record.file}
    memory = shared_memory.FOLDER / user_folder() / context.run_id
    found = {path.name for path in memory.iterdir() if path.name != "owner"}
    assert found == wanted, f"{sorted(found - wanted)} too many, {sorted(wanted - found)} missing"


def _end_context(_: Victim) -> Callable[[], bool]:
    """Another task of the program ends the context."""

    def blow() -> bool:
        for context in _at_work:
            context.shutdown()
        return bool(_at_work)

    return blow


END_CONTEXT = Blow("shutdown of the context", _end_context, {"Discomfort.run": (StateError,)}, limit=2 * LIMIT)
"""It takes the prompt off the server first, as a cancellation does, for which a busy server is given 5 s."""


class ListBench(SharedBench):
    """Calls of ``Discomfort.run`` on one connector; the next list works, too."""

    async def aftermath(self, blow: Blow, outcome: Outcome) -> str | None:
        """As for other calls. What a dead server had by reference is made anew by the next."""
        left = await super().aftermath(blow, outcome)
        connector = self.victim()
        if left is None and connector is not None and blow is KILL_SERVER:
            await run_list(connector)
        return left
