"""Workflows as functions: values in by name in every form, typed outputs back, and nothing left on the server."""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from contract.engines import REPOSITORY, EngineUnderTest, with_small_frontend
from contract.graphs import Prompt, node, picture_prompt
from PIL import Image

from discomfort import CallError, ComfyConnector, SyncConnector
from discomfort.exceptions import ArgumentError, PayloadError

EXAMPLES = REPOSITORY / "examples"
INVERT: Prompt = {
    "1": node("LoadImage", "Photo", image="none.png"),
    "2": node("ImageInvert", image=["1", 0]),
    "3": node("PreviewImage", "Negative", images=["2", 0]),
}
INVERT_NAMES = {"inputs": {"image": "Photo.image"}}
ADD: Prompt = {"1": node("ContractShow", "Show", value=3)}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(engine: EngineUnderTest) -> AsyncIterator[ComfyConnector]:
    """A server of this file's own: what it leaves in its folders is looked at."""
    settings: Any = {**with_small_frontend(engine).settings, "browser": "lazy"}
    async with await ComfyConnector.launch(**settings) as connector:
        yield connector


def levels(*shape: int) -> Any:
    """Bytes of a picture."""
    return np.random.default_rng(3).integers(0, 256, shape, np.uint8)


def input_files(engine: EngineUnderTest) -> list[str]:
    """What is in the server's input folder."""
    return sorted(path.name for path in (engine.home / "input").rglob("*") if path.is_file())


async def test_a_picture_in_every_form(server: ComfyConnector, engine: EngineUnderTest, tmp_path: Path) -> None:
    """Path, text, bytes, file object, Pillow, arrays of both kinds: the same result, and no upload is left."""
    before = input_files(engine)
    pixels = levels(6, 5, 3)
    picture, path = Image.fromarray(pixels), tmp_path / "photo.png"
    picture.save(path)
    data = path.read_bytes()
    invert = await server.load(INVERT, INVERT_NAMES)
    floats = pixels.astype(np.float32) / np.float32(255)
    for form in (path, str(path), data, io.BytesIO(data), picture, pixels, floats, floats[None]):
        result = await invert(image=form)
        found = await result.negative.numpy()
        # SaveImage cuts off where it could round.
        assert np.abs(np.rint(found[0] * 255) - (255.0 - pixels)).max() <= 1, type(form)
    assert input_files(engine) == before


@pytest.mark.browser
async def test_a_script_of_a_stranger(connector: ComfyConnector, tmp_path: Path) -> None:
    """A workflow of App Mode is loaded, called and its picture saved; it has the workflow with these values."""
    Image.new("RGB", (5, 4), "red").save(tmp_path / "photo.png")
    upscale = await connector.load(EXAMPLES / "upscale.json")
    assert list(upscale.interface.inputs) == ["image", "scale", "upscale_method"]
    result = await upscale(image=tmp_path / "photo.png", scale=3, upscale_method="area")
    (path,) = await result.image.save(tmp_path / "out")
    assert path.name == "image.png"
    with Image.open(path) as picture:
        assert picture.size == (15, 12)
        assert json.loads(picture.info["workflow"])["nodes"][1]["widgets_values"] == ["area", 3]
    with pytest.raises(CallError) as caught:
        await upscale(image=tmp_path / "photo.png", scale=99, upscale_method="lanzcos")
    assert [each.candidates[0] for each in caught.value.problems] == ["8.0", "'lanczos'"]


async def test_files_by_selector(server: ComfyConnector, engine: EngineUnderTest) -> None:
    """An input without a name takes files as one with a name does; what both name is one input."""
    before = input_files(engine)
    pixels = levels(6, 5, 3)
    nameless = await server.load(INVERT)
    assert not nameless.interface.inputs
    first = await nameless({"Photo.image": pixels})
    second = await nameless({"LoadImage.image": first.negative})
    assert np.abs(np.rint((await second.negative.numpy())[0] * 255) - pixels).max() <= 1
    named = await server.load(INVERT, INVERT_NAMES)
    third = await named({"1.image": Image.fromarray(pixels)})
    assert np.array_equal(await third.negative.numpy(), await first.negative.numpy())
    assert input_files(engine) == before
    plan = await nameless.plan({"Photo.image": pixels})
    assert not plan.files
    with pytest.raises(CallError, match=r"1\.image: is given twice: it is the input 'image'"):
        await named({"1.image": pixels}, image=pixels)
    with pytest.raises(CallError, match="there is no file 'nowhere.png'"):
        await nameless({"Photo.image": "nowhere.png"})


