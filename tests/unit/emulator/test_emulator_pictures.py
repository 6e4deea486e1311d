"""Picture nodes since 0.3.64: what they remember, what they write, and sizes that were measured on ComfyUI 0.33."""

from __future__ import annotations

import io
import json
import sys
import zlib
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from comfyui_emulator.nodes.images import boxes, colours, crops, curves, decoding, exports, scaling, sizes

N = Any


def ramp(width: int, height: int, channels: int = 3, count: int = 1) -> Any:
    """A picture of values from 0 to 1."""
    size = count * height * width * channels
    return np.linspace(0, 1, size, dtype=np.float32).reshape(count, height, width, channels)


@pytest.mark.parametrize(
    ("rule", "given", "size"),
    [
        ("scale dimensions", {"width": 8, "height": 0, "crop": "center"}, (8, 4)),
        ("scale by multiplier", {"multiplier": 0.5}, (10, 5)),
        ("scale longer dimension", {"longer_size": 7}, (7, 4)),
        ("scale shorter dimension", {"shorter_size": 7}, (14, 7)),
        ("scale width", {"width": 9}, (9, 4)),
        ("scale height", {"height": 9}, (18, 9)),
        ("scale total pixels", {"megapixels": 0.01}, (145, 72)),
        ("scale to multiple", {"multiple": 6}, (18, 6)),
        ("scale to multiple", {"multiple": 21}, (20, 10)),
        ("match size", {"match": np.zeros((1, 3, 5, 3), np.float32), "crop": "center"}, (5, 3)),
        ("match size", {"match": np.zeros((1, 3, 5), np.float32), "crop": "center"}, (5, 3)),
    ],
)
def test_nine_rules_for_a_size(rule: str, given: Any, size: tuple[int, int]) -> None:
    """Pictures and masks of 20 x 10 get the size that ComfyUI gives them."""
    told = {"resize_type": rule, **given}

    picture = sizes.resize_any(ramp(20, 10), told, "lanczos")
    mask = sizes.resize_any(ramp(20, 10, 1)[..., 0], told, "lanczos")

    assert picture.shape == (1, size[1], size[0], 3)
    assert mask.shape == (1, size[1], size[0])


def test_a_grey_picture_by_lanczos_comes_out_on_its_side() -> None:
    """It has no channel either, as in ComfyUI since 0.10; other methods and masks keep what they have."""
    told = {"resize_type": "scale by multiplier", "multiplier": 0.5}
    grey = ramp(20, 10, 1)

    mask = sizes.resize_any(grey[..., 0], told, "lanczos")

    assert np.array_equal(sizes.resize_any(grey, told, "lanczos"), mask.swapaxes(1, 2))
    assert sizes.resize_any(grey, told, "bilinear").shape == (1, 5, 10, 1)
    for scaled in (
        scaling.image_scale(grey, "lanczos", 10, 5, "disabled"),
        scaling.image_scale_by(grey, "lanczos", 0.5),
    ):
        assert np.array_equal(scaled, mask.swapaxes(1, 2))


def layer(make: N, number: int, **options: Any) -> Any:
    """A layer of a plain picture."""
    return make("AddLayer", image=[str(number), 0], **options)


async def test_a_saved_composition_is_replayed_for_the_same_layers_only(launch: N, make: N, make_image: N) -> None:
    """The editor's composition applies as long as the fingerprints are those of the layers; else it is called stale."""
    graph = {
        "1": make_image(0xFF0000, 8, 6),
        "2": make_image(0x00FF00, 4, 4),
        "3": layer(make, 1),
        "4": layer(make, 2, layers=["3", 0], x=2),
        "5": make("ImageCompositor", layers=["4", 0], compositor={}),
    }
    place = {"x": 1, "y": 0, "w": 2, "h": 1}
    state = {"canvas": {"w": 3, "h": 2}, "layers": [{"visible": False}, {"transform": place}]}

    async with launch() as emulator:
        _, first = await emulator.run(graph)
        state["inputs"] = first["outputs"]["5"]["compositor_inputs"]
        graph["5"]["inputs"]["compositor"] = state
        _, same = await emulator.run(graph)
        graph["4"]["inputs"]["x"] = 3
        _, moved = await emulator.run(graph)
        shown = [await picture(emulator, record["outputs"]["5"]["images"][0]) for record in (first, same, moved)]

    assert [image.size for image in shown] == [(8, 6), (3, 2), (8, 6)]
    empty, green = (0, 0, 0, 0), (0, 254, 0, 255)
    assert [shown[1].getpixel(spot) for spot in ((0, 0), (1, 0), (2, 1))] == [empty, green, empty]
    stale = [record["outputs"]["5"].get("compositor_state_stale") for record in (first, same, moved)]
    assert stale == [None, None, [True]]


