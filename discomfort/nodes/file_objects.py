"""ComfyUI's own objects for values that are files: videos, 3D files and drawings."""

from __future__ import annotations

import io
from typing import Any

from ..context.file_values import FILE_3D, SVG, VIDEO, FileValue
from ..exceptions import UnsupportedValueError


def object_of(file: FileValue) -> Any:
    """The object that nodes take for a file. Raises UnsupportedValueError if this ComfyUI has no class for it."""
    make = {VIDEO: _video, FILE_3D: _file_3d, SVG: _drawing}.get(file.kind)
    if make is None:
        raise UnsupportedValueError(f"no node takes a file {file.suffix!r}: its suffix says neither video nor 3D")
    try:
        return make(file)
    except (ImportError, AttributeError) as error:
        raise UnsupportedValueError(
            f"this server has no object for a file {file.suffix!r}: {error}", remedy="Use a newer ComfyUI"
        ) from error


def _video(file: FileValue) -> Any:
    from comfy_api.input_impl import VideoFromFile

    return VideoFromFile(io.BytesIO(file.view))


def _file_3d(file: FileValue) -> Any:
    from comfy_api.latest import Types

    return Types.File3D(io.BytesIO(file.view), file.suffix[1:])


def _drawing(file: FileValue) -> Any:
    from comfy_extras import nodes_images

    return nodes_images.SVG([io.BytesIO(file.view)])