async def test_a_selector_before_a_default(server: ComfyConnector) -> None:
    """The default of a sidecar does not replace what the call gives by selector, and its bounds hold."""
    show = await server.load(ADD, {"inputs": {"number": {"target": "Show.value", "default": 5, "maximum": 8}}})
    assert show.problems({"Show.value": 7}) == []
    (problem,) = show.problems({"Show.value": 9})
    assert (problem.name, problem.candidates) == ("number", ("8",))


async def test_odd_keys(server: ComfyConnector) -> None:
    """A single value in place of the mapping, and keys that are no texts, have errors that say what is taken."""
    invert = await server.load(INVERT, INVERT_NAMES)
    odd: Any = invert
    with pytest.raises(TypeError, match="values must be one mapping of names or selectors, not the string 'photo.png'"):
        await odd("photo.png")
    with pytest.raises(CallError, match="3: names of inputs and selectors are texts"):
        await odd({3: 3})
    with pytest.raises(ArgumentError, match="image is given twice, in the mapping and by name"):
        await invert({"image": "a.png"}, image="b.png")
    with pytest.raises(CallError, match="the picture is empty: its size is 0 x 4"):
        await odd(image=Image.new("RGB", (0, 4)))


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("timeout", "5", "timeout must be a number of seconds or None, not the string '5'"),
        ("timeout", -1, "timeout must be a number of seconds from 0 on, not -1"),
        ("timeout", float("nan"), "timeout must be a number of seconds from 0 on, not nan"),
        ("on_progress", 3, "on_progress must be a function that takes an event, not the number 3"),
        ("allow_paid", "no", "allow_paid must be True, False or None, not the string 'no'"),
        ("api_key", "my key", "api_key must be visible characters without spaces"),
    ],
)
async def test_odd_options(server: ComfyConnector, option: str, value: Any, text: str) -> None:
    """Each has an error that names it, before anything is sent; the same for functions and for runs."""
    odd: dict[str, Any] = {option: value}
    invert = await server.load(INVERT, INVERT_NAMES)
    prompt = picture_prompt(prefix="odd options")
    calls = [server.run, server.run_workflow] + [server.submit] * (option != "on_progress")
    with pytest.raises(ArgumentError, match=text) as caught:
        invert.with_options(**odd)
    assert caught.value.argument == option
    for call in calls:
        with pytest.raises(ArgumentError, match=text):
            await call(prompt, **odd)
    assert not await server.queue()


async def test_odd_arguments_of_load_and_plan(server: ComfyConnector) -> None:
    """Each has an error that names it."""
    odd: Any = server
    with pytest.raises(ArgumentError, match="name must be a text, not the number 3"):
        await odd.load(INVERT, name=3)
    with pytest.raises(ArgumentError, match="interface must be a mapping, or the path of a sidecar, not an empty list"):
        await odd.load(INVERT, [])
    with pytest.raises(ArgumentError, match="values must be a mapping of selectors and values, not the number 3"):
        await odd.plan(INVERT, 3)
    with pytest.raises(ArgumentError, match="online must be True or False, not the string 'no'"):
        await odd.plan(INVERT, online="no")
    with pytest.raises(ArgumentError, match="files must be a mapping of selectors and files"):
        await odd.run(INVERT, files="photo.png")
    with pytest.raises(PayloadError, match="extra_data must be an object"):
        (await odd.load(INVERT)).with_options(extra_data=3)


