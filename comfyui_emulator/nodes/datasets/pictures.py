"""Nodes that change pictures of a dataset one by one, or put lists of them into another order or form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import SEED_MAX, Entry, Image, integer, link, node, number, text
from comfyui_emulator.nodes.images.resample import from_bytes, to_bytes
from comfyui_emulator.nodes.wording import joined

_IMAGES: dict[str, Entry] = {"images": link("IMAGE")}
_DATASET: dict[str, Any] = {
    "module": "comfy_extras.nodes_dataset",
    "names": "images",
    "v3": True,
    "EXPERIMENTAL": True,
    "touches": {"images": "shape"},
}
_LIST: dict[str, Any] = _DATASET | {"category": "image/batch", "INPUT_IS_LIST": True, "touches": {}}
SEED = integer(0, 0, SEED_MAX)


def pillow(image: Image) -> Any:
    """A picture for Pillow, of a batch of one."""
    from PIL import Image as Pillow

    return Pillow.fromarray(to_bytes(image[0] if image.ndim == 4 and image.shape[0] == 1 else image))


def array(picture: Any) -> Image:
    """A batch of one, of Pillow's picture."""
    return from_bytes(np.array(picture))[None]


def _each(images: Image, change: Callable[[Any], Any]) -> Image:
    """Every picture of a batch, changed by Pillow."""
    if images.shape[0] <= 1:
        return array(change(pillow(images)))
    return joined([array(change(pillow(images[index : index + 1]))) for index in range(images.shape[0])])


def _resized(picture: Any, edge: int, *, longer: bool) -> Any:
    from PIL import Image as Pillow

    width, height = picture.size
    wide = width > height if longer else width < height
    size = (edge, int(height * (edge / width))) if wide else (int(width * (edge / height)), edge)
    return picture.resize(size, Pillow.Resampling.LANCZOS)


@node(
    "ResizeImagesByShorterEdge",
    _IMAGES | {"shorter_edge": integer(512, 1, 8192)},
    "IMAGE",
    title="Resize Images by Shorter Edge (DEPRECATED)",
    category="image/transform",
    DEPRECATED=True,
    **_DATASET,
)
def by_shorter_edge(images: Image, shorter_edge: int) -> Image:
    """Resize so that the shorter side has this length."""
    return _each(images, lambda picture: _resized(picture, shorter_edge, longer=False))


@node(
    "ResizeImagesByLongerEdge",
    _IMAGES | {"longer_edge": integer(1024, 1, 8192)},
    "IMAGE",
    title="Resize Images by Longer Edge (DEPRECATED)",
    category="image/transform",
    DEPRECATED=True,
    **_DATASET,
)
def by_longer_edge(images: Image, longer_edge: int) -> Image:
    """Resize so that the longer side has this length."""
    if not images.shape[0]:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    return _each(images, lambda picture: _resized(picture, longer_edge, longer=True))


_SIZE = {"width": integer(512, 1, 8192), "height": integer(512, 1, 8192)}


def _cut(picture: Any, left: int, top: int, width: int, height: int) -> Any:
    return picture.crop((left, top, min(picture.width, left + width), min(picture.height, top + height)))