async def picture(emulator: N, reference: dict[str, str]) -> Image.Image:
    """A picture that a run named."""
    async with emulator.http.get("/view", params=reference) as answer:
        return Image.open(io.BytesIO(await answer.read()))


async def test_savers_pass_their_input_on(emulator: N, make: N, make_image: N) -> None:
    """What is saved or shown can go on to further nodes (since ComfyUI 0.26)."""
    graph = {"1": make_image(0x102030), "2": make("SaveImage", images=["1", 0], filename_prefix="a")}
    graph["3"] = make("PreviewImage", images=["2", 0])
    graph["4"] = make("GetImageSize", image=["3", 0])
    graph["5"] = make("PreviewAny", source=["4", 0])

    _, record = await emulator.run(graph)

    assert record["outputs"]["5"]["text"] == ["4"]


async def test_a_painting_is_read_again_once_it_changed(emulator: N, make: N) -> None:
    """The painter is not cached beyond a change of its file."""
    painter = make("Painter", mask="p.png", width=64, height=64, bg_color="#000000")
    graph = {"1": painter, "2": make("SaveImage", images=["1", 0], filename_prefix="a")}

    colours_seen = []
    for ink in ((255, 0, 0, 255), (0, 0, 255, 255)):
        Image.new("RGBA", (64, 64), ink).save(emulator.base / "input" / "p.png")
        _, record = await emulator.run(graph)
        colours_seen.append((await picture(emulator, record["outputs"]["2"]["images"][0])).getpixel((0, 0)))

    assert colours_seen == [(255, 0, 0), (0, 0, 255)]


async def test_compared_pictures_have_lists_of_their_own(emulator: N, make: N, make_image: N) -> None:
    """Each side is saved in the temporary folder, under a name of its own; a missing side is an empty list."""
    view = {"__value__": ["", ""]}
    compare = make("ImageCompare", image_a=["1", 0], compare_view=view)

    _, record = await emulator.run({"1": make_image(batch=2), "2": compare})

    shown = record["outputs"]["2"]
    assert shown["b_images"] == []
    names = [entry["filename"] for entry in shown["a_images"]]
    assert [name[:22] for name in names] == ["comfy.compare.a_temp_" + names[0][21]] * 2
    assert [name[-10:] for name in names] == ["00001_.png", "00002_.png"]


def test_exr_holds_light_in_rows() -> None:
    """FFmpeg reads the file: linear values, with the metadata as attributes."""
    image = ramp(5, 3, 4)[0]

    data = exports.exr_bytes(image, "sRGB", {"prompt": {"a": 1}})

    with av.open(io.BytesIO(data), format="exr_pipe") as container:
        light = next(container.decode(video=0)).to_ndarray(format="gbrapf32le")
    assert np.allclose(light[..., 3], image[..., 3])
    levels = image[..., :3].astype(np.float64)
    expected = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    assert np.allclose(light[..., :3], expected, atol=1e-6)
    assert b'prompt\0string\0\x08\0\0\0{"a": 1}' in data


@pytest.mark.parametrize("bits", [8, 16])
def test_png_of_either_depth(bits: int) -> None:
    """Levels are truncated, not rounded; metadata comes as in other savers' files."""
    image = ramp(5, 3, 1)[0]

    with Image.open(io.BytesIO(exports.png_bytes(image, bits, {"prompt": [1]}))) as opened:
        levels, told = np.asarray(opened), opened.text  # type: ignore[attr-defined]

    highest = 2**bits - 1
    assert levels.tolist() == (image[..., 0] * np.float32(highest)).astype(int).tolist()
    assert told == {"prompt": "[1]"}