async def test_a_picture_that_is_left_out(server: ComfyConnector) -> None:
    """The error names the input and what it takes, however the input is declared; nothing is sent."""
    for names in (INVERT_NAMES, {"inputs": {"image": {"target": "Photo.image", "default": "none.png"}}}):
        invert = await server.load(INVERT, names)
        with pytest.raises(CallError) as caught:
            await invert()
        (problem,) = caught.value.problems
        assert problem.name == "image"
        assert problem.problem.startswith(
            "is missing: the workflow has 'none.png', which is not on the server. It takes"
        )
        assert problem.problem.endswith("a picture of Pillow, an array, or an output of another run")
    port = await server.load({**INVERT, "1": node("DiscomfortPort", unique_id="photo")})
    (problem,) = port.problems()
    assert str(problem).startswith(
        "photo: is missing: it takes IMAGE: a path, bytes, a file object, a picture of Pillow"
    )
    unused = {**INVERT, "9": node("LoadImage", "Unused", image="gone.png")}
    calm = await server.load(unused, {"inputs": {"image": "Photo.image", "other": "Unused.image"}})
    await calm(image=levels(3, 3, 3))
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    made = await server.upload(buffer.getvalue(), name="kept.png", ephemeral=True)
    kept = await server.load({**INVERT, "1": node("LoadImage", "Photo", image="kept.png")}, INVERT_NAMES)
    assert len((await kept()).negative) == 1
    assert server.discard_upload(made.path or "")


async def test_a_whole_result_is_no_value(server: ComfyConnector) -> None:
    """The error names the outputs of it that fit, as a program reaches them."""
    names = {**INVERT_NAMES, "outputs": {"history": "Negative"}}
    invert = await server.load(INVERT, names)
    result = await invert(image=levels(3, 3, 3))
    expected = "image: takes one output, given the whole result of workflow: give result['history']"
    for value in (result, [result]):
        with pytest.raises(CallError, match=re.escape(expected)):
            await invert(image=value)
    assert len(invert.grid(image=result)) == 1
    show = await server.load(ADD, {"inputs": {"number": "Show.value"}})
    (problem,) = show.problems(number=result)
    assert problem.problem.endswith("it has no output of type INT")
    (problem,) = show.problems({"Show.value": await server.run(ADD)})
    assert problem.problem.endswith("given the whole result of a run: give one of it, as result.outputs[0]")


class Stream:
    """A file object that cannot seek."""

    def __init__(self, content: Any) -> None:
        self.left = content

    def read(self) -> Any:
        """What is left in it."""
        left, self.left = self.left, self.left[:0]
        return left


async def test_file_objects(server: ComfyConnector, tmp_path: Path) -> None:
    """One that can seek is read from its start and not moved, in any number of calls; another one as it is, once."""
    invert = await server.load(INVERT, INVERT_NAMES)
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), "red").save(buffer, "PNG")
    at = buffer.tell()
    runs = [await invert.submit(image=buffer) for _ in range(3)]
    for run in runs:
        assert (await (await run).negative.pil()).size == (4, 3)
    assert buffer.tell() == at
    once = Stream(buffer.getvalue())
    await invert(image=once)
    closed = io.BytesIO(b"x")
    closed.close()
    (tmp_path / "photo.png").write_bytes(buffer.getvalue())
    with (tmp_path / "photo.png").open() as text, (tmp_path / "new.png").open("wb") as written:
        wrong = [
            (once, "no bytes in it"), (io.BytesIO(), "no bytes in it"), (closed, "the file object is closed"),
            (text, "gives text: open it in binary mode"), (Stream("x"), "gives str, not bytes"),
            (written, "cannot be read: open it for reading"),
        ]  # fmt: skip
        for stream, problem in wrong:
            with pytest.raises(CallError, match=problem) as caught:
                await invert(image=stream)
            assert caught.value.problems[0].name == "image"


