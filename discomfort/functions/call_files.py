"""Files of a call: what a user has as one, checked before anything is sent, and brought to the server when it is."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from discomfort._system.concurrency import finish, in_own_thread, to_thread
from discomfort._system.filenames import safe_filename
from discomfort.client.outputs import OutputFields
from discomfort.core_values.core_files import ValueFile
from discomfort.functions.host import FileHost, FileLookup
from discomfort.functions.stream_reading import is_empty, read_whole
from discomfort.functions.value_checks import ValueTrouble

if TYPE_CHECKING:
    from discomfort.connector.file_upload import Upload

_ANNOTATED = re.compile(r"(?P<path>.+?)(?: \[(?P<folder>input|output|temp)\])?", re.DOTALL)
_MARKS = (
    (b"\x89PNG", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"GIF8", ".gif"), (b"fLaC", ".flac"), (b"OggS", ".ogg"),
    (b"ID3", ".mp3"), (b"\x1a\x45\xdf\xa3", ".webm"), (b"glTF", ".glb"), (b"II*\0", ".tif"), (b"MM\0*", ".tif"),
    (b"BM", ".bmp"),
)  # fmt: skip
_NO_BYTES = "the file is empty: there are no bytes in it"
_LONGEST_NAME, _MOST_PARTS = 255, 20
_RIFF = {b"WAVE": ".wav", b"WEBP": ".webp", b"AVI ": ".avi"}


class CallFile(Protocol):
    """One file that a call needs on the server."""

    async def problem(self, host: FileLookup) -> str:
        """Why it cannot be brought, and what helps; empty if it can. Raises ServerError, StateError."""
        ...

    async def bring(self, brought: BroughtFiles) -> str:
        """Have it on the server, and return what an input takes for it. Raises OSError, ServerError, StateError."""
        ...


class BroughtFiles:
    """The files of one call on the server. What had to be uploaded is discarded after the call."""

    def __init__(self, host: FileHost) -> None:
        self.host = host
        self.subfolder = ""
        self._uploads: list[Upload] = []

    async def upload(self, source: Path | bytes, name: str) -> str:
        """Have a file on the server; ``name`` is the end of its name there."""
        made = await self.host.upload_for_call(source, name, self.subfolder)
        self._uploads.append(made)
        return made.value

    async def discard(self) -> None:
        """Delete the uploads on an owned server, as far as no other call needs them. Never raises."""
        uploads, self._uploads = self._uploads, []

        async def discard() -> None:
            for made in uploads:
                await self.host.discard_after_call(made)

        if uploads:
            await finish(discard())


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine."""

    path: Path

    async def problem(self, host: FileLookup) -> str:
        """It must be there."""
        is_there = await to_thread(_is_file, self.path)
        return "" if is_there else f"there is no file {str(self.path)!r}"

    async def bring(self, brought: BroughtFiles) -> str:
        """Uploads it."""
        return await brought.upload(self.path, self.path.name)


@dataclass(frozen=True, slots=True)
class FileByName:
    """A text that names a file: of this machine if it is there, else in the server's folders."""

    name: str

    async def problem(self, host: FileLookup) -> str:
        """It must be in one of them."""
        if await to_thread(_is_file, Path(self.name)):
            return ""
        if "://" in self.name:
            return f"takes no address, given {self.name[:200]!r}: download the file, and give its path"
        name, subfolder, folder = _parts(self.name)
        if not _may_be_on_server(self.name):
            return f"there is no file {self.name[:200]!r}"
        if name and await host.has_file(name, subfolder, folder):
            return ""
        return f"there is no file {self.name[:200]!r}, neither here nor in the server's folder {folder!r}"

    async def bring(self, brought: BroughtFiles) -> str:
        """Uploads the one of this machine; another one is taken as it is."""
        if await to_thread(_is_file, Path(self.name)):
            return await brought.upload(Path(self.name), Path(self.name).name)
        return self.name


