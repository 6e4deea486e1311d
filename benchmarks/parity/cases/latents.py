"""Cases of latents: two loaded ones, every way to change them, and empty ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from benchmarks.parity.building import Case, case, made, ramp

METHODS = ("nearest-exact", "bilinear", "area", "bicubic")
ONE = made("LoadLatent", latent="p_one.latent")
TWO = made("LoadLatent", latent="p_two.latent")


def cases() -> Iterator[Case]:
    """All of them."""
    yield from scaled()
    yield from composed()
    yield from moved()
    yield from calculated()
    yield from empty()


def latent(node: str, label: object, **inputs: Any) -> Case:
    """A case whose first output is saved as a latent."""
    return case(node, label, ("latent",), **inputs)


def scaled() -> Iterator[Case]:
    """Other sizes, parts of batches."""
    sizes = ((128, 64), (0, 200), (80, 300))
    for method, (width, height), crop in itertools.product(METHODS, sizes, ("disabled", "center")):
        options: dict[str, Any] = {"upscale_method": method, "width": width, "height": height, "crop": crop}
        yield latent("LatentUpscale", options, samples=ONE, **options)
    for method in METHODS:
        yield latent("LatentUpscaleBy", method, samples=ONE, upscale_method=method, scale_by=1.7)
    for index, length in ((0, 1), (1, 9)):
        yield latent("LatentFromBatch", index, samples=ONE, batch_index=index, length=length)
    yield latent("RepeatLatentBatch", 3, samples=ONE, amount=3)


def composed() -> Iterator[Case]:
    """Two in one."""
    for x, y, feather in ((0, 0, 0), (16, 40, 0), (16, 40, 24), (400, 0, 16)):
        label = f"{x},{y} {feather}"
        place = {"x": x, "y": y}
        yield latent("LatentComposite", label, samples_to=ONE, samples_from=TWO, feather=feather, **place)
        pair: dict[str, Any] = {"destination": ONE, "source": TWO} | place
        yield latent("LatentCompositeMasked", label, resize_source=False, mask=ramp(), **pair)
        yield latent("LatentCompositeMasked", f"{label} resized", resize_source=True, **pair)
    yield latent("LatentBlend", 0.3, samples1=ONE, samples2=TWO, blend_factor=0.3)


def moved() -> Iterator[Case]:
    """Turns, mirrors, parts."""
    for rotation in ("none", "90 degrees", "180 degrees", "270 degrees"):
        yield latent("LatentRotate", rotation, samples=ONE, rotation=rotation)
    for flip in ("x-axis: vertically", "y-axis: horizontally"):
        yield latent("LatentFlip", flip, samples=ONE, flip_method=flip)
    for x, y in ((0, 0), (64, 500)):
        yield latent("LatentCrop", f"{x},{y}", samples=ONE, width=64, height=64, x=x, y=y)
    for dim in ("x", "-x", "y", "-y"):
        yield latent("LatentConcat", dim, samples1=ONE, samples2=ONE, dim=dim)
    for dim, index, amount in (("x", 0, 2), ("y", -3, 2), ("y", 99, 5), ("x", -99, 4)):
        yield latent("LatentCut", f"{dim} {index} {amount}", samples=ONE, dim=dim, index=index, amount=amount)


def calculated() -> Iterator[Case]:
    """Arithmetic."""
    for node in ("LatentAdd", "LatentSubtract", "LatentBatch"):
        yield latent(node, "", samples1=ONE, samples2=TWO)
    yield latent("LatentMultiply", -1.3, samples=ONE, multiplier=-1.3)
    yield latent("LatentInterpolate", 0.3, samples1=ONE, samples2=ONE, ratio=0.3)


def empty() -> Iterator[Case]:
    """Empty ones for every kind of model."""
    square = {"width": 256, "height": 192, "batch_size": 2}
    kinds: dict[str, dict[str, Any]] = {
        "EmptyLatentImage": square,
        "EmptySD3LatentImage": square,
        "EmptyChromaRadianceLatentImage": square,
        "EmptyHunyuanImageLatent": square,
        "EmptyHunyuanLatentVideo": square | {"length": 25},
        "EmptyMochiLatentVideo": square | {"length": 25},
        "EmptyLTXVLatentVideo": square | {"length": 97},
        "EmptyCosmosLatentVideo": square | {"length": 121},
        "EmptyLatentAudio": {"seconds": 7.3, "batch_size": 1},
        "EmptyAceStepLatentAudio": {"seconds": 7.3, "batch_size": 1},
        "EmptyLatentHunyuan3Dv2": {"resolution": 77, "batch_size": 1},
    }
    for node, inputs in kinds.items():
        yield latent(node, "", **inputs)
    cascade = {"width": 512, "height": 512, "batch_size": 2, "compression": 42}
    yield case("StableCascade_EmptyLatentImage", "", ("latent", "latent"), **cascade)
