"""The arithmetic of the nodes: facts measured on ComfyUI, and equality of the definitions with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import saved

from comfyui_emulator import runtime
from comfyui_emulator.nodes import register_all, text
from comfyui_emulator.nodes.images import compositing, edges, filters, masks, scaling
from comfyui_emulator.nodes.images import editing as images
from comfyui_emulator.nodes.images.edges import BaseError
from comfyui_emulator.nodes.images.resample import from_bytes, resize, to_bytes
from comfyui_emulator.registry import Registry

RAMP = from_bytes(np.arange(0, 120, 10, dtype=np.uint8).reshape(1, 3, 4, 1).repeat(3, axis=3))


def plain(value: Any) -> Any:
    """A definition without its tooltips."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key != "tooltip"}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def registry() -> Registry:
    """All built-in nodes."""
    result = Registry()
    register_all(result)
    return result


INTERFACE = (
    *("input", "input_order", "output", "output_is_list", "output_name", "output_matchtypes", "output_node"),
    *("is_input_list", "has_intermediate_output", "display_name", "category", "python_module", "essentials_category"),
    *("deprecated", "experimental", "dev_only", "api_node"),
)


def interface(info: Any) -> dict[str, Any]:
    """What a definition says of a node's inputs, outputs and place; what it does not mention is ``None``."""
    return {field: plain(info.get(field) or None) for field in INTERFACE}


def test_definitions_equal_comfyuis(tmp_path: Path) -> None:
    """Every built-in node has the interface of its namesake in ComfyUI 0.33.0."""
    (tmp_path / "example.png").touch()
    (tmp_path / "3d").mkdir()
    reference = saved.definitions("0.33.0")
    folders = runtime.Folders(tmp_path, tmp_path, tmp_path, tmp_path)
    with runtime.using(runtime.NodeContext(folders)):
        infos = registry().infos()

    ours = {name: interface(info) for name, info in infos.items()}
    assert ours == {name: interface(reference[name]) for name in infos}
    assert len(infos) >= 350


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("nearest-exact", [[10, 30], [90, 110]]),
        ("bilinear", [[15, 35], [75, 95]]),
        ("area", [[25, 45], [65, 85]]),
        ("bicubic", [[11, 33], [76, 98]]),
        ("lanczos", [[16, 36], [74, 94]]),
    ],
)
def test_resampling_of_a_ramp(method: str, expected: list[list[int]]) -> None:
    """Each method gives the levels that ComfyUI gives for a 4 x 3 ramp at 2 x 2."""
    result = to_bytes(resize(RAMP, 2, 2, method))

    assert result[0, :, :, 0].tolist() == expected


def test_unknown_method_and_empty_size_are_errors() -> None:
    """An unknown method, or a side of 0, raises."""
    with pytest.raises(ValueError, match="unknown resampling"):
        resize(RAMP, 2, 2, "zzz")
    with pytest.raises(RuntimeError, match="greater than 0"):
        resize(RAMP, 0, 2, "bilinear")


def test_levels_round_trip_and_inversion_truncates() -> None:
    """All 256 levels survive; inverting them is off by one for 159, as in ComfyUI."""
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)

    inverted = to_bytes(images.image_invert(from_bytes(levels)))

    assert np.array_equal(to_bytes(from_bytes(levels)), levels)
    assert int((inverted != 255 - levels).sum()) == 159
    assert inverted[0, 4, 1, 0] == 189


@pytest.mark.parametrize(("width", "height", "size"), [(0, 6, (8, 6)), (8, 0, (8, 6)), (0, 0, (4, 3)), (5, 7, (5, 7))])
def test_scale_keeps_aspect_for_a_missing_side(width: int, height: int, size: tuple[int, int]) -> None:
    """One side 0 follows the aspect ratio; both 0 change nothing."""
    result = scaling.image_scale(RAMP, "bilinear", width, height, "center")

    assert result.shape == (1, size[1], size[0], 3)


def test_feather_begins_at_the_edge() -> None:
    """The last column is the darkest; before ComfyUI 0.22 it was column 0."""
    mask = np.ones((1, 2, 6), dtype=np.float32)

    result = to_bytes(masks.feather_mask(mask, 0, 0, 4, 0))

    assert result[0, 0].tolist() == [255, 255, 255, 191, 127, 63]


