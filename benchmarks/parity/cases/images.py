"""Cases of nodes that load, make or reshape one picture."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from benchmarks.parity.building import Case, case, load, made
from benchmarks.parity.samples import animated, pictures, special, turned

METHODS = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos")
TWO = ("p_smooth.png", "p_noisy.png")


def cases() -> Iterator[Case]:
    """All of them."""
    yield from made_and_loaded()
    yield from grey()
    for name in TWO:
        yield case("ImageInvert", name, image=load(name))
        yield from scaled(name)
        yield from padded(name)
        yield from moved(name)
    yield from grey()


def made_and_loaded() -> Iterator[Case]:
    """Where pictures come from."""
    for color in (0, 0xFFFFFF, 0x123456, 0xFE8001):
        yield case("EmptyImage", hex(color), width=9, height=5, batch_size=2, color=color)
    for name in pictures() | turned() | animated() | special():
        yield case("LoadImage", name, ends=("image", "mask"), image=name)
        for channel in ("alpha", "red", "green", "blue"):
            yield case("LoadImageMask", f"{name} {channel}", ends=("mask",), image=name, channel=channel)


def scaled(name: str) -> Iterator[Case]:
    """Every way to another size."""
    sizes = [(20, 30), (106, 74), (53, 37), (7, 90), (0, 31), (29, 0), (0, 0), (1, 1)]
    for method, (width, height), crop in itertools.product(METHODS, sizes, ("disabled", "center")):
        options = {"upscale_method": method, "width": width, "height": height, "crop": crop}
        yield case("ImageScale", f"{name} {method} {width}x{height} {crop}", image=load(name), **options)
    for method, factor in itertools.product(METHODS, (0.3, 1.7, 0.01)):
        yield case("ImageScaleBy", f"{method} {factor}", image=load(name), upscale_method=method, scale_by=factor)
    for method in METHODS:
        for steps in (1, 16):
            given = {"image": load(name), "megapixels": 0.01, "resolution_steps": steps}
            yield case("ImageScaleToTotalPixels", f"{method} {steps}", upscale_method=method, **given)
        yield case("ImageScaleToMaxDimension", method, image=load(name), upscale_method=method, largest_size=77)
    yield case("FluxKontextImageScale", name, image=load(name))


def grey() -> Iterator[Case]:
    """Pictures of one channel, to other sizes."""
    for method, shape in itertools.product(METHODS, ("1,6,8,1", "2,6,8,1")):
        given = {"image": made("ParityShaped", shape=shape), "upscale_method": method}
        yield case("ImageScale", f"{shape} {method}", width=20, height=10, crop="center", **given)
        yield case("ImageScaleBy", f"{shape} {method}", scale_by=2.5, **given)
        yield case("ImageScaleToTotalPixels", f"{shape} {method}", megapixels=0.01, resolution_steps=1, **given)
        yield case("ImageScaleToMaxDimension", f"{shape} {method}", largest_size=30, **given)
    yield case("FluxKontextImageScale", "one channel", image=made("ParityShaped", shape="1,6,8,1"))


def padded(name: str) -> Iterator[Case]:
    """Borders."""
    for method, color, width, height in itertools.product(METHODS, ("white", "black"), (64, 31), (64, 33)):
        options = {"target_width": width, "target_height": height, "padding_color": color, "interpolation": method}
        yield case("ResizeAndPadImage", f"{method} {color}", image=load(name), **options)
    for edges, feathering in itertools.product(((8, 0, 0, 0), (8, 16, 24, 32), (0, 0, 0, 8), (0,) * 4), (0, 7, 40)):
        sides = dict(zip(("left", "top", "right", "bottom"), edges, strict=True))
        label = f"{edges} {feathering}"
        yield case("ImagePadForOutpaint", label, ("image", "mask"), image=load(name), feathering=feathering, **sides)


def moved(name: str) -> Iterator[Case]:
    """Parts, mirrors and turns."""
    for x, y, width, height in ((0, 0, 10, 10), (20, 5, 500, 8), (900, 900, 3, 3), (52, 36, 9, 9)):
        yield case("ImageCrop", f"{x},{y}", image=load(name), width=width, height=height, x=x, y=y)
    for flip in ("x-axis: vertically", "y-axis: horizontally"):
        yield case("ImageFlip", flip, image=load(name), flip_method=flip)
    for rotation in ("none", "90 degrees", "180 degrees", "270 degrees"):
        yield case("ImageRotate", rotation, image=load(name), rotation=rotation)