async def test_equal_files_are_one(server: ComfyConnector, engine: EngineUnderTest) -> None:
    """Calls side by side share an upload, which goes with the last; later the server still knows what it has loaded."""
    before = input_files(engine)
    invert = await server.load(INVERT, INVERT_NAMES)
    pixels = levels(5, 5, 3)
    pixels[0, 0] = 77
    runs = [await invert.submit(image=pixels) for _ in range(3)]
    results = [await run for run in runs]
    names = {next(iter(result.history.values()))["prompt"][2]["1"]["inputs"]["image"] for result in results}
    assert len(names) == 1
    assert input_files(engine) == before
    result = await invert(image=pixels)
    (record,) = result.history.values()
    cached = [data["nodes"] for kind, data in record["status"]["messages"] if kind == "execution_cached"]
    assert "1" in cached[0]
    assert "2" in cached[0]
    assert len(result.negative) == 1


async def test_an_output_is_an_input_without_a_transfer(
    server: ComfyConnector, engine: EngineUnderTest, tmp_path: Path
) -> None:
    """On the same server the file is named where it is: twice inverted is the picture itself."""
    invert = await server.load(INVERT, INVERT_NAMES)
    pixels = levels(4, 4, 3)
    once = await invert(image=pixels)
    before = input_files(engine)
    twice = await invert.submit(image=once.negative)
    assert input_files(engine) == before
    result = await twice
    (record,) = result.history.values()
    given = record["prompt"][2]["1"]["inputs"]["image"]
    assert given == f"{once.negative.only.filename} [temp]"
    assert np.abs(np.rint(await result.negative.numpy() * 255)[0] - pixels).max() <= 2
    again = await invert(image=once.outputs[0])
    (path,) = await again.negative.save(tmp_path / "new" / "again.jpg")
    assert path.name == "again.jpg"
    assert path.read_bytes().startswith(b"\xff\xd8\xff")


async def test_an_attached_server(server: ComfyConnector, engine: EngineUnderTest) -> None:
    """Files cannot be deleted there, so the same one is sent once, and an output is named as on an owned one."""
    before = input_files(engine)
    async with await ComfyConnector.attach(server.server_address, browser="lazy") as attached:
        invert = await attached.load(INVERT, INVERT_NAMES)
        for _ in range(2):
            once = await invert(image=levels(3, 3, 3))
        (made,) = set(input_files(engine)) - set(before)
        assert made.endswith("-image.png")
        (engine.home / "input" / made).unlink()
        twice = await invert(image=once.negative)
        assert len(twice.negative) == 1
        assert input_files(engine) == before


async def test_an_output_of_another_server(server: ComfyConnector, connector: ComfyConnector) -> None:
    """Is transferred."""
    pixels = levels(4, 4, 3)
    once = await (await connector.load(INVERT, INVERT_NAMES))(image=pixels)
    result = await (await server.load(INVERT, INVERT_NAMES))(image=once.negative)
    assert np.abs(np.rint(await result.negative.numpy() * 255)[0] - pixels).max() <= 2


async def test_everything_wrong_is_told_at_once(server: ComfyConnector, tmp_path: Path) -> None:
    """Values, names, files: one error, with the nearest that would be right, and nothing is sent."""
    names = {
        "inputs": {"width": "Source.width", "color": "Source.color", "prefix": "Out.filename_prefix"},
    }
    paint = await server.load(picture_prompt(prefix="calling"), names)
    queue = await server.queue()
    with pytest.raises(CallError) as caught:
        await paint(width=100_000, colour=1, color="7", prefix=5)
    problems = {each.name: each for each in caught.value.problems}
    assert list(problems) == ["width", "color", "prefix", "colour"]
    assert problems["width"].candidates == ("16384",)
    assert "from 1 to 16384" in problems["width"].problem
    assert problems["color"].candidates == ("7",)
    assert problems["prefix"].candidates == ("'5'",)
    assert problems["colour"].candidates[0] == "color"
    assert isinstance(caught.value, TypeError)
    invert = await server.load(INVERT, INVERT_NAMES)
    wrong = [
        (tmp_path / "gone.png", "there is no file"), ("gone.png", "neither here nor in the server's folder 'input'"),
        ("/gone/cat.png", "there is no file '/gone/cat.png'"), ("../cat.png", "there is no file"),
        ("x" * 5000, "there is no file"),
        ("http://127.0.0.1/cat.png", "takes no address"), (b"", "no bytes"), (3, "takes IMAGE: a path, bytes"),
        (levels(2, 4, 4, 3), "takes one picture"), ([levels(2, 2, 3)] * 2, "takes one file, given 2"),
        (io.StringIO("x"), "open it in binary mode"),
        (np.full((2, 2, 3), 1.5), "outside of 0 to 1"), ({"samples": 1}, "takes IMAGE: a path"),
    ]  # fmt: skip
    for value, text in wrong:
        with pytest.raises(CallError, match=re.escape(text)):
            await invert(image=value)
    assert await server.queue() == queue