def test_grow_mask_shapes() -> None:
    """Tapered growth is a diamond, the other a square; shrinking undoes it."""
    mask = np.zeros((1, 7, 7), dtype=np.float32)
    mask[0, 3, 3] = 1

    diamond, square = (masks.grow_mask(mask, 2, tapered) for tapered in (True, False))

    assert (int(diamond.sum()), int(square.sum())) == (13, 25)
    assert np.array_equal(masks.grow_mask(square, -2, False), mask)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [("multiply", 0.25), ("add", 1.0), ("subtract", 0.0), ("and", 0.0), ("or", 0.0), ("xor", 0.0)],
)
def test_mask_logic_rounds_half_to_even(operation: str, expected: float) -> None:
    """0.5 counts as 0 for the logical operations."""
    half = np.full((1, 2, 2), 0.5, dtype=np.float32)

    assert masks.mask_composite(half, half, 0, 0, operation).tolist() == [[[expected] * 2] * 2]


def test_crop_is_kept_inside() -> None:
    """A corner outside is moved to the last pixel."""
    assert images.image_crop(RAMP, 9, 9, 900, 900).tolist() == RAMP[:, -1:, -1:].tolist()


def test_outpaint_mask_is_soft_only_towards_padding() -> None:
    """The border is 1, the inside fades with the square of the distance from padded sides only."""
    picture = np.zeros((1, 10, 10, 3), dtype=np.float32)

    padded, mask = images.image_pad_for_outpaint(picture, 2, 0, 0, 0, 4)

    assert padded.shape == (1, 10, 12, 3)
    assert padded[0, 0, 0].tolist() == [0.5] * 3
    assert mask[0, 5].tolist() == [1, 1, 1, 0.5625, 0.25, 0.0625, 0, 0, 0, 0, 0, 0]


def test_stitch_pads_and_spaces() -> None:
    """Unequal heights are centred, the strip is made even, missing alpha is full."""
    left = np.zeros((1, 4, 2, 3), dtype=np.float32)
    right = np.ones((2, 2, 2, 4), dtype=np.float32)

    result = images.image_stitch(left, "right", False, 3, "red", right)

    assert result.shape == (2, 4, 8, 4)
    assert result[0, 0, 2].tolist() == [1, 0, 0, 1]
    assert result[0, 0, 6].tolist() == [0, 0, 0, 0]
    assert result[0, 1, 6].tolist() == [1, 1, 1, 1]


def test_difference_is_not_absolute() -> None:
    """The difference of a darker and a brighter image is black, not the distance."""
    dark, bright = np.full((1, 1, 1, 3), 0.2, np.float32), np.full((1, 1, 1, 3), 0.7, np.float32)

    assert compositing.image_blend(dark, bright, 1.0, "difference").max() == 0


def test_composite_outside_is_a_no_op() -> None:
    """A source beyond the edge changes nothing; inside it goes through the mask."""
    base, over = np.zeros((1, 4, 4, 3), np.float32), np.ones((1, 2, 2, 3), np.float32)
    half = np.full((1, 8, 8), 0.5, np.float32)

    assert compositing.image_composite_masked(base, over, 90, 0, False).max() == 0
    result = compositing.image_composite_masked(base, over, 3, 3, False, half)
    assert (result[0, 3, 3, 0], result[0, 2, 2, 0]) == (0.5, 0)


@pytest.mark.parametrize("mode", ["SRC_OVER", "DST", "XOR", "CLEAR"])
def test_porter_duff_with_opaque_layers(mode: str) -> None:
    """Opaque layers: the source covers, the destination stays, exclusive and clear leave nothing."""
    source, destination = np.full((1, 2, 2, 3), 0.25, np.float32), np.full((1, 2, 2, 3), 0.75, np.float32)
    opaque = np.zeros((1, 2, 2), np.float32)

    picture, mask = compositing.porter_duff(source, opaque, destination, opaque, mode)

    expected = {"SRC_OVER": (0.25, 0), "DST": (0.75, 0), "XOR": (0, 1), "CLEAR": (0, 1)}[mode]
    assert (picture[0, 0, 0, 0], mask[0, 0, 0]) == expected