@dataclass(frozen=True, slots=True)
class DataFile:
    """Content in memory."""

    data: bytes | memoryview
    name: str

    async def problem(self, host: FileLookup) -> str:
        """Only without content."""
        return "" if len(self.data) else _NO_BYTES

    async def bring(self, brought: BroughtFiles) -> str:
        """Uploads it."""
        return await brought.upload(bytes(self.data), self.name)


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file that is made of a value once it is needed; blocking, in a thread."""

    make: Callable[[], ValueFile]
    stem: str

    async def problem(self, host: FileLookup) -> str:
        """None: the value was checked."""
        return ""

    async def bring(self, brought: BroughtFiles) -> str:
        """Makes and uploads it."""
        made = await in_own_thread(self.make)
        return await brought.upload(made.data, f"{self.stem}{made.suffix}")


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file object of the caller, read from its start if it can seek, and left where it was."""

    stream: BinaryIO
    stem: str

    async def problem(self, host: FileLookup) -> str:
        """It must be open and give bytes; one that cannot seek is not read before it is brought."""
        try:
            return _NO_BYTES if await in_own_thread(lambda: is_empty(self.stream)) else ""
        except ValueTrouble as trouble:
            return trouble.problem

    async def bring(self, brought: BroughtFiles) -> str:
        """Uploads its content. Raises ValueTrouble."""
        data = await in_own_thread(lambda: read_whole(self.stream))
        name = getattr(self.stream, "name", None)
        own = Path(name).name if isinstance(name, str) else ""
        made = data_file(data, self.stem)
        return await brought.upload(bytes(made.data), own or made.name)


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that another run has made. Where it is on this server, it is named, and nothing is transferred."""

    output: OutputFields
    read: Callable[[], Awaitable[bytes]]
    address: str
    """The URL of the server that has it."""
    may_be_named: bool
    """Whether the input finds files in other folders than the input folder."""

    async def problem(self, host: FileLookup) -> str:
        """It must still be there."""
        if self._is_of(host):
            output = self.output
            if not await host.has_file(output.filename or "", output.subfolder, output.folder):
                return f"the server does not have the output {output.filename!r} any more: make it again"
        return ""

    async def bring(self, brought: BroughtFiles) -> str:
        """Names it, or reads and uploads it."""
        output = self.output
        if self._is_of(brought.host) and self.may_be_named:
            return f"{PurePosixPath(output.subfolder, output.filename or '')} [{output.folder}]"
        data = await self.read()
        return await brought.upload(data, safe_filename(output.filename or "file"))

    def _is_of(self, host: FileLookup) -> bool:
        return self.address == host.server_address.rstrip("/")


def data_file(data: Any, stem: str) -> DataFile:
    """Bytes, named by what they are. Raises ValueTrouble for none."""
    view = memoryview(data)
    if view.nbytes == 0:
        raise ValueTrouble(_NO_BYTES)
    head = bytes(view.cast("B")[:16])
    suffix = next((suffix for mark, suffix in _MARKS if head.startswith(mark)), "")
    if head.startswith(b"RIFF"):
        suffix = _RIFF.get(head[8:12], "")
    if not suffix and head[4:8] == b"ftyp":
        suffix = ".m4a" if head[8:11] == b"M4A" else ".mov" if head[8:10] == b"qt" else ".mp4"
    return DataFile(data if isinstance(data, bytes) else view.cast("B"), stem + suffix)


async def server_has(host: FileLookup, value: str) -> bool:
    """Whether the server has the file that an input names, as far as it may be asked. Raises ServerError, StateError.

    What is not the name of a file counts as there: the server says itself what is wrong with it.
    """
    name, subfolder, folder = _parts(value)
    return not name or not _may_be_on_server(value) or await host.has_file(name, subfolder, folder)


def named_file(value: str | os.PathLike[str]) -> CallFile:
    """A path; a text may also name a file on the server. Raises ValueTrouble."""
    path = os.fspath(value)
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueTrouble(f"takes the path of a file, given {path!r}")
    return FileByName(path) if isinstance(value, str) else LocalFile(Path(path))


def _parts(value: str) -> tuple[str, str, str]:
    """Name, subfolder and folder of what a file input takes."""
    found = _ANNOTATED.fullmatch(value)
    path = PurePosixPath((found["path"] if found else value).replace("\\", "/"))
    parent = "" if str(path.parent) == "." else str(path.parent)
    return path.name, parent, (found["folder"] if found else None) or "input"


def _may_be_on_server(name: str) -> bool:
    """Whether the server may be asked for a file: it answers other names with errors of its own."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    is_short = all(len(part.encode("utf-8", "replace")) <= _LONGEST_NAME for part in parts) and len(parts) < _MOST_PARTS
    return is_short and name.isprintable() and parts[:1] != ("/",) and ".." not in parts


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # such as a text that is too long for a name
        return False