async def test_advanced_names_have_no_last_underscore(emulator: N, make: N, make_image: N) -> None:
    """They share their counter with the other savers' names."""
    advanced = {"format": "png", "format.bit_depth": "16-bit", "format.input_color_space": "sRGB"}
    graph = {"1": make_image(batch=2), "2": make("SaveImage", images=["1", 0], filename_prefix="a")}
    graph["3"] = make("SaveImageAdvanced", images=["2", 0], filename_prefix="a", **advanced)

    _, record = await emulator.run(graph)

    assert [entry["filename"] for entry in record["outputs"]["3"]["images"]] == ["a_00003.png", "a_00004.png"]


def test_a_curve_never_leaves_its_points() -> None:
    """Cubic parts do not run beyond the points; outside of them the curve is level."""
    points = [(0.2, 0.1), (0.4, 0.9), (0.5, 0.9), (0.9, 0.2)]

    table = curves.curve_of({"points": points}).to_lut(101)

    assert (table[:21] == 0.1).all()
    assert (table[90:] == 0.2).all()
    assert table.max() == pytest.approx(0.9)
    assert (np.diff(table[20:41]) >= 0).all()
    assert (np.diff(table[50:91]) <= 0).all()


def test_straight_curves_and_bare_points() -> None:
    """A linear curve has straight parts, bare points make a cubic one, and a curve stays itself."""
    straight = curves.curve_of({"points": [[1, 1], [0, 0]], "interpolation": "linear"})

    assert straight.interp(0.25) == 0.25
    assert straight.points == [(0.0, 0.0), (1.0, 1.0)]
    assert isinstance(curves.curve_of([[0, 0], [1, 1]]), curves.MonotoneCurve)
    assert curves.curve_of(straight) is straight
    assert curves.curve_of({"points": []}).interp(0.5) == 0


@pytest.mark.parametrize("method", ["reinhard_lab", "mkl_lab", "histogram"])
def test_flat_pictures_take_the_other_colour(method: str) -> None:
    """A plain picture becomes the plain reference."""
    target, reference = np.zeros((2, 4, 4, 3), np.float32), np.zeros((1, 5, 3, 3), np.float32)
    target[:], reference[:] = (0.2, 0.4, 0.6), (0.8, 0.6, 0.4)

    result = colours.transfer_colors(target, reference, method, {"source_stats": "per_frame"})

    assert np.allclose(result, reference[:, :1, :1], atol=1 / 255)


BOXES = [{"x": 10, "y": 20, "width": 30, "height": 40}]
OTHERS = [{"x": 1, "y": 2, "width": 3, "height": 4}]


@pytest.mark.parametrize(
    ("state", "arrives", "last", "chosen"),
    [
        (OTHERS, None, [], OTHERS),
        (OTHERS, BOXES, [], BOXES),
        (OTHERS, BOXES, BOXES, OTHERS),
        (OTHERS, [], BOXES, OTHERS),
        ([], json.dumps(BOXES), None, BOXES),
    ],
)
def test_the_editor_keeps_its_boxes_until_others_arrive(state: Any, arrives: Any, last: Any, chosen: Any) -> None:
    """Boxes that the editor was begun with already do not undo what was drawn since."""
    done = boxes.create_boxes(100, 100, state, last, None, arrives)

    assert done["result"][1] == [chosen]
    assert done["ui"].get("input_bboxes") == (BOXES if arrives else None)


def test_elements_of_a_prompt() -> None:
    """Places are thousandths from the top; at most five colours, in capitals; only texts have a text."""
    known = {"type": "text", "text": "Hi", "desc": "d", "palette": ["#abcdef", "", *["#000000"] * 9]}
    state = [
        {"x": 10, "y": 20, "width": 30, "height": 40, "metadata": known},
        {"x": -10, "y": 90, "width": 5, "height": 900},
    ]

    first, second = boxes.create_boxes(100, 100, state)["result"][2]

    colors = ["#ABCDEF", *["#000000"] * 4]
    assert first == {"type": "text", "bbox": [200, 100, 600, 400], "text": "Hi", "desc": "d", "color_palette": colors}
    assert second == {"type": "obj", "bbox": [900, 0, 1000, 0], "desc": ""}


