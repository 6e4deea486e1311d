"""Files that the cases load: pictures of many kinds, and latents."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin


def samples() -> dict[str, bytes]:
    """All sample files by name."""
    return pictures() | turned() | animated() | special() | latents()


def smooth() -> Any:
    """An array of gradients."""
    rows, columns = np.mgrid[0:37, 0:53]
    return np.stack([columns * 4, rows * 6, (rows + columns) * 2], axis=-1).astype(np.uint8)


def noisy() -> Any:
    """An array of noise."""
    return np.random.default_rng(7).integers(0, 256, (40, 24, 3), dtype=np.uint8)


def transparent() -> Any:
    """An array with an alpha channel that is a gradient."""
    columns = np.mgrid[0:33, 0:47][1]
    colors = np.random.default_rng(8).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    return np.dstack([colors, (columns * 5).astype(np.uint8)])


def pictures() -> dict[str, bytes]:
    """One picture for each mode and format."""
    noise, alpha = noisy(), Image.fromarray(transparent())
    made: dict[str, Image.Image] = {
        "p_smooth.png": Image.fromarray(smooth()),
        "p_noisy.png": Image.fromarray(noise),
        "p_alpha.png": alpha,
        "p_grey.png": Image.fromarray(noise[..., 0]),
        "p_grey_alpha.png": alpha.convert("LA"),
        "p_sixteen.png": Image.fromarray(noise[..., 0].astype(np.uint16) * 250),
        "p_palette.png": Image.fromarray(noise).quantize(16),
        "p_bits.png": Image.fromarray(noise).convert("1"),
        "p_cmyk.jpg": Image.fromarray(noise).convert("CMYK"),
        "p.bmp": Image.fromarray(noise),
        "p.tiff": alpha,
        "p.jpg": Image.fromarray(smooth()),
        "p.webp": alpha,
    }
    return {name: saved(picture, name) for name, picture in made.items()}


def saved(picture: Image.Image, name: str, **options: Any) -> bytes:
    """The content of a file of that name."""
    if name.endswith("webp"):
        options["lossless"] = True
    buffer = io.BytesIO()
    picture.save(buffer, format=Image.registered_extensions()[name[name.rindex(".") :]], **options)
    return buffer.getvalue()


def turned() -> dict[str, bytes]:
    """Photographs in every orientation that EXIF knows."""
    found = {}
    for turn in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        found[f"p_turn{turn}.jpg"] = saved(Image.fromarray(smooth()), ".jpg", exif=exif, quality=95)
    return found


def animated() -> dict[str, bytes]:
    """Three frames in each format that holds several."""
    frames = [Image.fromarray(np.roll(noisy(), k * 3, axis=0)) for k in range(3)]
    names = ("p_anim.gif", "p_anim.webp", "p_anim.png")
    return {name: saved(frames[0], name, save_all=True, append_images=frames[1:]) for name in names}


def special() -> dict[str, bytes]:
    """A palette with a transparent colour, and a file that was cut off."""
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", "{}")
    return {
        "p_transparent.png": saved(Image.fromarray(noisy()).quantize(8), ".png", transparency=2),
        "p_cut.png": saved(Image.fromarray(smooth()), ".png", pnginfo=text)[:-400],
    }


def latents() -> dict[str, bytes]:
    """Two latents."""
    random = np.random.default_rng(3)
    found = {}
    for name, shape in (("p_one.latent", (2, 4, 24, 32)), ("p_two.latent", (1, 4, 11, 9))):
        array = random.standard_normal(shape).astype("<f4")
        header = {
            "latent_format_version_0": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]},
            "latent_tensor": {"dtype": "F32", "shape": list(shape), "data_offsets": [0, array.nbytes]},
        }
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        found[name] = len(text).to_bytes(8, "little") + text + array.tobytes()
    return found
