"""Nodes that make empty latents for every kind of model."""

from __future__ import annotations

from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import integer, node, number, side
from comfyui_emulator.nodes.wording import check_sides

Latent = dict[str, Any]
_CELL = 8
"""Default side of a latent cell in pixels."""

_BATCH = integer(1, 1, 4096)


@node(
    "EmptyLatentImage",
    {"width": side(512, 16, step=8), "height": side(512, 16, step=8), "batch_size": _BATCH},
    "LATENT",
    module="nodes",
    category="latent",
    title="Empty Latent Image",
)
def empty_latent(width: int, height: int, batch_size: int = 1) -> tuple[Latent]:
    """Four channels of zeros."""
    return (_zeros(batch_size, 4, height // _CELL, width // _CELL),)


def _zeros(*shape: int, **more: Any) -> Latent:
    check_sides(*shape)
    return {"samples": np.zeros(shape, dtype=np.float32), **more}


_WIDE = {"width": side(1024, 16, step=16), "height": side(1024, 16, step=16), "batch_size": _BATCH}


@node(
    "EmptySD3LatentImage", _WIDE, "LATENT", module="comfy_extras.nodes_sd3", category="latent/sd3", title=None, v3=True
)
def empty_sd3(width: int, height: int, batch_size: int = 1) -> tuple[Latent]:
    """Sixteen channels of zeros."""
    return (_zeros(batch_size, 16, height // _CELL, width // _CELL),)


@node(
    "EmptyChromaRadianceLatentImage",
    _WIDE,
    "LATENT",
    module="comfy_extras.nodes_chroma_radiance",
    category="latent/chroma_radiance",
    title=None,
    v3=True,
)
def empty_chroma(width: int, height: int, batch_size: int = 1) -> tuple[Latent]:
    """Zeros for a model of pixels: three channels at full size."""
    return (_zeros(batch_size, 3, height, width),)


@node(
    "EmptyHunyuanImageLatent",
    {"width": side(2048, 64, step=32), "height": side(2048, 64, step=32), "batch_size": _BATCH},
    "LATENT",
    module="comfy_extras.nodes_hunyuan",
    category="latent",
)
def empty_hunyuan_image(width: int, height: int, batch_size: int = 1) -> tuple[Latent]:
    """64 channels of zeros in cells of 32 pixels."""
    return (_zeros(batch_size, 64, height // 32, width // 32),)


# name, module, category, newer dialect, (width, height, step, minimum), (frames, minimum, step), channels, cell
_VIDEOS: list[tuple[str, str, str, bool, tuple[int, int, int, int], tuple[int, int, int], int, int]] = [
    ("EmptyHunyuanLatentVideo", "hunyuan", "latent/video", False, (848, 480, 16, 16), (25, 1, 4), 16, 8),
    ("EmptyMochiLatentVideo", "mochi", "latent/video", True, (848, 480, 16, 16), (25, 7, 6), 12, 8),
    ("EmptyLTXVLatentVideo", "lt", "latent/video/ltxv", True, (768, 512, 32, 64), (97, 1, 8), 128, 32),
    ("EmptyCosmosLatentVideo", "cosmos", "latent/video", True, (1280, 704, 16, 16), (121, 1, 8), 16, 8),
]


def _add_video(
    name: str,
    module: str,
    category: str,
    v3: bool,
    frame: tuple[int, int, int, int],
    length: tuple[int, int, int],
    channels: int,
    cell: int,
) -> None:
    steps = length[2]
    inputs = {
        "width": side(frame[0], frame[3], step=frame[2]),
        "height": side(frame[1], frame[3], step=frame[2]),
        "length": side(length[0], length[1], step=steps),
        "batch_size": _BATCH,
    }
    title = None if v3 else ""

    @node(name, inputs, "LATENT", module=f"comfy_extras.nodes_{module}", category=category, title=title, v3=v3)
    def empty(width: int, height: int, length: int, batch_size: int = 1) -> tuple[Latent]:
        """Zeros for a video. The first frame has its own cell, then ``steps`` frames share one."""
        return (_zeros(batch_size, channels, (length - 1) // steps + 1, height // cell, width // cell),)


for _video in _VIDEOS:
    _add_video(*_video)


@node(
    "StableCascade_EmptyLatentImage",
    {
        "width": side(1024, 256, step=8),
        "height": side(1024, 256, step=8),
        "compression": integer(42, 4, 128, step=1),
        "batch_size": _BATCH,
    },
    "LATENT LATENT",
    names="stage_c stage_b",
    module="comfy_extras.nodes_stable_cascade",
    category="latent/stable_cascade",
    title=None,
    v3=True,
)
def empty_cascade(width: int, height: int, compression: int, batch_size: int = 1) -> tuple[Latent, Latent]:
    """One latent of zeros for each of the two stages."""
    coarse = _zeros(batch_size, 16, height // compression, width // compression)
    return coarse, _zeros(batch_size, 4, height // 4, width // 4)


_SAMPLE_RATE = 44100


@node(
    "EmptyLatentAudio",
    {"seconds": number(47.6, 1.0, 1000.0, step=0.1), "batch_size": _BATCH},
    "LATENT",
    module="comfy_extras.nodes_audio",
    category="latent/audio",
    title="Empty Latent Audio",
)
def empty_audio_latent(seconds: float, batch_size: int) -> tuple[Latent]:
    """Zeros for Stable Audio: an even number of cells of 2048 samples."""
    length = round((seconds * _SAMPLE_RATE / 2048) / 2) * 2
    return (_zeros(batch_size, 64, length, type="audio"),)


@node(
    "EmptyAceStepLatentAudio",
    {"seconds": number(120.0, 1.0, 1000.0, step=0.1), "batch_size": _BATCH},
    "LATENT",
    module="comfy_extras.nodes_ace",
    category="latent/audio",
    title=None,
    v3=True,
)
def empty_ace_latent(seconds: float, batch_size: int) -> tuple[Latent]:
    """Zeros for ACE-Step in cells of 8 x 512 samples."""
    return (_zeros(batch_size, 8, 16, int(seconds * _SAMPLE_RATE / 512 / 8), type="audio"),)


@node(
    "EmptyLatentHunyuan3Dv2",
    {"resolution": integer(3072, 1, 8192), "batch_size": _BATCH},
    "LATENT",
    module="comfy_extras.nodes_hunyuan3d",
    category="latent/3d",
)
def empty_3d(resolution: int, batch_size: int) -> tuple[Latent]:
    """64 channels of zeros for a 3D shape."""
    return (_zeros(batch_size, 64, resolution, type="hunyuan3dv2"),)
