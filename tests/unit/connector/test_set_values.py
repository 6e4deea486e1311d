"""Values that an editor accepted are in the prompt, or an error says why not: frontends of several packs' making."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from example_count import examples

from discomfort.connector.payloads import taken
from discomfort.connector.set_values import with_sets
from discomfort.exceptions import InputSelectorError
from discomfort.workflow import Editor
from discomfort.workflow.edited_workflow import EditedWorkflow

Json = dict[str, Any]
MODES = ["fixed", "randomize"]


CHOICES = {
    "scheduler": "simple",
    "sampler": "ddim",
    "dilation": 9,
    "cycle": 5,
    "steps": 33,
    "tiled": True,
    "denoise": 0.25,
    "wildcard": "a fox",
    "guide_size": 64.0,
}


def _detailer() -> Json:
    """A class in the shape of a detector's: a seed, numbers, lists and texts, the newest input last."""
    required = {
        "guide_size": ["FLOAT", {"default": 512.0, "min": 64.0, "max": 4096.0}],
        "guide_for": ["BOOLEAN", {"default": True}],
        "seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1}],
        "steps": ["INT", {"default": 20, "min": 1, "max": 10000}],
        "cfg": ["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0}],
        "sampler": [["euler", "heun", "ddim"]],
        "scheduler": [["normal", "simple", "beta"]],
        "denoise": ["FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0}],
        "wildcard": ["STRING", {"multiline": True, "dynamicPrompts": False}],
        "cycle": ["INT", {"default": 1, "min": 1, "max": 10}],
        "dilation": ["INT", {"default": 4, "min": -128, "max": 128}],
    }
    return {"input": {"required": required, "optional": {"tiled": ["BOOLEAN", {"default": False}]}}}


DEFINITIONS: Json = {"Detailer": _detailer()}
SPECS: Json = {**DEFINITIONS["Detailer"]["input"]["required"], **DEFINITIONS["Detailer"]["input"]["optional"]}


@dataclass
class Page:
    """A frontend whose nodes have these widgets, in this order; it reads a saved list by position, as the real one.

    ``hidden`` are widgets that are in no prompt, ``feeds`` links that a script makes.
    """

    widgets: list[str]
    hidden: frozenset[str] = frozenset()
    feeds: Json = field(default_factory=dict)
    converted: list[Json] = field(default_factory=list)

    async def convert(self, workflow: Json) -> Json:
        """The prompt."""
        assert type(workflow) is dict
        self.converted.append(workflow)
        return {str(node["id"]): self._node(node) for node in workflow["nodes"] if node.get("mode", 0) == 0}

    def _node(self, node: Json) -> Json:
        saved = node.get("widgets_values") or []
        values = dict(zip(self.widgets, saved, strict=False))
        inputs = {name: values.get(name, default(name)) for name in self.widgets if name in SPECS}
        inputs = {name: value for name, value in inputs.items() if name not in self.hidden}
        return {
            "class_type": "Detailer",
            "inputs": {name: _double(value) for name, value in inputs.items()} | self.feeds,
        }


def _double(value: Any) -> Any:
    return int(float(value)) if isinstance(value, int) and not isinstance(value, bool) else value


def default(name: str) -> Any:
    """The value of a new node."""
    spec = SPECS[name]
    settings = spec[1] if len(spec) > 1 else {}
    return settings.get("default", spec[0][0] if isinstance(spec[0], list) else "")


def plain_order() -> list[str]:
    """The widgets of the class itself."""
    return [each for name in SPECS for each in ([name, "seed control"] if name == "seed" else [name])]


def full_list() -> list[Any]:
    """What a new node saves."""
    return ["fixed" if name == "seed control" else default(name) for name in plain_order()]


def workflow(values: Any, **more: Any) -> Json:
    """One node."""
    return {"nodes": [{"id": 3, "type": "Detailer", "widgets_values": values} | more], "links": []}


async def prompt_of(page: Page, edited: Any) -> Json:
    """What the connector makes of an editor's payload."""

    async def definitions() -> Json:
        return DEFINITIONS

    payload = taken(edited)
    assert isinstance(payload, EditedWorkflow)
    return await with_sets(payload, page.convert, definitions)


async def test_a_value_in_its_place_needs_one_conversion() -> None:
    """Most workflows are as their classes are."""
    page = Page(plain_order())
    editor = Editor(workflow(full_list()), DEFINITIONS).set("Detailer.scheduler", "beta").set("3.tiled", True)

    inputs = (await prompt_of(page, editor.payload))["3"]["inputs"]

    assert inputs == {name: default(name) for name in SPECS} | {"scheduler": "beta", "tiled": True}
    assert len(page.converted) == 1


@pytest.mark.parametrize("name", ["scheduler", "dilation", "denoise", "seed"])
async def test_a_script_that_inserts_a_widget_shifts_nothing(name: str) -> None:
    """The list has one entry more than the class tells: the value goes to its input, and no other changes."""
    order = plain_order()
    order.insert(2, "preset of the pack")
    values = full_list()
    values.insert(2, "a preset")
    page = Page(order)
    before = await page.convert(workflow(values))
    new = {"scheduler": "simple", "dilation": 9, "denoise": 0.25, "seed": 77}[name]
    editor = Editor(workflow(values), DEFINITIONS).set_or_defer(f"Detailer.{name}", new)

    made = await prompt_of(page, editor.payload)

    assert made["3"]["inputs"] == before["3"]["inputs"] | {name: new}


async def test_absent_values_are_set_as_if_typed() -> None:
    """A workflow from before the last inputs came: those before it keep what the frontend gives them."""
    values = full_list()[:7]
    page = Page(plain_order())
    before = await page.convert(workflow(values))
    editor = Editor(workflow(values), DEFINITIONS).set("Detailer.tiled", True).set("Detailer.cycle", 3)

    made = await prompt_of(page, editor.payload)

    assert made["3"]["inputs"] == before["3"]["inputs"] | {"tiled": True, "cycle": 3}


async def test_a_widget_that_a_script_removes_is_set_on_the_prompt() -> None:
    """The class takes the input, so the server does."""
    page = Page(plain_order(), hidden=frozenset({"cycle"}))
    editor = Editor(workflow(full_list()), DEFINITIONS).set("Detailer.cycle", 3)

    made = await prompt_of(page, editor.payload)

    assert made["3"]["inputs"] == {name: default(name) for name in SPECS} | {"cycle": 3}


async def test_what_stands_in_the_way_is_named() -> None:
    """A script feeds the input from another node."""
    page = Page(plain_order(), feeds={"cycle": ["3", 0]})
    editor = Editor(workflow(full_list()), DEFINITIONS).set("Detailer.cycle", 3)

    with pytest.raises(InputSelectorError, match=r"'Detailer.cycle': is fed by output 0 of node #3"):
        await prompt_of(page, editor.payload)


async def test_a_muted_node_is_an_error() -> None:
    """It is not in the prompt, so the value would be lost without a word."""
    editor = Editor(workflow(full_list(), mode=2), DEFINITIONS).set("Detailer.cycle", 3)

    with pytest.raises(InputSelectorError, match="muted or bypassed"):
        await prompt_of(Page(plain_order()), editor.payload)


async def test_numbers_beyond_doubles_arrive_whole() -> None:
    """JavaScript would round them."""
    editor = Editor(workflow(full_list()), DEFINITIONS).set("Detailer.seed", 2**63 + 1)

    made = await prompt_of(Page(plain_order()), editor.payload)

    assert made["3"]["inputs"]["seed"] == 2**63 + 1


async def test_a_workflow_that_was_changed_by_hand_is_not_replaced() -> None:
    """Its original has not what the hand did, so a value that is missing is an error."""
    order = ["preset of the pack", *plain_order()]
    editor = Editor(workflow(full_list()), DEFINITIONS).set("Detailer.cycle", 3)
    editor.payload["nodes"][0]["title"] = "by hand"

    with pytest.raises(InputSelectorError, match="another version of its pack"):
        await prompt_of(Page(order), editor.payload)


async def test_copies_know_what_was_set() -> None:
    """A copy of the payload, and an editor of it, keep the record; JSON does not."""
    editor = Editor(workflow(full_list()), DEFINITIONS).set("Detailer.cycle", 3)
    further = Editor(taken(editor.payload), DEFINITIONS).set("Detailer.cycle", 4).set("3.steps", 5)  # type: ignore[arg-type]

    assert [(one.name, one.value) for one in further.sets] == [("cycle", 4), ("steps", 5)]
    assert further.payload.original == workflow(full_list())  # type: ignore[attr-defined]
    assert [(one.name, one.value) for one in editor.sets] == [("cycle", 3)]


def _cases(count: int) -> Iterator[tuple[int, Page, list[Any], dict[str, Any]]]:
    for number in range(count):
        chance = random.Random(number)
        order, values = plain_order(), full_list()
        for _ in range(chance.choice((0, 0, 1, 2))):
            at = chance.randrange(len(order) + 1)
            order.insert(at, f"of the pack {at}")
            if chance.random() < 0.6:
                values.insert(min(at, len(values)), chance.choice(["x", 3, None, 0.5, True, "simple"]))
        for _ in range(chance.choice((0, 0, 1))):
            order.pop(chance.randrange(len(order)))
        for _ in range(chance.choice((0, 0, 1))):
            values.pop(chance.randrange(len(values)))
        values = values[: chance.choice((len(values), len(values), chance.randrange(len(values) + 1)))]
        choices = {**CHOICES, "seed": 2**60 + chance.randrange(9)}
        names = chance.sample(sorted(choices), chance.randint(1, 4))
        fed = chance.sample(names, chance.choice((0, 0, 0, 1)))
        yield (
            number,
            Page(order, feeds={name: ["3", 0] for name in fed}),
            values,
            {name: choices[name] for name in names},
        )


async def test_what_is_accepted_arrives_or_is_an_error() -> None:
    """Widgets added, removed and shifted at random, lists cut short: no value is lost, and nothing else changes."""
    arrived = refused = 0
    for number, page, values, sets in _cases(examples(100)):
        before = (await page.convert(workflow(values)))["3"]["inputs"]
        editor = Editor(workflow(values), DEFINITIONS)
        for name, value in sets.items():
            editor.set_or_defer(f"#3.{name}", value)
        try:
            made = (await prompt_of(page, editor.payload))["3"]["inputs"]
        except InputSelectorError:
            refused += 1
            continue
        arrived += 1
        assert made == before | sets, (number, page.widgets, values)

    assert arrived > refused > 0
