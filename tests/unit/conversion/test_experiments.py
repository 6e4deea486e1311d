"""What experiments find out about a frontend, and what they leave to the browser."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
from unit.conversion.fake_frontend import FakeFrontEnd, environment, workflow

from discomfort.conversion.native.comparison import UnprovenError
from discomfort.conversion.native.experiments import Experiment
from discomfort.conversion.native.plan import Plan, difference
from discomfort.conversion.native.shapes import read
from discomfort.workflow.javascript import Value


async def learn(front_end: FakeFrontEnd, text: str | None = None, *, foreign: bool = False) -> Plan:
    """The plan for a workflow, ready for use."""
    text = text or workflow()
    server = environment(foreign=foreign)
    parsed = read(text, server.digest)
    assert parsed is not None
    plan = await Experiment(text, parsed, server, front_end.convert).learn()
    plan.know(server.limits, seen_only=foreign)
    return plan


def values_of(text: str) -> tuple[Value, ...]:
    """The values of a workflow."""
    parsed = read(text, "")
    assert parsed is not None
    return parsed.values


async def agrees(plan: Plan, front_end: FakeFrontEnd, **values: Any) -> bool:
    """Whether the plan converts these values, and as the frontend does; false if it declines. Fails if it is wrong."""
    text = workflow(**values)
    if plan.refusal(values_of(text)) is not None:
        return False
    assert difference(plan.apply(values_of(text)), await front_end.convert(text) or {}) is None
    return True


async def test_honest_widgets_are_proven() -> None:
    """Where values arrive as they are, all that the definitions allow is proven, with few conversions."""
    front_end = FakeFrontEnd()
    plan = await learn(front_end)

    assert front_end.conversions <= 15
    assert await agrees(plan, front_end)
    assert await agrees(plan, front_end, seed=2**64 - 1, steps=3, cfg=0.123, name="lms", tiled=False)
    assert await agrees(plan, front_end, text="{a|b} // %x% \n é", note="{anything}", file="other model.ckpt")
    assert not await agrees(plan, front_end, steps=-1)
    assert not await agrees(plan, front_end, steps=10001)
    assert not await agrees(plan, front_end, name="unheard-of")


def dynamic(prompt: dict[str, Any], values: dict[str, Any]) -> None:
    """Braces are chosen from, comments dropped, as the frontend's dynamic prompts do."""
    text = values["text"].replace("\\(", "\\\\(") if "/*" in values["text"] else values["text"]
    prompt["2"]["inputs"]["text"] = random.choice(text.strip("{}").split("|")).partition("//")[0]


def dates(prompt: dict[str, Any], values: dict[str, Any]) -> None:
    """What stands between percent signs, taken in pairs from the left, may refer to dates and to other widgets."""
    known = {"Sampler.seed": str(values["seed"])}

    def filled(found: re.Match[str]) -> str:
        return "1999" if found[1].startswith("date:") else known.get(found[1], found[0])

    prompt["2"]["inputs"]["text"] = re.sub("%([^%]+)%", filled, values["text"])


def trimmed(prompt: dict[str, Any], values: dict[str, Any]) -> None:
    """Text loses the space around it."""
    prompt["2"]["inputs"]["text"] = values["text"].strip()


def numeric(prompt: dict[str, Any], values: dict[str, Any]) -> None:
    """Text that is a number becomes one, none becomes null."""
    text = values["text"]
    prompt["2"]["inputs"]["text"] = float(text) if text.replace(".", "").isdigit() else text or None


@pytest.mark.parametrize(
    ("quirk", "fine", "declined"),
    [
        (dynamic, "plain, 100%\n", ["{a|b}", "a // b", "a|b"]),
        (dates, "plain {a|b}, 100%\n", ["%date:yyyy-MM-dd%", "%date:yyyy%/x", "%Sampler.seed%", "1% %date:MM% 2%"]),
        (trimmed, "plain {a} %x%", [" a", "a\n"]),
        (numeric, "plain {a} %x%\n", ["12", ""]),
    ],
)
async def test_text_that_a_widget_changes(quirk: Any, fine: str, declined: list[str]) -> None:
    """What a widget changes is declined, and nothing else."""
    front_end = FakeFrontEnd(quirk)
    plan = await learn(front_end)

    assert await agrees(plan, front_end, text=fine, seed=5)
    for text in declined:
        assert not await agrees(plan, front_end, text=text)