async def test_constants_and_selectors(server: ComfyConnector) -> None:
    """What has no name is set by selector; numbers of numpy are numbers; what is not given stays."""
    names = {"inputs": {"width": "Source.width"}}
    paint = await server.load(picture_prompt(color=0x102030), names)
    result = await paint({"Source.height": 5}, width=np.int64(7))
    picture = await result["out"].pil()
    assert picture.size == (7, 5)
    assert picture.convert("RGB").getpixel((0, 0)) == (0x10, 0x20, 0x30)
    with pytest.raises(CallError, match="Source.height"):
        await paint({"Source.heigth": 5})
    with pytest.raises(TypeError, match="given twice"):
        await paint({"width": 5}, width=5)


async def test_plan_of_a_call(server: ComfyConnector, tmp_path: Path) -> None:
    """The values of the call count instead of the workflow's: a given picture is not missing, a wrong value is told."""
    Image.new("RGB", (4, 4)).save(tmp_path / "photo.png")
    invert = await server.load(INVERT, INVERT_NAMES)
    plan = await invert.plan(image=tmp_path / "photo.png")
    assert plan.is_ready
    assert plan.name == "workflow"
    assert [need.input for need in (await invert.plan(image=None)).values] == ["image"]
    assert [each.name for each in (await invert.plan()).files] == ["none.png"]
    paint = await server.load(picture_prompt(prefix="plan"), {"inputs": {"width": "Source.width"}})
    plan = await paint.plan({"Source.height": 100_000}, width=100_000)
    assert [(need.input, need.nearest) for need in plan.values] == [("Source.height", None), ("width", 16384)]
    assert "input width: takes a whole number from 1 to 16384, given the number 100000; nearest: 16384" in str(plan)
    assert "node Source.height: " in str(plan)


def lacking(path: Path, class_type: str) -> Path:
    """The example of App Mode, with another class in the place of this one."""
    path.write_text((EXAMPLES / "upscale.json").read_text().replace(f'"{class_type}"', '"NoNode"'))
    return path


@pytest.mark.browser
async def test_plan_with_names_where_nodes_are_missing(connector: ComfyConnector, tmp_path: Path) -> None:
    """The plan has the missing types and the values that are wrong; what a missing node would take is not known."""
    photo = Image.new("RGB", (4, 4))
    workflow = lacking(tmp_path / "a.json", "PreviewImage")
    plan = await connector.plan(workflow, image=photo, scale=99, other=1)
    assert [pack.class_types for pack in plan.packs] == [("NoNode",)]
    assert [(need.input, need.nearest) for need in plan.values] == [("scale", 8.0)]
    assert "whether 'other' is an input, since node types are missing" in plan.unknown
    plan = await connector.plan(lacking(tmp_path / "b.json", "ImageScaleBy"), image=photo, scale=99)
    assert [pack.class_types for pack in plan.packs] == [("NoNode",)]
    assert (plan.values, plan.files, plan.name) == ((), (), "b.json")
    assert "whether 'scale' is an input, since node types are missing" in plan.unknown
    broken = json.loads((EXAMPLES / "upscale.json").read_text())
    broken["links"][0][1] = 77
    plan = await connector.plan(broken, image=photo, scale=99)
    assert "it is linked to node 77, which does not exist" in plan.problems[0]
    assert "whether the given values fit, since the workflow cannot be converted" in plan.unknown
    function = await connector.load(EXAMPLES / "upscale.json")
    assert (await function.plan(image=photo)).is_ready
    with pytest.raises(ArgumentError, match="scale is given twice"):
        await connector.plan(workflow, {"scale": 2}, scale=3)


