"""Decodes pictures with Pillow, which is imported when the first one comes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from discomfort._system.filenames import safe_filename
from discomfort.exceptions import PayloadError

if TYPE_CHECKING:
    from PIL.Image import Image


def open_image(data: bytes, filename: str) -> Image:
    """The picture of a file's content, decoded. Raises PayloadError."""
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PayloadError(f"{safe_filename(filename)!r} cannot be read as a picture: {error}") from error
    return image
