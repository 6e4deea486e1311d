"""Cases of filters."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from benchmarks.parity.building import Case, case, load, made

DITHERS = ("none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16")
OPERATIONS = ("erode", "dilate", "open", "close", "gradient", "bottom_hat", "top_hat")


def cases() -> Iterator[Case]:
    """All of them."""
    for name in ("p_smooth.png", "p_noisy.png"):
        yield from sharpness(name)
        yield from colors(name)
        yield from shapes(name)
    tiny = made("EmptyImage", width=2, height=2, batch_size=1, color=0x808080)
    yield case("ImageAddNoise", "12 values", image=tiny, seed=5, strength=0.2)


def sharpness(name: str) -> Iterator[Case]:
    """Blurs and their opposite."""
    for radius, sigma in itertools.product((1, 3, 10, 31), (0.1, 1.0, 10.0)):
        label = f"{name} {radius} {sigma}"
        yield case("ImageBlur", label, image=load(name), blur_radius=radius, sigma=sigma)
        yield case("ImageSharpen", label, image=load(name), sharpen_radius=radius, sigma=sigma, alpha=0.3)


def colors(name: str) -> Iterator[Case]:
    """Fewer colours, other colours, noise."""
    for dither, count in itertools.product(DITHERS, (2, 7, 256)):
        yield case("ImageQuantize", f"{dither} {count}", image=load(name), colors=count, dither=dither)
    for seed, strength in ((0, 0.5), (1, 1.0), (2**64 - 1, 0.1), (123456789012345, 0.05)):
        yield case("ImageAddNoise", f"{name} {seed}", image=load(name), seed=seed, strength=strength)
    yield case("ImageRGBToYUV", name, ends=("image",) * 3, image=load(name))
    parts = {part: made("ImageRGBToYUV", slot, image=load(name)) for slot, part in enumerate("YUV")}
    yield case("ImageYUVToRGB", name, **parts)


def shapes(name: str) -> Iterator[Case]:
    """Edges and morphology."""
    for operation, size in itertools.product(OPERATIONS, (3, 4, 9)):
        yield case("Morphology", f"{operation} {size}", image=load(name), operation=operation, kernel_size=size)
    for low, high in ((0.4, 0.8), (0.1, 0.2), (0.01, 0.99)):
        yield case("Canny", f"{low} {high}", image=load(name), low_threshold=low, high_threshold=high)