@node(
    "CenterCropImages",
    _IMAGES | _SIZE,
    "IMAGE",
    title="Crop Image (Center)",
    category="image/transform",
    **_DATASET,
)
def center_crop(images: Image, width: int, height: int) -> Image:
    """The middle of each picture, which may be smaller than asked."""

    def cut(picture: Any) -> Any:
        left, top = max(0, (picture.width - width) // 2), max(0, (picture.height - height) // 2)
        return _cut(picture, left, top, width, height)

    return _each(images, cut)


def generator(seed: int) -> np.random.RandomState:
    """numpy's older generator of random numbers, as ComfyUI seeds it."""
    return np.random.RandomState(seed % (2**32 - 1))


@node(
    "RandomCropImages",
    _IMAGES | _SIZE | {"seed": SEED},
    "IMAGE",
    title="Crop Image (Random)",
    category="image/transform",
    **_DATASET,
)
def random_crop(images: Image, width: int, height: int, seed: int) -> Image:
    """A part of each picture; of a batch, the same part."""

    def cut(picture: Any) -> Any:
        random = generator(seed)
        rooms = (picture.width - width, picture.height - height)
        left, top = (random.randint(0, room + 1) if room > 0 else 0 for room in rooms)
        return _cut(picture, left, top, width, height)

    return _each(images, cut)


@node(
    "NormalizeImages",
    _IMAGES | {"mean": number(0.5, 0.0, 1.0, advanced=True), "std": number(0.5, 0.001, 1.0, advanced=True)},
    "IMAGE",
    title="Normalize Image Colors",
    category="image/color",
    **_DATASET,
)
def normalize(images: Image, mean: float, std: float) -> Image:
    """Shift by the mean and divide by the deviation; the result may be below 0 and above 1."""
    return (images - np.float32(mean)) / np.float32(std)


_FACTOR = {"factor": number(1.0, 0.0, 2.0)}


@node(
    "AdjustBrightness",
    _IMAGES | _FACTOR,
    "IMAGE",
    title="Adjust Brightness",
    category="image/adjustments",
    **_DATASET,
)
def brightness(images: Image, factor: float) -> Image:
    """Make pictures darker or brighter."""
    return (images * np.float32(factor)).clip(0, 1)


@node(
    "AdjustContrast",
    _IMAGES | _FACTOR,
    "IMAGE",
    title="Adjust Contrast",
    category="image/adjustments",
    **_DATASET,
)
def contrast(images: Image, factor: float) -> Image:
    """Move levels away from the middle grey, or towards it."""
    half = np.float32(0.5)
    return ((images - half) * np.float32(factor) + half).clip(0, 1)


def _singles(images: Sequence[Image]) -> list[Image]:
    """All pictures of a list of batches."""
    found: list[Image] = []
    for item in images:
        if not isinstance(item, np.ndarray) or item.ndim != 4:
            shape = tuple(item.shape) if hasattr(item, "shape") else None
            kind = "Tensor" if isinstance(item, np.ndarray) else type(item).__name__
            shown = f"torch.Size({list(shape)})" if shape is not None else None
            raise ValueError(f"Expected 4D image tensor, got {kind} shape {shown}")
        found += [item[index : index + 1] for index in range(item.shape[0])]
    return found


def order(count: int, seed: int) -> list[int]:
    """The numbers below ``count``, shuffled."""
    return [int(index) for index in generator(seed).permutation(count)]


@node("ShuffleDataset", _IMAGES | {"seed": SEED}, "IMAGE", lists=[True], title="Shuffle Images List", **_LIST)
def shuffle(images: Sequence[Image], seed: Sequence[int]) -> tuple[list[Image]]:
    """All pictures in another order."""
    singles = _singles(images)
    return ([singles[index] for index in order(len(singles), seed[0])],)


@node(
    "ShuffleImageTextDataset",
    _IMAGES | {"texts": text(forceInput=True, multiline=False), "seed": SEED},
    "IMAGE STRING",
    lists=[True, True],
    title="Shuffle Pairs of Image-Text",
    **(_LIST | {"names": "images texts"}),
)
def shuffle_pairs(images: Sequence[Image], texts: Sequence[str], seed: Sequence[int]) -> tuple[list[Image], list[str]]:
    """Pictures and their texts in another order."""
    places = order(len(images), seed[0])
    return [images[index] for index in places], [texts[index] for index in places]


def _fingerprint(image: Image) -> list[bool]:
    from PIL import Image as Pillow

    small = pillow(image).resize((8, 8), Pillow.Resampling.LANCZOS).convert("L")
    levels = np.asarray(small).reshape(-1).tolist()
    mean = sum(levels) / len(levels)
    return [level > mean for level in levels]


@node(
    "ImageDeduplication",
    _IMAGES | {"similarity_threshold": number(0.95, 0.0, 1.0, advanced=True)},
    "IMAGE",
    lists=[True],
    title="Deduplicate Images",
    **_LIST,
)
def deduplicate(images: Sequence[Image], similarity_threshold: Sequence[float]) -> tuple[list[Image]]:
    """The pictures that do not look like an earlier one, by which of 64 squares are brighter than the mean."""
    kept: list[tuple[Image, list[bool]]] = []
    for image in _singles(images):
        own = _fingerprint(image)
        alike = (1 - sum(a != b for a, b in zip(own, other, strict=True)) / 64 for _, other in kept)
        if not any(share >= similarity_threshold[0] for share in alike):
            kept.append((image, own))
    return ([image for image, _ in kept],)


@node(
    "ImageGrid",
    _IMAGES
    | {
        "columns": integer(4, 1, 20),
        "cell_width": integer(256, 32, 2048, advanced=True),
        "cell_height": integer(256, 32, 2048, advanced=True),
        "padding": integer(4, 0, 50, advanced=True),
    },
    "IMAGE",
    title="Make Image Grid",
    **_LIST,
)
def grid(images: Sequence[Image], **size: Sequence[int]) -> Image:
    """All pictures stretched into the cells of a table, on black."""
    from PIL import Image as Pillow

    singles = _singles(images)
    if not singles:
        raise ValueError("Cannot create grid from empty image list")
    columns, width, height, gap = (size[key][0] for key in ("columns", "cell_width", "cell_height", "padding"))
    rows = -(-len(singles) // columns)
    table = Pillow.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), (0, 0, 0))
    for index, image in enumerate(singles):
        cell = pillow(image).resize((width, height), Pillow.Resampling.LANCZOS)
        table.paste(cell, (index % columns * (width + gap), index // columns * (height + gap)))
    return array(table)


@node(
    "MergeImageLists",
    _IMAGES,
    "IMAGE",
    lists=[True],
    title="Merge Image Lists (DEPRECATED)",
    DEPRECATED=True,
    **_LIST,
)
def merge(images: Sequence[Image]) -> tuple[list[Image]]:
    """The list, with batches taken apart."""
    return (_singles(images),)
