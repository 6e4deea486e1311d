"""Cases of masks and of alpha channels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from benchmarks.parity.building import Case, case, load, made, ramp

PORTER_DUFF = (
    "ADD CLEAR DARKEN DST DST_ATOP DST_IN DST_OUT DST_OVER LIGHTEN MULTIPLY OVERLAY SCREEN SRC SRC_ATOP SRC_IN SRC_OUT "
    "SRC_OVER XOR"
)
MASK = ("mask",)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from made_masks()
    yield from combined()
    yield from edges()
    yield from converted()
    yield from alpha()


def made_masks() -> Iterator[Case]:
    """Single masks."""
    for value in (0.0, 0.5, 1.0, 0.37):
        yield case("SolidMask", value, MASK, value=value, width=8, height=5)
        yield case("ThresholdMask", value, MASK, mask=ramp(), value=value)
    yield case("InvertMask", "ramp", MASK, mask=ramp())
    for x, y, width, height in ((0, 0, 5, 5), (40, 30, 100, 100), (500, 0, 3, 3)):
        yield case("CropMask", f"{x},{y}", MASK, mask=ramp(), x=x, y=y, width=width, height=height)


def combined() -> Iterator[Case]:
    """Two masks in one."""
    operations = ("multiply", "add", "subtract", "and", "or", "xor")
    for operation, (x, y) in itertools.product(operations, ((0, 0), (20, 9), (99, 99))):
        options: dict[str, Any] = {"x": x, "y": y, "operation": operation}
        options |= {"destination": ramp(), "source": made("InvertMask", mask=ramp(30, 35))}
        yield case("MaskComposite", f"{operation} {x},{y}", MASK, **options)


def edges() -> Iterator[Case]:
    """Softer edges, larger and smaller shapes."""
    solid = made("SolidMask", value=1.0, width=16, height=12)
    for widths in ((4, 0, 0, 0), (0, 0, 4, 0), (3, 5, 7, 9), (100, 100, 100, 100)):
        sides = dict(zip(("left", "top", "right", "bottom"), widths, strict=True))
        yield case("FeatherMask", widths, MASK, mask=solid, **sides)
    noisy = made("ImageToMask", image=load("p_noisy.png"), channel="green")
    for expand, tapered in itertools.product((0, 1, 5, -1, -3, -200), (True, False)):
        yield case("GrowMask", f"{expand} {tapered}", MASK, mask=ramp(), expand=expand, tapered_corners=tapered)
        yield case("GrowMask", f"noisy {expand} {tapered}", MASK, mask=noisy, expand=expand, tapered_corners=tapered)


def converted() -> Iterator[Case]:
    """Between masks and pictures."""
    for channel in ("red", "green", "blue", "alpha"):
        yield case("ImageToMask", channel, MASK, image=load("p_noisy.png"), channel=channel)
    one_color = made("EmptyImage", width=4, height=4, batch_size=1, color=77)
    yield case("ImageColorToMask", "one", MASK, image=one_color, color=77)


def alpha() -> Iterator[Case]:
    """Alpha channels."""
    yield case("JoinImageWithAlpha", "same size", image=load("p_alpha.png"), alpha=load("p_alpha.png", 1))
    joined = {"image": load("p_noisy.png"), "alpha": ramp()}
    yield case("JoinImageWithAlpha", "resized", **joined)
    yield case("JoinImageWithAlpha", "batch", image=load("p_smooth.png"), alpha=load("p_anim.png", 1))
    four = made("JoinImageWithAlpha", **joined)
    yield case("SplitImageWithAlpha", "four channels", ("image", "mask"), image=four)
    for mode, other in itertools.product(PORTER_DUFF.split(), ("p_noisy.png", "p_alpha.png")):
        options: dict[str, Any] = {"source": load("p_alpha.png"), "source_alpha": load("p_alpha.png", 1)}
        options |= {"destination": load(other), "destination_alpha": ramp(), "mode": mode}
        yield case("PorterDuffImageComposite", f"{mode} {other}", ("image", "mask"), **options)