def test_blur_is_refused_for_a_small_image_and_keeps_flat_ones() -> None:
    """A radius as large as a side raises; a flat image stays as it is."""
    flat = np.full((1, 8, 8, 3), 0.5, np.float32)

    assert np.allclose(filters.image_blur(flat, 3, 1.0), flat)
    assert np.allclose(filters.image_sharpen(flat, 3, 1.0, 1.0), flat, atol=1e-5)
    with pytest.raises(RuntimeError, match="Padding size"):
        filters.image_blur(flat, 8, 1.0)


@pytest.mark.parametrize(
    ("seed", "count", "expected"),
    [
        (0, 16, [-1.1258398, -1.1523602, -0.2505786, -0.4338788]),
        (5, 12, [-0.48678076, -0.6038216, -0.55809623, 0.6675243]),
    ],
)
def test_noise_is_torchs(seed: int, count: int, expected: list[float]) -> None:
    """The generator gives torch's numbers, for large and for small arrays."""
    assert np.allclose(filters.torch_randn(count, seed)[:4], expected, atol=1e-4)


@pytest.mark.parametrize(("operation", "lit"), [("dilate", 9), ("erode", 0), ("close", 1), ("gradient", 9)])
def test_morphology_of_a_point(operation: str, lit: int) -> None:
    """A point grows to the window, vanishes, or survives closing."""
    picture = np.zeros((1, 7, 7, 1), np.float32)
    picture[0, 3, 3] = 1

    assert int(filters.morphology(picture, operation, 3).sum()) == lit


def test_canny_finds_the_edge_of_a_square() -> None:
    """A bright square has a closed outline, and thresholds must be in order."""
    picture = np.zeros((1, 24, 24, 3), np.float32)
    picture[0, 6:18, 6:18] = 1

    found = edges.canny_node(picture, 0.1, 0.2)

    assert set(np.unique(found)) == {0.0, 1.0}
    assert found[0, 12, :12].any()
    assert not found[0, 12, 9:15].any()
    with pytest.raises(BaseError, match="thresholds"):
        edges.canny_node(picture, 0.9, 0.1)


def test_colour_spaces_are_inverse() -> None:
    """To YUV and back gives the same picture."""
    picture = from_bytes(np.random.default_rng(1).integers(0, 256, (1, 5, 5, 3), dtype=np.uint8))

    back = filters.yuv_to_rgb(*filters.rgb_to_yuv(picture))

    assert np.allclose(back, picture, atol=1e-6)


@pytest.mark.parametrize("dither", ["none", "floyd-steinberg", "bayer-4"])
def test_quantize_leaves_few_colours(dither: str) -> None:
    """There are no more colours than requested."""
    picture = from_bytes(np.random.default_rng(1).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8))

    levels = to_bytes(filters.image_quantize(picture, 4, dither)).reshape(-1, 3)

    assert len(np.unique(levels, axis=0)) <= 4


@pytest.mark.parametrize(
    ("mode", "group", "expected"),
    [("First Match", 1, "a1"), ("All Matches", 1, "a\nb"), ("First Group", 2, "1"), ("All Groups", 2, "1\n2")],
)
def test_regex_extract_modes(mode: str, group: int, expected: str) -> None:
    """All modes; with several groups ``All Matches`` gives the first."""
    result = text.regex_extract("a1 b2", r"(\w)(\d)", mode, True, False, False, group)

    assert (result[0] if isinstance(result, tuple) else result) == expected


def test_bad_patterns() -> None:
    """An invalid pattern finds nothing, and replacing with it fails."""
    assert text.regex_match("a", "(", True, False, False) is False
    assert text.regex_extract("a", "(", "First Match", True, False, False, 1) == ""
    with pytest.raises(Exception, match="missing"):
        text.regex_replace("a", "(", "b")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "True"),
        (2.0, "2.0"),
        ("é", "é"),
        (None, "None"),
        ({"é": [1, None]}, '{\n    "é": [\n        1,\n        null\n    ]\n}'),
    ],
)
def test_preview_any_spellings(value: Any, expected: str) -> None:
    """Numbers are shown as Python formats them, strings unchanged, the rest as JSON; the text is returned too."""
    assert text.preview_any(value) == {"ui": {"text": (expected,)}, "result": (expected,)}