async def test_values_of_a_plan_stay_the_callers(connector: ComfyConnector) -> None:
    """What the caller changes while the workflow is read does not count."""
    values: dict[str, Any] = {"upscale_method": "none"}
    planning = asyncio.ensure_future(connector.plan(EXAMPLES / "upscale.json", values, scale=2))
    await asyncio.sleep(0)
    values.clear()
    assert [need.input for need in (await planning).values] == ["upscale_method"]


async def test_ports(server: ComfyConnector, tmp_path: Path) -> None:
    """Constants go to what a port feeds, pictures in and out by ComfyUI's own nodes, a batch stays one."""
    workflow: Prompt = {
        "1": node("DiscomfortPort", unique_id="image"),
        "2": node("DiscomfortPort", unique_id="times"),
        "3": node("RepeatImageBatch", image=["1", 0], amount=["2", 0]),
        "4": node("DiscomfortPort", unique_id="images", input_data=["3", 0]),
        "5": node("ImageToMask", image=["3", 0], channel="red"),
        "6": node("DiscomfortPort", unique_id="mask", input_data=["5", 0]),
    }
    repeat = await server.load(workflow)
    pixels = levels(2, 4, 6, 3)
    result = await repeat(image=pixels.astype(np.float32) / np.float32(255), times=2)
    assert len(result.images) == 4
    found = np.rint(await result.images.numpy() * 255)
    assert np.abs(found - np.concatenate([pixels, pixels])).max() <= 1
    mask = await result.mask.numpy()
    assert np.abs(np.rint(mask * 255) - found[..., 0]).max() <= 1
    files = await result.save(tmp_path / "all")
    assert [path.name for path in files[:5]] == [
        "images.png", "images_2.png", "images_3.png", "images_4.png", "mask.png",
    ]  # fmt: skip
    again = await repeat(image=[result.images[1], Image.fromarray(pixels[0])], times=1)
    assert len(again.images) == 2
    with pytest.raises(CallError, match="is missing: it takes IMAGE") as caught:
        await repeat(times=0)
    assert [each.name for each in caught.value.problems] == ["image", "times"]


async def test_masks_and_latents(server: ComfyConnector) -> None:
    """A mask array is that mask whichever channel is read, and a latent comes back with its numbers."""
    mask = levels(4, 4)
    for channel in ("alpha", "red"):
        prompt = {
            "1": node("LoadImageMask", image="none.png", channel=channel),
            "2": node("MaskToImage", mask=["1", 0]),
            "3": node("PreviewImage", "Shown", images=["2", 0]),
        }
        show = await server.load(prompt, {"inputs": {"mask": "1.image"}})
        for form in (mask, mask[None].astype(np.float32) / np.float32(255), Image.fromarray(mask)):
            result = await show(mask=form)
            assert np.abs(np.rint((await result.shown.numpy())[0, ..., 0] * 255) - mask).max() <= 1
    latent = {
        "1": node("DiscomfortPort", unique_id="latent"),
        "2": node("LatentMultiply", samples=["1", 0], multiplier=2.0),
        "3": node("DiscomfortPort", unique_id="twice", input_data=["2", 0]),
    }
    double = await server.load(latent)
    samples = np.arange(16, dtype=np.float32).reshape(1, 4, 2, 2)
    once = await double(latent={"samples": samples})
    twice = await double(latent=once.twice)
    assert np.array_equal(await twice.twice.numpy(), samples * 4)


