"""Cases of batches, pairs of pictures, and files that hold several."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from benchmarks.parity.building import Case, case, load, made, ramp

PAIRS = (
    ("p_smooth.png", "p_noisy.png"),
    ("p_noisy.png", "p_smooth.png"),
    ("p_anim.gif", "p_noisy.png"),
    ("p_smooth.png", "p_alpha.png"),
    ("p_alpha.png", "p_smooth.png"),
)
MODES = ("normal", "multiply", "screen", "overlay", "soft_light", "difference")


def cases() -> Iterator[Case]:
    """All of them."""
    for one, two in PAIRS:
        yield case("ImageBatch", f"{one} {two}", image1=load(one), image2=load(two))
        yield from stitched(one, two)
        yield from mixed(one, two)
    yield from batched()
    for name in ("p_anim.gif", "p_smooth.png"):
        yield case("GetImageSize", name, ends=("text", "text", "text"), image=load(name))
        yield case("MaskPreview", name, ends=(), mask=load(name, 1))
        yield from files(name)


def stitched(one: str, two: str) -> Iterator[Case]:
    """Two pictures side by side."""
    for direction, match, spacing, color in itertools.product(
        ("right", "down", "left", "up"), (True, False), (0, 5), ("white", "red")
    ):
        options: dict[str, Any] = {"direction": direction, "match_image_size": match}
        options |= {"spacing_width": spacing, "spacing_color": color}
        label = f"{one} {direction} {match} {spacing} {color}"
        yield case("ImageStitch", label, image1=load(one), image2=load(two), **options)


def mixed(one: str, two: str) -> Iterator[Case]:
    """Two pictures in one."""
    for mode, factor in itertools.product(MODES, (0.5, 1.0, 0.0, 0.33)):
        options: dict[str, Any] = {"blend_factor": factor, "blend_mode": mode}
        yield case("ImageBlend", f"{mode} {factor}", image1=load(one), image2=load(two), **options)
    for x, y, resize, masked in itertools.product((0, 9, 90), (0, 30), (True, False), (True, False)):
        options = {"x": x, "y": y, "resize_source": resize} | ({"mask": ramp(31, 17)} if masked else {})
        label = f"{one} {x},{y} {resize} {masked}"
        yield case("ImageCompositeMasked", label, destination=load(one), source=load(two), **options)


def batched() -> Iterator[Case]:
    """Batches and lists."""
    frames = load("p_anim.gif")
    for amount in (1, 3):
        yield case("RepeatImageBatch", amount, image=frames, amount=amount)
    for index, length in ((0, 1), (1, 5), (9, 1), (-2, 1), (-9, 2)):
        yield case("ImageFromBatch", f"{index} {length}", image=frames, batch_index=index, length=length)
    for size in (1, 2, 5):
        yield case("RebatchImages", size, images=frames, batch_size=size)
        sizes = made("RebatchImages", images=frames, batch_size=size)
        yield case("GetImageSize", f"of lists of {size}", ends=(None, None, "text"), image=sizes)


def files(name: str) -> Iterator[Case]:
    """Files."""
    yield case("SaveImage", name, (), images=load(name), filename_prefix="parity/%width%x%height%_s")
    options: dict[str, Any] = {"filename_prefix": "parity/p", "fps": 6.0}
    yield case("SaveAnimatedPNG", name, (), images=load(name), compress_level=4, **options)
    for lossless, method in itertools.product((True, False), ("default", "fastest", "slowest")):
        how = {"lossless": lossless, "quality": 80, "method": method}
        yield case("SaveAnimatedWEBP", f"{name} {lossless} {method}", (), images=load(name), **options, **how)
