"""Values that are files, such as videos: their bytes and the suffix that says what they are."""

from __future__ import annotations

import io
import os
import secrets
from pathlib import Path
from typing import Any

from .._system.descriptors import create, write_all
from ..exceptions import UnsupportedValueError

VIDEO, FILE_3D, SVG = "VIDEO", "FILE_3D", "SVG"

_KINDS = {
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif", ".mpg", ".ogv"), VIDEO),
    **dict.fromkeys((".glb", ".gltf", ".fbx", ".obj", ".stl", ".usdz", ".ply", ".splat", ".spz", ".ksplat"), FILE_3D),
    ".svg": SVG,
}
_LONGEST = 16


class FileValue:
    """A file as a value: what ``run`` gives for an OUTPUT of type VIDEO, FILE_3D or SVG, and takes for such an INPUT.

    ``suffix`` begins with a dot, such as ``.mp4``. It says what the file is; nothing is converted. Two are equal if
    bytes and suffix are. ``len()`` is the number of bytes.

    ``FileValue.read("cat.mp4")`` reads one, and ``value.save("out.mp4")`` writes one.
    """

    __slots__ = ("_data", "suffix")

    def __init__(self, data: bytes | bytearray | memoryview, suffix: str) -> None:
        """Shares the data, which must not change. Raises ValueError for a suffix that names no type of file."""
        body = suffix[1:]
        if not suffix.startswith(".") or not body.isascii() or not body.isalnum() or len(suffix) > _LONGEST:
            raise ValueError(f"{suffix!r} is not the suffix of a file: give one such as '.mp4'")
        self._data = memoryview(data).cast("B")
        self.suffix = suffix.lower()

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> FileValue:
        """The file at ``path``, with its suffix. Raises OSError; ValueError if it has no suffix."""
        return cls(Path(path).read_bytes(), Path(path).suffix)

    @property
    def data(self) -> bytes:
        """The bytes, as a copy."""
        return bytes(self._data)

    @property
    def view(self) -> memoryview:
        """The bytes, without a copy."""
        return self._data.toreadonly()

    @property
    def kind(self) -> str:
        """The type by which ComfyUI knows such files: ``VIDEO``, ``FILE_3D`` or ``SVG``; empty for others."""
        return _KINDS.get(self.suffix, "")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file, and its folder if it is missing; an older one is replaced at once. Raises OSError."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".discomfort-{secrets.token_hex(8)}")
        descriptor = create(temporary, 0o666)
        try:
            try:
                write_all(descriptor, self._data)
            finally:
                os.close(descriptor)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return target

    def __reduce__(self) -> tuple[type[FileValue], tuple[bytes, str]]:
        return FileValue, (self.data, self.suffix)

    def __len__(self) -> int:
        return len(self._data)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FileValue):
            return NotImplemented
        return self.suffix == other.suffix and self._data == other._data

    def __hash__(self) -> int:
        return hash((self.suffix, len(self._data)))

    def __repr__(self) -> str:
        return f"<FileValue {self.suffix}, {len(self._data)} bytes>"


def file_of(value: Any, place: str) -> FileValue | None:
    """The file that one of ComfyUI's objects offers, in its own format; ``None`` for any other object.

    They are known by their methods: their classes differ between versions. Raises UnsupportedValueError.
    """
    if isinstance(value, FileValue):
        return value
    if callable(getattr(value, "get_stream_source", None)) and callable(getattr(value, "save_to", None)):
        return _video(value)
    if callable(getattr(value, "get_bytes", None)) and isinstance(getattr(value, "format", None), str):
        return _file_3d(value)
    if type(value).__name__ == SVG and isinstance(getattr(value, "data", None), list):
        return _drawing(value.data, place)
    return None


def _video(video: Any) -> FileValue:
    window = getattr(video, "get_active_trim_window", None)
    if callable(window) and any(window()):  # the file has more than the value
        source: Any = io.BytesIO()
        video.save_to(source)
    else:
        source = video.get_stream_source()
    data = source.getvalue() if isinstance(source, io.BytesIO) else Path(source).read_bytes()
    suffix = "" if isinstance(source, io.BytesIO) else Path(source).suffix.lower()
    return FileValue(data, suffix if _KINDS.get(suffix) == VIDEO else _container(data))


def _file_3d(value: Any) -> FileValue:
    data = bytes(value.get_bytes())
    suffix = f".{value.format}" if value.format.isalnum() else ""
    return FileValue(data, suffix or (".glb" if data.startswith(b"glTF") else ".bin"))


def _drawing(parts: list[Any], place: str) -> FileValue:
    if len(parts) != 1:
        raise UnsupportedValueError(
            f"an SVG of {len(parts)} drawings cannot be stored", place=place, remedy="Store each drawing by itself"
        )
    return FileValue(parts[0].getvalue(), ".svg")


def _container(data: bytes) -> str:
    """The suffix of a video, by its first bytes."""
    if data.startswith(b"\x1a\x45\xdf\xa3"):
        return ".webm" if b"webm" in data[:64] else ".mkv"
    if data.startswith(b"RIFF"):
        return ".avi"
    if data.startswith(b"GIF8"):
        return ".gif"
    return ".mov" if data[4:12] == b"ftypqt  " else ".mp4"