def rounded(prompt: dict[str, Any], values: dict[str, Any]) -> None:
    """Two digits."""
    prompt["1"]["inputs"]["cfg"] = round(values["cfg"], 2)


def clamped(prompt: dict[str, Any], values: dict[str, Any]) -> None:
    """At most 500."""
    prompt["1"]["inputs"]["steps"] = min(values["steps"], 500)


def minus_one(prompt: dict[str, Any], values: dict[str, Any]) -> None:
    """Zero means random."""
    prompt["1"]["inputs"]["seed"] = values["seed"] or random.getrandbits(32)


async def test_numbers_that_a_widget_changes() -> None:
    """Rounding, clamping and numbers with a meaning of their own are found."""
    rounding, clamping, choosing = FakeFrontEnd(rounded), FakeFrontEnd(clamped), FakeFrontEnd(minus_one)

    plan = await learn(rounding, workflow(cfg=7))
    assert await agrees(plan, rounding, cfg=8)
    assert not await agrees(plan, rounding, cfg=7.125)
    plan = await learn(clamping)
    assert await agrees(plan, clamping, steps=22)
    assert not await agrees(plan, clamping, steps=501)
    plan = await learn(choosing)
    assert await agrees(plan, choosing, seed=9)
    assert not await agrees(plan, choosing, seed=0)


def multiples(prompt: dict[str, Any], values: dict[str, Any]) -> None:
    """Multiples of eight."""
    prompt["1"]["inputs"]["steps"] = int(values["steps"]) // 8 * 8


async def test_multiples_are_found() -> None:
    """Where a widget rounds to multiples of eight, those are proven and nothing between them."""
    front_end = FakeFrontEnd(multiples)

    for steps in (64, 77, 20):
        plan = await learn(front_end, workflow(steps=steps))

        assert await agrees(plan, front_end, steps=128)
        assert not await agrees(plan, front_end, steps=129)
        assert await agrees(plan, front_end, steps=128, seed=3)


def suffixed(prompt: dict[str, Any], values: dict[str, Any]) -> None:
    """A serialization of its own."""
    prompt["2"]["inputs"]["text"] = f"{values['text']}|1"


def switched(prompt: dict[str, Any], values: dict[str, Any]) -> None:
    """A boolean decides whether there is an input."""
    if not values["tiled"]:
        del prompt["1"]["inputs"]["cfg"]


def chosen(prompt: dict[str, Any], values: dict[str, Any]) -> None:
    """A choice decides on another value."""
    prompt["1"]["inputs"]["cfg"] = 1.0 if values["name"] != "euler" else values["cfg"]


def text_decides(prompt: dict[str, Any], values: dict[str, Any]) -> None:
    """A note decides on a value elsewhere."""
    prompt["1"]["inputs"]["steps"] = len(values["note"])


@pytest.mark.parametrize(
    ("quirk", "change"),
    [
        (suffixed, {"text": "b"}),
        (switched, {"tiled": False}),
        (chosen, {"name": "heun"}),
        (text_decides, {"note": "another"}),
    ],
)
async def test_what_is_not_proven_is_held(quirk: Any, change: dict[str, Any]) -> None:
    """Values with effects of their own stay what they are; the others may change."""
    front_end = FakeFrontEnd(quirk)
    plan = await learn(front_end)

    assert not await agrees(plan, front_end, **change)
    assert await agrees(plan, front_end, file="other.safetensors")
    assert await agrees(plan, front_end)


