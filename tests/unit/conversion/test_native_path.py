"""The native path: learnt once, tried, trusted until it is wrong once."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from unit.conversion.fake_frontend import FakeFrontEnd, environment, workflow
from waiting import until

from discomfort.conversion.cache import PromptCache
from discomfort.conversion.native.path import CHECK_EVERY, NativeMode, NativePath, NativeResult

ENVIRONMENT = environment()


async def convert(path: NativePath, front_end: FakeFrontEnd, **values: Any) -> NativeResult:
    """What a converter does with one workflow: take the native result, or ask the browser, compare and learn."""
    text = workflow(**values)
    native = await path.convert(text, ENVIRONMENT)
    assert native is not None
    if not native.trusted:
        prompt = await front_end.convert(text)
        assert prompt is not None
        await path.compare(native, prompt)
        await path.learn(native, text, json.dumps(prompt), front_end.convert)
    return native


async def trusted(path: NativePath, front_end: FakeFrontEnd) -> None:
    """Convert until the path is trusted, and once more."""
    for seed in (10, 11):
        await convert(path, front_end, seed=seed)


async def test_learnt_tried_trusted() -> None:
    """The first workflow of a shape teaches it; the next one, with other values, needs no browser."""
    path, front_end = NativePath("on"), FakeFrontEnd()

    first = await convert(path, front_end, seed=10)
    second = await convert(path, front_end, seed=13, text="alone")

    assert first.plan is None
    assert second.trusted
    assert second.prompt == await front_end.convert(workflow(seed=13, text="alone"))
    assert path.declined == {"its shape is not known": 1}
    assert "1 trusted" in repr(path)


async def test_a_trial_that_the_experiments_could_not_end() -> None:
    """Where the workflow's own values are not proven, the next ones are tried beside the browser."""
    path, front_end = NativePath("on"), FakeFrontEnd()
    front_end.quirk = lambda prompt, values: prompt["2"]["inputs"].update(text=values["text"].replace("{", "("))

    first = await convert(path, front_end, seed=10, text="a {fox}")
    second = await convert(path, front_end, seed=11, text="a wolf")
    third = await convert(path, front_end, seed=12, text="a hare")

    assert first.plan is None
    assert second.prompt is not None
    assert not second.trusted
    assert third.trusted
    assert path.declined["its shape is on trial"] == 1


async def test_more_than_a_few_shapes_wait_until_they_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes while many are learnt is learnt when it comes again, with the values of both."""
    path, front_end = NativePath("on"), FakeFrontEnd()
    with monkeypatch.context() as patch:
        patch.setattr("discomfort.conversion.native.path.WAITING", 0)
        await convert(path, front_end, seed=10)
    asked = front_end.conversions

    await convert(path, front_end, seed=11)

    assert asked == 1
    assert front_end.conversions > 2
    assert (await convert(path, front_end, seed=12)).trusted


async def test_a_shape_is_learnt_once_by_those_that_come_together() -> None:
    """Two workflows of one shape at the same time cost the experiments of one."""
    together, alone = FakeFrontEnd(), FakeFrontEnd()
    path = NativePath("on")

    async with path._learning:
        asked = [asyncio.ensure_future(convert(path, together, seed=seed)) for seed in (10, 11, 12)]
        await until(lambda: path._learners == 3)
    await asyncio.gather(*asked)
    await convert(NativePath("on"), alone, seed=10)

    assert together.conversions == alone.conversions + 2
    assert (await convert(path, together, seed=13)).trusted


@pytest.mark.parametrize("mode", ["off", "trial"])
async def test_other_modes_never_convert(mode: NativeMode) -> None:
    """Switched off nothing is read; in trial mode everything is compared and nothing used."""
    path, front_end = NativePath(mode), FakeFrontEnd()
    if mode == "off":
        assert await path.convert(workflow(), ENVIRONMENT) is None
        return
    await trusted(path, front_end)

    native = await convert(path, front_end, seed=99)

    assert native.prompt is not None
    assert not native.trusted


async def test_one_difference_ends_it(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """What differs is logged by its place, without what stands there; other processes know it too."""
    path, front_end = NativePath("trial", PromptCache(tmp_path)), FakeFrontEnd()
    await convert(path, front_end, seed=10)
    front_end.quirk = lambda prompt, values: prompt["2"]["inputs"].update(text="a secret")

    with caplog.at_level(logging.DEBUG, logger="discomfort.conversion"):
        await convert(path, front_end, seed=12)

    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "node 2, input text" in record.getMessage()
    assert "secret" not in caplog.text
    elsewhere = await NativePath("on", PromptCache(tmp_path)).convert(workflow(seed=13), ENVIRONMENT)
    for native in (await convert(path, front_end, seed=13), elsewhere):
        assert native is not None
        assert native.prompt is None
        assert "differed once" in native.reason


async def test_earlier_prompts_that_disagree_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frontend that made something else of a workflow before is not believed."""
    path, front_end = NativePath("on"), FakeFrontEnd()
    front_end.quirk = lambda prompt, values: prompt["2"]["inputs"].update(text="before")
    with monkeypatch.context() as patch:
        patch.setattr("discomfort.conversion.native.path.WAITING", 0)
        await convert(path, front_end, seed=10)
    front_end.quirk = None
    await convert(path, front_end, seed=11)

    assert "differed once" in (await convert(path, front_end, seed=12)).reason


