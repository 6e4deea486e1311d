"""Nodes that cut images into overlapping tiles, and put tiles together again (since ComfyUI 0.15)."""

from __future__ import annotations

from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import MAX_SIDE, Image, integer, link, node
from comfyui_emulator.nodes.wording import must_have

_TILES: dict[str, Any] = {"module": "comfy_extras.nodes_images", "category": "image/batch", "v3": True}
_OVERLAP = integer(128, 0, 4096)
_WIDEST = 32768

Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""


def _spans(length: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Starts and ends of the tiles along one side. Steps are at least a quarter tile; the last tile moves inwards."""
    step = round(max(tile * 0.25, tile - overlap))
    spans: list[tuple[int, int]] = []
    start = 0
    while start < length:
        end = min(start + tile, length)
        spans.append((max(0, end - tile), end))
        if end >= length:
            break
        start += step
    return spans


def tile_places(width: int, height: int, tile_width: int, tile_height: int, overlap: int) -> list[Box]:
    """The boxes of all tiles, row by row."""
    columns = _spans(width, tile_width, overlap)
    return [
        (left, top, right, bottom) for top, bottom in _spans(height, tile_height, overlap) for left, right in columns
    ]


@node(
    "SplitImageToTileList",
    {
        "image": link("IMAGE"),
        "tile_width": integer(1024, 64, MAX_SIDE),
        "tile_height": integer(1024, 64, MAX_SIDE),
        "overlap": _OVERLAP,
    },
    "IMAGE",
    lists=(True,),
    title="Split Image into List of Tiles",
    touches={"image": "shape"},
    **_TILES,
)
def split(image: Image, tile_width: int, tile_height: int, overlap: int) -> tuple[list[Image]]:
    """The tiles of the image, as a list."""
    _, height, width, _ = image.shape
    places = tile_places(width, height, tile_width, tile_height, overlap)
    return ([image[:, top:bottom, left:right] for left, top, right, bottom in places],)


@node(
    "ImageMergeTileList",
    {
        "image_list": link("IMAGE"),
        "final_width": integer(1024, 64, _WIDEST),
        "final_height": integer(1024, 64, _WIDEST),
        "overlap": _OVERLAP,
    },
    "IMAGE",
    title="Merge List of Tiles to Image",
    INPUT_IS_LIST=True,
    **_TILES,
)
def merge(image_list: list[Image], final_width: list[int], final_height: list[int], overlap: list[int]) -> Image:
    """Put tiles of one size together. Where they overlap, the middle of a tile weighs more than its edge."""
    must_have(image_list[0], "shape")
    batch, rows, columns, channels = image_list[0].shape
    if 0 in (rows, columns):
        # ComfyUI never ends, and takes ever more memory.
        raise ValueError(f"ImageMergeTileList: the first tile is empty ({columns} x {rows} pixels)")
    height, width = final_height[0], final_width[0]
    total = np.zeros((batch, height, width, channels), dtype=np.float32)
    weights = np.zeros((batch, height, width, 1), dtype=np.float32)
    weight = _weight(rows, columns) if overlap[0] > 0 else np.ones((1, rows, columns, 1), dtype=np.float32)
    places = tile_places(width, height, columns, rows, overlap[0])
    for tile, (left, top, right, bottom) in zip(image_list, places, strict=False):
        bottom, right = min(bottom, top + tile.shape[1]), min(right, left + tile.shape[2])
        part = weight[:, : bottom - top, : right - left]
        total[:, top:bottom, left:right] += tile[:, : bottom - top, : right - left] * part
        weights[:, top:bottom, left:right] += part
    weights[weights == 0] = 1.0
    whole: Image = total / weights
    return whole


def _weight(rows: int, columns: int) -> Image:
    def arch(count: int) -> Image:
        line = np.sin(np.float32(np.pi) * np.linspace(0, 1, count, dtype=np.float32))
        weights: Image = np.maximum(line, np.float32(1e-5))
        return weights

    return (arch(rows)[:, None] * arch(columns)[None])[None, ..., None]