def test_an_inverted_mask_is_seen_as_one() -> None:
    """If the border is covered and the middle is not, the middle is what is cut out."""
    picture = np.zeros((1, 20, 20, 3), np.float32)
    picture[:, 6:14, 6:14] = 1
    mask = np.ones((1, 20, 20), np.float32)
    mask[:, 6:14, 6:14] = 0

    results = [crops.crop_to_mask(picture, one, 64, 64, 1.0, 0, "#0000ff") for one in (mask, 1 - mask)]

    assert np.array_equal(*results)
    assert results[0][0, 32, 32].tolist() == [1, 1, 1]


def test_boxes_outside_fall_back_to_a_square() -> None:
    """A box without any pixel is replaced; a batch without boxes stays as it is."""
    picture = ramp(40, 20)

    assert crops.crop_by_boxes(picture, [{}, {}][:0], 64, 64, 0, "stretch") is picture
    result = crops.crop_by_boxes(picture, [[{"x": 90, "y": 0, "width": 5, "height": 5}]], 64, 64, 0, "stretch")
    assert result[0, 0, 0, 0] == picture[0, 2, 17, 0]


def test_png_is_sound() -> None:
    """Every chunk has its checksum."""
    data, place = exports.png_bytes(ramp(3, 2)[0], 16, {})[8:], 0
    kinds = []
    while place < len(data):
        length = int.from_bytes(data[place : place + 4])
        body = data[place + 4 : place + 8 + length]
        kinds.append(body[:4])
        assert zlib.crc32(body) == int.from_bytes(data[place + 8 + length : place + 12 + length])
        place += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]


def grey(path: Any, size: int) -> None:
    """A grey picture of two levels."""
    levels = np.full((size, size), 255, np.uint8)
    levels[0] = 3
    Image.fromarray(levels).save(path)


def test_grey_pictures_lose_a_level_in_ffmpeg(tmp_path: N) -> None:
    """The highest grey is 256 x 255 / 65535, as in ComfyUI since 0.21; a mask of full size comes with a palette."""
    grey(tmp_path / "grey.png", 32)
    Image.new("P", (3, 2), 1).save(tmp_path / "palette.png")

    images, alpha = decoding.decoded(tmp_path / "grey.png")
    _, opaque = decoding.decoded(tmp_path / "palette.png")

    assert alpha is None
    assert images[0, :2, 0, 0] == pytest.approx([256 * 3 / 65535, 256 * 255 / 65535], abs=1e-6)
    assert opaque is not None
    assert opaque.tolist() == [[[1.0] * 3] * 2]


def test_small_grey_pictures_fail_in_ffmpeg(tmp_path: N) -> None:
    """A picture that FFmpeg has to convert, under 16 pixels, cannot be loaded, as in ComfyUI since 0.21."""
    grey(tmp_path / "grey.png", 15)

    with pytest.raises(av.error.ArgumentError):
        decoding.decoded(tmp_path / "grey.png")


def test_without_pyav_levels_stay(tmp_path: N, monkeypatch: pytest.MonkeyPatch) -> None:
    """What FFmpeg would change keeps its levels where PyAV is not installed, and what it would not read is read."""
    monkeypatch.setitem(sys.modules, "av", None)
    grey(tmp_path / "grey.png", 15)
    Image.fromarray(np.full((2, 2), 1000, np.uint16)).save(tmp_path / "deep.png")

    images, alpha = decoding.decoded(tmp_path / "grey.png")
    deep, _ = decoding.decoded(tmp_path / "deep.png")

    assert (images[0, 0, 0, 0], images[0, 1, 0, 0]) == (np.float32(3 / 255), 1)
    assert alpha is None
    assert deep[0, 0, 0] == pytest.approx([1000 / 65535] * 3)


def test_a_grey_picture_by_lanczos_is_turned() -> None:
    """ComfyUI takes its sides for others, and drops its channel; other methods keep both."""
    grey = ramp(6, 4, 1)

    turned = scaling.image_scale(grey, "lanczos", 12, 8, "disabled")
    kept = scaling.image_scale(grey, "area", 12, 8, "disabled")

    assert (turned.shape, kept.shape) == ((len(grey), 12, 8), (len(grey), 8, 12, 1))
    assert scaling.flux_kontext_image_scale(grey).ndim == 3
    assert scaling.flux_kontext_image_scale(ramp(6, 4, 3)).ndim == 4
