"""Nodes that make empty latents for every kind of model."""

from __future__ import annotations

from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import MAX_SIDE, Entry, integer, node, number, side
from comfyui_emulator.nodes.wording import check_sides

Latent = dict[str, Any]
_CELL = 8
"""Default side of a latent cell in pixels."""

_BATCH = integer(1, 1, 4096)


def _newer(module: str, family: str = "", title: str | None = None) -> dict[str, Any]:
    """Where a node of the newer schema is from, and where it stands in the menu."""
    return {
        "module": f"comfy_extras.nodes_{module}",
        "category": f"model/latent{family}",
        "title": title,
        "v3": True,
    }


@node(
    "EmptyLatentImage",
    {"width": side(512, 16, step=8), "height": side(512, 16, step=8), "batch_size": _BATCH},
    "LATENT",
    module="nodes",
    category="model/latent",
    title="Empty Latent Image",
)
def empty_latent(width: int, height: int, batch_size: int = 1) -> tuple[Latent]:
    """Four channels of zeros, and the factor by which they are smaller (since 0.11)."""
    return (_zeros(batch_size, 4, height // _CELL, width // _CELL, downscale_ratio_spacial=_CELL),)


def _zeros(*shape: int, **more: Any) -> Latent:
    check_sides(*shape)
    return {"samples": np.zeros(shape, dtype=np.float32), **more}


_WIDE = {"width": side(1024, 16, step=16), "height": side(1024, 16, step=16), "batch_size": _BATCH}


@node(
    "EmptySD3LatentImage",
    _WIDE,
    "LATENT",
    **_newer("sd3", "/stable diffusion"),
)
def empty_sd3(width: int, height: int, batch_size: int = 1) -> tuple[Latent]:
    """Sixteen channels of zeros."""
    return (_zeros(batch_size, 16, height // _CELL, width // _CELL, downscale_ratio_spacial=_CELL),)


@node(
    "EmptyChromaRadianceLatentImage",
    _WIDE,
    "LATENT",
    **_newer("chroma_radiance", "/chroma radiance"),
)
def empty_chroma(width: int, height: int, batch_size: int = 1) -> tuple[Latent]:
    """Zeros for a model of pixels: three channels at full size."""
    return (_zeros(batch_size, 3, height, width),)


@node(
    "EmptyHunyuanImageLatent",
    {"width": side(2048, 64, step=32), "height": side(2048, 64, step=32), "batch_size": _BATCH},
    "LATENT",
    **_newer("hunyuan", "/hunyuan image"),
)
def empty_hunyuan_image(width: int, height: int, batch_size: int = 1) -> tuple[Latent]:
    """64 channels of zeros in cells of 32 pixels."""
    return (_zeros(batch_size, 64, height // 32, width // 32),)


# name, title, module, category, (width, height, step, minimum), (frames, minimum, step), channels, cell
_VIDEOS: list[tuple[str, str | None, str, str, tuple[int, int, int, int], tuple[int, int, int], int, int]] = [
    (
        *("EmptyHunyuanLatentVideo", "Empty HunyuanVideo 1.0 Latent", "hunyuan", "hunyuan video"),
        *((848, 480, 16, 16), (25, 1, 4), 16, 8),
    ),
    ("EmptyMochiLatentVideo", None, "mochi", "mochi", (848, 480, 16, 16), (25, 7, 6), 12, 8),
    ("EmptyLTXVLatentVideo", None, "lt", "ltxv", (768, 512, 32, 64), (97, 1, 8), 128, 32),
    ("EmptyCosmosLatentVideo", None, "cosmos", "cosmos", (1280, 704, 16, 16), (121, 1, 8), 16, 8),
]
_TELL_SCALE = ("EmptyHunyuanLatentVideo", "EmptyLTXVLatentVideo")
"""The nodes that report by which factor their latents are smaller than pictures (since 0.11)."""


def _add_video(
    name: str,
    title: str | None,
    module: str,
    category: str,
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
    ratio = {"downscale_ratio_spacial": cell} if name in _TELL_SCALE else {}

    @node(name, inputs, "LATENT", **_newer(module, f"/{category}", title))
    def empty(width: int, height: int, length: int, batch_size: int = 1) -> tuple[Latent]:
        """Zeros for a video. The first frame has its own cell, then ``steps`` frames share one."""
        return (_zeros(batch_size, channels, (length - 1) // steps + 1, height // cell, width // cell, **ratio),)


for _video in _VIDEOS:
    _add_video(*_video)


@node(
    "StableCascade_EmptyLatentImage",
    {
        "width": side(1024, 256, step=8),
        "height": side(1024, 256, step=8),
        "compression": integer(42, 4, 128, step=1, advanced=True),
        "batch_size": _BATCH,
    },
    "LATENT LATENT",
    names="stage_c stage_b",
    **_newer("stable_cascade", "/stable cascade"),
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
    **_newer("audio", title="Empty Latent Audio"),
)
def empty_audio_latent(seconds: float, batch_size: int) -> tuple[Latent]:
    """Zeros for Stable Audio: an even number of cells of 2048 samples."""
    length = round((seconds * _SAMPLE_RATE / 2048) / 2) * 2
    return (_zeros(batch_size, 64, length, type="audio", downscale_ratio_temporal=2048),)


@node(
    "EmptyAceStepLatentAudio",
    {"seconds": number(120.0, 1.0, 1000.0, step=0.1), "batch_size": _BATCH},
    "LATENT",
    **_newer("ace", "/ace", "Empty Ace Step 1.0 Latent Audio"),
)
def empty_ace_latent(seconds: float, batch_size: int) -> tuple[Latent]:
    """Zeros for ACE-Step in cells of 8 x 512 samples."""
    return (_zeros(batch_size, 8, 16, int(seconds * _SAMPLE_RATE / 512 / 8), type="audio"),)


@node(
    "EmptyLatentHunyuan3Dv2",
    {"resolution": integer(3072, 1, 8192), "batch_size": _BATCH},
    "LATENT",
    **_newer("hunyuan3d", "/hunyuan 3d"),
)
def empty_3d(resolution: int, batch_size: int) -> tuple[Latent]:
    """64 channels of zeros for a 3D shape."""
    return (_zeros(batch_size, 64, resolution, type="hunyuan3dv2"),)


def _video_sides(
    width: int, height: int, length: int, most: int = MAX_SIDE, frames: int = MAX_SIDE
) -> dict[str, Entry]:
    return {
        "width": integer(width, 16, most, step=16),
        "height": integer(height, 16, most, step=16),
        "length": integer(length, 1, frames, step=4),
    }


@node(
    "EmptyHunyuanVideo15Latent",
    {**_video_sides(848, 480, 25), "batch_size": _BATCH},
    "LATENT",
    **_newer("hunyuan", "/hunyuan video", "Empty HunyuanVideo 1.5 Latent"),
)
def empty_hunyuan_15(width: int, height: int, length: int, batch_size: int = 1) -> tuple[Latent]:
    """Zeros for a video in cells of 16 pixels."""
    steps = (length - 1) // 4 + 1
    return (_zeros(batch_size, 32, steps, height // 16, width // 16, downscale_ratio_spacial=16),)


@node(
    "EmptyARVideoLatent",
    {**_video_sides(832, 480, 81, 8192, 1024), "batch_size": integer(1, 1, 64)},
    "LATENT",
    **_newer("ar_video", "/autoregressive"),
)
def empty_ar_video(width: int, height: int, length: int, batch_size: int) -> tuple[Latent]:
    """Zeros for a video that is made block by block."""
    return (_zeros(batch_size, 16, (length - 1) // 4 + 1, height // _CELL, width // _CELL),)


@node(
    "EmptyFlux2LatentImage",
    _WIDE,
    "LATENT",
    **_newer("flux", "/flux", "Empty Flux 2 Latent"),
)
def empty_flux_2(width: int, height: int, batch_size: int = 1) -> tuple[Latent]:
    """128 channels of zeros in cells of 16 pixels."""
    return (_zeros(batch_size, 128, height // 16, width // 16),)


@node(
    "EmptyQwenImageLayeredLatentImage",
    {
        "width": side(640, 16, step=16),
        "height": side(640, 16, step=16),
        "layers": side(3),
        "batch_size": _BATCH,
    },
    "LATENT",
    **_newer("qwen", "/qwen", "Empty Qwen Image Layered Latent"),
)
def empty_qwen_layers(width: int, height: int, layers: int, batch_size: int = 1) -> tuple[Latent]:
    """Zeros for a picture and its layers, which are its frames."""
    return (_zeros(batch_size, 16, layers + 1, height // _CELL, width // _CELL),)


@node(
    "EmptyHiDreamO1LatentImage",
    {
        "width": integer(2048, 64, 4096, step=32),
        "height": integer(2048, 64, 4096, step=32),
        "batch_size": integer(1, 1, 64),
    },
    "LATENT",
    **_newer("hidream_o1", "/hidream", "Empty HiDream-O1 Latent Image"),
)
def empty_hidream(width: int, height: int, batch_size: int = 1) -> tuple[Latent]:
    """Zeros for a model of pixels."""
    return (_zeros(batch_size, 3, height, width),)


@node(
    "EmptyTrellis2LatentStructure",
    {"batch_size": _BATCH},
    "LATENT",
    **_newer("trellis2", "/trellis"),
)
def empty_trellis(batch_size: int) -> tuple[Latent]:
    """Zeros for a shape of 16 cells a side."""
    return (_zeros(batch_size, 32, 16, 16, 16, type="trellis2"),)


@node(
    "EmptyAceStep1.5LatentAudio",
    {"seconds": number(120.0, 1.0, 1000.0, step=0.01), "batch_size": _BATCH},
    "LATENT",
    **_newer("ace", "/ace", "Empty Ace Step 1.5 Latent Audio"),
)
def empty_ace_15(seconds: float, batch_size: int) -> tuple[Latent]:
    """Zeros, 25 cells for a second."""
    length = round(seconds * 48000 / 1920)
    return (_zeros(batch_size, 64, length, type="audio", downscale_ratio_temporal=1764),)


_MUSIC_RATE = 25
"""MiniMax's frames for a second."""

_MOST_MUSIC = 9000


@node(
    "EmptyMiniMaxMusic3LatentAudio",
    {"seconds": number(120.0, 0.04, _MOST_MUSIC / _MUSIC_RATE, step=0.04), "batch_size": _BATCH},
    "LATENT",
    **_newer("minimax_music", "/minimax music", "Empty MiniMax Music3 Latent Audio"),
)
def empty_minimax_music(seconds: float, batch_size: int) -> tuple[Latent]:
    """Zeros in cells of 512 samples, for whole frames of 960 samples at another rate."""
    frames = min(_MOST_MUSIC, max(1, round(seconds * _MUSIC_RATE)))
    length = max(1, int(frames * _SAMPLE_RATE / 24000 * 960 / 512))
    return (_zeros(batch_size, 128, length, type="audio", downscale_ratio_temporal=512),)
