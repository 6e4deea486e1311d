"""Awaitable uploads of paths, bytes, file objects or pictures, to owned and attached servers."""

from __future__ import annotations

import io
import os
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, cast

from discomfort._system.concurrency import in_own_thread
from discomfort.client.upload import upload as upload_over_http
from discomfort.client.upload import upload_blocking as blocking_upload_over_http
from discomfort.connector.resources import Resources
from discomfort.connector.upload_names import UploadPlaces
from discomfort.exceptions import StateError, UploadError

if TYPE_CHECKING:
    from PIL.Image import Image

    UploadContent = str | os.PathLike[str] | bytes | BinaryIO | Image
    """What can be uploaded: a path, bytes, a binary file object or a PIL image."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on the server. ``value`` is what a node's input such as ``LoadImage.image`` takes: ``subfolder/name``.

    ``path`` is the full path on an owned server, ``None`` on an attached one.
    """

    value: str
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """The destination of an upload; ``ephemeral`` files are deleted with the connector."""

    folder_type: str = "input"
    subfolder: str = ""
    overwrite: bool = False
    ephemeral: bool = False


async def upload(
    parts: Resources,
    places: UploadPlaces,
    source: UploadContent,
    target: UploadTarget,
    name: str | None,
) -> Upload:
    """Upload ``source`` without blocking the event loop; see ``ComfyConnector.upload``."""
    content, name = await _content_of(source, name)
    if parts.owned:
        return await _to_folder(parts, places, content, target, name)
    if target.ephemeral:
        raise UploadError("ephemeral needs an owned server: files on an attached one cannot be deleted")
    if parts.client is None:
        raise StateError("the connector is not started yet; await create() before upload()")
    rest, place = parts.client.rest, target.subfolder
    return Upload(await upload_over_http(rest, content, target.folder_type, place, target.overwrite, name=name))


async def _to_folder(
    parts: Resources,
    places: UploadPlaces,
    content: str | os.PathLike[str] | bytes | BinaryIO,
    target: UploadTarget,
    name: str | None,
) -> Upload:
    files = parts.files
    if files is None:
        raise StateError("the connector is not started yet; await create() before upload()")

    def put() -> str:
        where = (target.folder_type, target.subfolder or None, target.overwrite, target.ephemeral)
        if isinstance(content, str | os.PathLike):
            return files.put(content, *where, name=name)
        return files.put_content(content, name or "", *where)

    path = Path(await in_own_thread(put))
    if target.folder_type == "input" and target.subfolder:
        places.note(path.name, target.subfolder)
    return Upload(str(PurePosixPath(target.subfolder, path.name)), path)


async def _content_of(
    source: UploadContent, name: str | None
) -> tuple[str | os.PathLike[str] | bytes | BinaryIO, str | None]:
    """The source as a path, bytes or file object, and its name. A picture becomes PNG."""
    if isinstance(source, str | os.PathLike):
        return source, name
    if isinstance(source, bytes | bytearray | memoryview):
        content: bytes | BinaryIO = bytes(source)
    elif hasattr(source, "read"):
        content = cast("BinaryIO", source)
    elif hasattr(source, "save") and hasattr(source, "mode"):
        picture = source
        content = await in_own_thread(lambda: _png_of(picture))
        name = name or f"{uuid.uuid4().hex}.png"
    else:
        raise TypeError(f"an upload is a path, bytes, a binary file object or a PIL image, not {type(source).__name__}")
    if not name:
        raise UploadError("bytes and file objects need a name: upload(data, name='photo.png')")
    return content, name


def _png_of(picture: Image) -> bytes:
    stream = io.BytesIO()
    try:
        picture.save(stream, "PNG")
    except OSError as error:
        raise UploadError(f"{error}; convert the picture first: picture.convert('RGB')") from error
    return stream.getvalue()


def upload_blocking(
    parts: Resources, places: UploadPlaces, source_path: str | os.PathLike[str], target: UploadTarget
) -> str:
    """Upload a file and return its full path, or its name on an attached server; blocks. See ``upload_data``."""
    folder_type, subfolder = target.folder_type, target.subfolder
    if not parts.owned:
        if target.ephemeral:
            raise UploadError("is_ephemeral needs an owned server: files on an attached one cannot be deleted")
        source = Path(source_path)
        return blocking_upload_over_http(
            parts.url, parts.headers, source, folder_type, subfolder, target.overwrite, route=parts.route
        )
    if parts.files is None:
        raise StateError("the connector is not started yet; call create() before upload_data()")
    path = parts.files.put(source_path, folder_type, subfolder or None, target.overwrite, target.ephemeral)
    if folder_type == "input" and subfolder:
        places.note(Path(path).name, subfolder)
    return path
