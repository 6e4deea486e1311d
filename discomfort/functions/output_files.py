"""Items of one output as files and arrays, for typed outputs that await and for those that block."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discomfort._system.atomic_files import write_atomically
from discomfort._system.concurrency import in_own_thread, to_thread
from discomfort._system.disk_space import writing_to
from discomfort._system.filenames import safe_filename
from discomfort.client.outputs import Output
from discomfort.client.picture_decoding import open_image
from discomfort.exceptions import DamagedDataError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from discomfort.context.tensors import TensorKind

_SAME = {".jpeg": ".jpg", ".tiff": ".tif"}
_OPAQUE = frozenset({"JPEG", "PPM", "BMP"})
_MOVING = frozenset({".gif", ".webp", ".apng", ".avif"})
"""Moving pictures that Pillow reads; another format gets the first frame only."""
_INLINE = frozenset({"text", "value"})


async def saved(outputs: Sequence[Output], name: str, target: str | os.PathLike[str]) -> list[Path]:
    """Save items into a folder as ``name``, or under a path with a suffix; the second gets ``_2``, and so on."""
    path = Path(target)
    if not path.suffix or await to_thread(path.is_dir):
        return await saved_in(path, outputs, name)
    return [
        await _save_as(output, path.with_name(f"{path.stem}{_tail(number)}{path.suffix}"))
        for number, output in enumerate(outputs, 1)
    ]


async def saved_in(folder: Path, outputs: Sequence[Output], name: str) -> list[Path]:
    """Save items into a folder as ``name``."""
    return [
        await output.save(folder, safe_filename(f"{name}{_tail(number)}{_suffix(output)}"))
        for number, output in enumerate(outputs, 1)
    ]


def _tail(number: int) -> str:
    return "" if number == 1 else f"_{number}"


def _suffix(output: Output) -> str:
    if output.filename is not None:
        return Path(safe_filename(output.filename)).suffix
    return ".txt" if output.kind == "text" else ".json"


async def _save_as(output: Output, path: Path) -> Path:
    """Save under exactly this path, replacing an older file at once. A picture is converted if the suffix says so."""
    own, wanted = (_SAME.get(each.lower(), each.lower()) for each in (_suffix(output), path.suffix))
    if own == wanted or output.kind in _INLINE:
        made = await output.save(path.parent, f"discomfort-{secrets.token_hex(8)}.part")
        try:
            made.replace(path)
        except OSError:
            made.unlink(missing_ok=True)
            raise
        return path
    if output.kind != "image" and own not in _MOVING:
        raise ValueError(f"{path.name!r} ends with {path.suffix}, but the output is a {own} file: save it under that")
    data = await output.read()
    encoded = await in_own_thread(lambda: _encoded(data, path, output.filename or ""))
    with writing_to(path.parent, "saving", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, encoded)
    return path


def _encoded(data: bytes, path: Path, filename: str) -> bytes:
    from PIL import Image as Pictures

    kind = Pictures.registered_extensions().get(path.suffix.lower())
    if kind is None or kind not in Pictures.SAVE:
        raise ValueError(f"{path.name!r}: the suffix names no picture format, such as .png or .jpg")
    picture = open_image(data, filename)
    if kind in _OPAQUE and picture.mode not in ("RGB", "L"):
        picture = picture.convert("RGB")
    stream = io.BytesIO()
    options: dict[str, Any] = {"JPEG": {"quality": 95}, "WEBP": {"quality": 95}}.get(kind, {})
    picture.save(stream, kind, **options)
    return stream.getvalue()


async def pixels(outputs: Sequence[Output], kind: TensorKind, *, is_mask: bool) -> Any:
    """All pictures as one array ``[batch, height, width, channel]``, or masks ``[batch, height, width]``."""
    data = [(await each.read(), each.filename or "") for each in outputs]
    return await in_own_thread(lambda: _stacked(data, kind, is_mask=is_mask))


def _stacked(data: Sequence[tuple[bytes, str]], kind: TensorKind, *, is_mask: bool) -> Any:
    import numpy as np

    from discomfort.context.tensors import made_of

    pictures = [_levels(open_image(content, filename), is_mask=is_mask) for content, filename in data]
    if len({each.shape for each in pictures}) > 1:
        sizes = ", ".join(sorted({f"{each.shape[1]}x{each.shape[0]}" for each in pictures}))
        raise ValueError(f"the pictures have several sizes or modes ({sizes}): take each by itself")
    return made_of(np.stack(pictures), "F32", kind)


def _levels(picture: Picture, *, is_mask: bool) -> Any:
    import numpy as np

    if picture.mode.startswith("I"):  # 16 bits, which Pillow's conversion would clip
        levels = np.clip(np.asarray(picture, dtype=np.float32) / np.float32(65535), 0, 1)
        return levels if is_mask else np.repeat(levels[..., None], 3, axis=2)
    mode = "L" if is_mask else "RGBA" if picture.has_transparency_data else "RGB"
    return np.asarray(picture.convert(mode), dtype=np.float32) / np.float32(255)


async def samples(output: Output, kind: TensorKind) -> Any:
    """The numbers of a latent file."""
    from discomfort.core_values.core_files import read_latent

    data = await output.read()
    try:
        return await in_own_thread(lambda: read_latent(data, kind))
    except DamagedDataError as error:
        raise DamagedDataError(error.problem, source=output.filename) from error