async def test_plan_serves_other_processes(tmp_path: Path) -> None:
    """A stored plan converts in a process that never saw the workflow; one for other definitions is not found."""
    front_end = FakeFrontEnd()
    await trusted(NativePath("on", PromptCache(tmp_path)), front_end)
    cold = NativePath("on", PromptCache(tmp_path))

    native = await cold.convert(workflow(seed=50, name="lms"), ENVIRONMENT)
    other = await cold.convert(workflow(seed=50), environment(foreign=True))

    assert native is not None
    assert native.trusted
    assert native.prompt == await front_end.convert(workflow(seed=50, name="lms"))
    assert other is not None
    assert other.plan is None


async def test_damaged_plan_is_ignored(tmp_path: Path) -> None:
    """What cannot be read is as if it were not there."""
    await trusted(NativePath("on", PromptCache(tmp_path)), FakeFrontEnd())
    for file in tmp_path.rglob("*.prompt"):
        file.write_bytes(file.read_bytes()[:-5])

    native = await NativePath("on", PromptCache(tmp_path)).convert(workflow(), ENVIRONMENT)

    assert native is not None
    assert native.plan is None


async def test_another_process_that_saw_a_difference_is_heeded(tmp_path: Path) -> None:
    """What one process switched off is not switched on again by another that had only equal ones."""
    front_end, text = FakeFrontEnd(), workflow(seed=10)
    wrong, right = (NativePath("trial", PromptCache(tmp_path)) for _ in range(2))
    for path in (wrong, right):
        await convert(path, front_end, seed=10)
    native = await wrong.convert(text, ENVIRONMENT)
    assert native is not None
    await wrong.compare(native, {})

    (plan,) = right._plans.values()
    await right._store(native.parsed.key, plan)

    assert "differed once" in (await convert(right, front_end, seed=11)).reason
    assert "differed once" in (await convert(NativePath("on", PromptCache(tmp_path)), front_end, seed=12)).reason


async def test_unlearnable_shape_is_tried_once() -> None:
    """A shape that cannot be learnt costs experiments once, and the result gives the reason."""
    path = NativePath("on")
    front_end = FakeFrontEnd()
    front_end.quirk = lambda prompt, values: prompt["1"]["inputs"].update(steps=front_end.conversions)
    await trusted(path, front_end)
    spent = front_end.conversions

    native = await convert(path, front_end, seed=99)

    assert front_end.conversions == spent + 1
    assert "node 1" in native.reason
    assert "1 off" in repr(path)


async def test_declined_values_go_to_the_browser() -> None:
    """A trusted shape still declines what is not proven for it."""
    path, front_end = NativePath("on"), FakeFrontEnd()
    await trusted(path, front_end)

    native = await convert(path, front_end, steps=20_000)

    assert native.prompt is None
    assert "beyond the proven range (node 1, steps)" in native.reason
    assert path.declined["the number is beyond the proven range"] == 1


async def test_trusted_shapes_are_checked_now_and_then() -> None:
    """One of a hundred is to be compared, and a difference then ends the trust."""
    path, front_end = NativePath("on"), FakeFrontEnd()
    await trusted(path, front_end)

    results = [await convert(path, front_end, seed=1000 + number) for number in range(CHECK_EVERY)]

    assert [native.check for native in results].count(True) == 1
    checked = next(native for native in results if native.check)
    prompt = dict(checked.prompt or {})
    prompt.pop("3")
    await path.compare(checked, prompt)
    assert not (await convert(path, front_end, seed=5000)).trusted


async def test_what_can_not_be_read_has_no_offer() -> None:
    """A workflow that cannot be taken apart is the browser's."""
    assert await NativePath("on").convert('{"nodes": [{"id": "\\ud800"}]}', ENVIRONMENT) is None