async def test_texts_and_numbers(server: ComfyConnector) -> None:
    """Come back as such, and go into the next call as such."""
    show = await server.load({"1": node("ContractShow", "Show", value=3)}, {"inputs": {"value": "Show.value"}})
    result = await show(value=12)
    assert str(result.show) == "12"
    with pytest.raises(CallError, match="takes a whole number"):
        await show(value=result.show)
    number = await server.load(
        {
            "1": node("DiscomfortPort", unique_id="n"),
            "2": node("ContractShow", value=["1", 0]),
            "3": node("DiscomfortPort", unique_id="same", input_data=["2", 0]),
        }
    )
    first = await number(n=7)
    assert first.same.value == 7
    second = await number(n=first.same)
    assert second.same.value == 7
    with pytest.raises(AttributeError, match="has no output 'sane'. It has: same"):
        second.sane  # noqa: B018


def test_without_await(engine: EngineUnderTest, tmp_path: Path) -> None:
    """``SyncConnector.load`` gives a function whose calls, runs and outputs block, and whose outputs are inputs too."""
    settings: Any = {**with_small_frontend(engine).settings, "browser": "lazy"}
    pixels, before = levels(4, 6, 3), input_files(engine)
    with SyncConnector.launch(**settings) as connector:
        invert = connector.load(INVERT, INVERT_NAMES, name="invert")
        once = invert(image=pixels)
        assert np.abs(np.rint(once.negative.numpy()[0] * 255) - (255.0 - pixels)).max() <= 1
        run = invert.with_options(timeout=60).submit(image=once.negative)
        twice = run.wait()
        assert run.done
        assert twice.negative.pil().size == (6, 4)
        assert [path.name for path in twice.save(tmp_path)] == ["negative.png"]
        assert twice.negative.read() == (tmp_path / "negative.png").read_bytes()
        with pytest.raises(CallError, match="picture: there is no input of this name. Nearest: image"):
            invert(picture=pixels)
        assert [each.name for each in invert.problems(image=3)] == ["image"]
        assert list(inspect.signature(invert).parameters) == ["image"]
        assert input_files(engine) == before


async def test_sound_and_video(server: ComfyConnector, engine: EngineUnderTest, tmp_path: Path) -> None:
    """Go in as files and come out as files, by ports and by nodes, and from one call into the next."""
    if not engine.real:
        pytest.importorskip("av")
    film = await server.load(
        {
            "1": node("EmptyImage", width=32, height=32, batch_size=4, color=0x804020),
            "2": node("DiscomfortPort", unique_id="sound"),
            "3": node("CreateVideo", images=["1", 0], audio=["2", 0], fps=4.0),
            "4": node("DiscomfortPort", unique_id="film", input_data=["3", 0]),
            "5": node("DiscomfortPort", unique_id="same", input_data=["2", 0]),
        }
    )
    wave = np.zeros((1, 1, 8000), np.float32)
    made = await film(sound={"waveform": wave, "sample_rate": 8000})
    assert made.film.only.kind == "video"
    (path,) = await made.film.save(tmp_path)
    assert path.name == "film.mp4"
    assert path.read_bytes()[4:8] == b"ftyp"
    (sound,) = await made.same.save(tmp_path)
    assert sound.stat().st_size > 0
    with pytest.raises(ValueError, match="save it under that"):
        await made.film.save(tmp_path / "film.webm")
    parts = {
        "1": node("LoadVideo", file="none.mp4"),
        "2": node("GetVideoComponents", video=["1", 0]),
        "3": node("PreviewImage", "Frames", images=["2", 0]),
    }
    frames = await server.load(parts, {"inputs": {"film": "1.file"}})
    for form in (path, made.film, path.read_bytes()):
        result = await frames(film=form)
        assert len(result.frames) == 4
    by_port = await server.load({**parts, "1": node("DiscomfortPort", unique_id="film")})
    assert len((await by_port(film=made.film)).frames) == 4
    with pytest.raises(CallError, match="takes VIDEO, given an output of the kind 'audio'"):
        await by_port(film=made.same)
    shown = await server.load(
        {"1": node("DiscomfortPort", unique_id="any"), "2": node("PreviewAny", "Shown", source=["1", 0])}
    )
    assert "[[" in str((await shown(any=result.frames[0])).shown)
    assert str((await shown(any=5)).shown) == "5"
    again = await film(sound=sound)
    assert len(again.same) == 1
