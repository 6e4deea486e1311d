"""Small pictures of files. Blocking; Pillow is imported when the first one is made."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_log = logging.getLogger("discomfort.sweeps")


def thumbnail(path: Path, side: int) -> Image | None:
    """The picture, its first frame, in RGB and within a square; ``None`` for what Pillow cannot read."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            # A large picture is a warning, a bomb an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                opened.draft("RGB", (side, side))
                picture = ImageOps.exif_transpose(opened)
                picture.thumbnail((side, side))
                return _flat(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        _log.debug("no small picture of %s: %s", path.name, error)
        return None


def _flat(picture: Image) -> Image:
    """On white, without transparency; 16-bit grey scaled to 8."""
    from PIL import Image

    if picture.mode.startswith("I"):
        picture = picture.point(lambda value: value / 257).convert("L") if picture.mode != "I" else picture.convert("L")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        ground = Image.new("RGBA", clear.size, "white")
        ground.alpha_composite(clear)
        picture = ground
    return picture.convert("RGB")