async def test_packs_scripts_leave_only_seen_choices() -> None:
    """Where a pack's scripts run, a choice is proven by having been there."""
    front_end = FakeFrontEnd()
    plan = await learn(front_end, foreign=True)

    sampler = plan.rules[3]

    assert sampler.choices == frozenset()
    assert "euler" in sampler.seen


def random_title(prompt: dict[str, Any], values: dict[str, Any]) -> None:
    """Titles change each time, whatever is held."""
    prompt["2"]["_meta"]["title"] = str(random.random())


def throws(prompt: dict[str, Any], values: dict[str, Any]) -> None:
    """Only the workflow's own text is converted."""
    if values["text"] != "a fox":
        raise ArithmeticError


def other_file(prompt: dict[str, Any], values: dict[str, Any]) -> None:
    """A file of the server's is put in."""
    prompt["3"]["inputs"]["file"] = "a.safetensors"


def order(prompt: dict[str, Any], values: dict[str, Any]) -> None:
    """The order of the nodes depends on a number."""
    if int(values["steps"]) % 2:
        prompt["1"] = prompt.pop("1")


@pytest.mark.parametrize("quirk", [random_title, throws, other_file, order])
async def test_shapes_that_can_not_be_learnt(quirk: Any) -> None:
    """Random results, effects from elsewhere, failures, values from the server's lists: left to the browser."""
    with pytest.raises(UnprovenError):
        await learn(FakeFrontEnd(quirk))


@pytest.mark.parametrize("seed", [1e300, -(2**63), 2**64 - 1, 2**70, -1e19, 2**53 + 1])
async def test_numbers_of_any_size(seed: float) -> None:
    """Numbers beyond 64 bits are held, those at their ends are learnt like others."""
    front_end = FakeFrontEnd()
    plan = await learn(front_end, workflow(seed=seed))

    assert await agrees(plan, front_end, seed=seed, steps=24) or not 0 <= seed < 2**64
    assert plan.rules[0].kind == ("number" if -(2**63) <= seed < 2**64 else "held")


async def test_prompt_of_the_day_is_not_learnt() -> None:
    """What would be another prompt tomorrow, whatever the values, is left to the browser."""
    front_end = FakeFrontEnd()
    front_end.unsteady = True

    with pytest.raises(UnprovenError, match="twice the same"):
        await learn(front_end)


async def test_failure_at_an_edge_proves_nothing() -> None:
    """An experiment that the frontend does not survive leaves its kind of text unproven, the rest is learnt."""

    def percent(prompt: dict[str, Any], values: dict[str, Any]) -> None:
        if "%" in values["text"]:
            raise ArithmeticError

    front_end = FakeFrontEnd(percent)
    plan = await learn(front_end)

    assert await agrees(plan, front_end, text="fine {a}")
    assert "percent" in str(plan.refusal(values_of(workflow(text="100%"))))


async def test_scripts_of_packs_may_know_other_names() -> None:
    """Beside a pack's script nothing is proven for what stands between percent signs; one such sign is."""
    plan = await learn(FakeFrontEnd(), foreign=True)

    assert plan.refusal(values_of(workflow(text="100% sharp"))) is None
    assert "between percent signs" in str(plan.refusal(values_of(workflow(text="%now%"))))


async def test_values_from_dictionaries() -> None:
    """A plan for values by name works as one for a list."""
    text = json.dumps({"nodes": [{"id": 2, "type": "Text", "widgets_values": ["a"]}, {"id": 4, "type": "Note"}]})

    async def convert(text: str, *, steady: bool = False) -> dict[str, Any] | None:
        value = json.loads(text)["nodes"][0]["widgets_values"]["text"]
        return {"2": {"inputs": {"text": value}, "class_type": "Text", "_meta": {"title": "Text"}}}

    text = text.replace('["a"]', '{"text": "a"}')
    parsed = read(text, "")
    assert parsed is not None
    plan = await Experiment(text, parsed, environment(), convert).learn()

    assert plan.apply(["b"])["2"]["inputs"] == {"text": "b"}
