"""Cases of nodes that bring pictures and masks to one size, put them into a batch, or cut them into tiles."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from benchmarks.parity.building import Case, Source, case, load, made, ramp
from benchmarks.parity.cases.images import METHODS, TWO

SIZES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("scale dimensions", {"width": 20, "height": 30, "crop": "center"}),
    ("scale dimensions", {"width": 31, "height": 0, "crop": "disabled"}),
    ("scale dimensions", {"width": 0, "height": 29, "crop": "center"}),
    ("scale dimensions", {"width": 0, "height": 0, "crop": "center"}),
    ("scale by multiplier", {"multiplier": 1.7}),
    ("scale longer dimension", {"longer_size": 77}),
    ("scale shorter dimension", {"shorter_size": 13}),
    ("scale width", {"width": 9}),
    ("scale height", {"height": 9}),
    ("scale total pixels", {"megapixels": 0.01}),
    ("scale to multiple", {"multiple": 1}),
    ("scale to multiple", {"multiple": 7}),
    ("scale to multiple", {"multiple": 16}),
    ("scale to multiple", {"multiple": 99}),
)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from resized()
    yield from batches()
    yield from tiles()


def resized() -> Iterator[Case]:
    """Every rule, for pictures and masks."""
    kinds = [("image", name, load(name)) for name in (*TWO, "p_alpha.png")] + [("mask", "ramp", ramp())]
    for (end, name, source), (rule, given), method in itertools.product(kinds, SIZES, METHODS):
        label = f"{name} {rule} {list(given.values())} {method}"
        yield resize(label, "mask" if end == "mask" else "image", source, rule, given, method)
    for matched in (load("p_noisy.png"), ramp(33, 17)):
        for crop, (end, _, source) in itertools.product(("disabled", "center"), kinds[2:]):
            kind = "mask" if end == "mask" else "image"
            yield resize(f"match {crop}", kind, source, "match size", {"match": matched, "crop": crop}, "area")


def resize(label: str, end: Any, source: Source, rule: str, given: dict[str, Any], method: str) -> Case:
    """One case of the node for all of them."""
    inputs = {f"resize_type.{name}": value for name, value in given.items()}
    return case("ResizeImageMaskNode", label, (end,), input=source, resize_type=rule, scale_method=method, **inputs)


def batches() -> Iterator[Case]:
    """Several of one kind."""
    names = ("p_smooth.png", "p_alpha.png", "p_anim.png")
    for several in (names[:1], names[:2], names[1:], names[::-1]):
        images = {f"images.image{k}": load(name) for k, name in enumerate(several)}
        yield case("BatchImagesNode", several, **images)
        masks = {f"masks.mask{k}": load(name, 1) for k, name in enumerate(several)}
        yield case("BatchMasksNode", several, ("mask",), **masks)


def tiles() -> Iterator[Case]:
    """A picture in pieces, and whole again."""
    large = made(
        "ImageScale", image=load("p_smooth.png"), upscale_method="bilinear", width=150, height=131, crop="disabled"
    )
    for (width, height), overlap in itertools.product(((64, 64), (100, 70), (512, 512)), (0, 17, 300)):
        options = {"tile_width": width, "tile_height": height, "overlap": overlap}
        label = f"{width}x{height} {overlap}"
        yield case("SplitImageToTileList", label, image=large, **options)
        for final in ((150, 131), (140, 160)):
            pieces = made("SplitImageToTileList", image=large, **options)
            given = {"image_list": pieces, "final_width": final[0], "final_height": final[1], "overlap": overlap}
            yield case("ImageMergeTileList", f"{label} {final}", **given)
