"""An output as plain data: needs neither server nor connector, and can be sent to other processes."""

from __future__ import annotations

import base64
import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from discomfort._system.concurrency import in_thread

ArtifactKind = Literal["image", "video", "audio", "3d", "text", "file", "value"]

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Artifact:
    """One output with its content; made by :meth:`Output.artifact`.

    ``kind``, ``title``, ``class_type``, ``key`` and ``index`` are those of the output. ``filename`` is the name on the
    server, ``None`` for texts and other values; ``mime`` the media type where it is known. ``size`` is in bytes,
    ``sha256`` the hexadecimal digest of the content. The content is in ``data``, or in the file ``path``.
    """

    node_id: str
    title: str
    class_type: str
    kind: ArtifactKind
    filename: str | None
    mime: str | None
    size: int
    sha256: str
    key: str = ""
    index: int = 0
    prompt_id: str = ""
    data: bytes | None = field(default=None, repr=False)
    path: Path | None = None

    def read(self) -> bytes:
        """The content, from memory or from the file. Blocking. Raises ``OSError`` if the file is gone."""
        if self.data is not None:
            return self.data
        if self.path is None:
            raise FileNotFoundError(f"artifact {self.filename or self.key!r} has neither data nor a path")
        return self.path.read_bytes()

    async def copy_to(self, stream: BinaryIO) -> None:
        """Write the content into a file. A cancellation waits until that is done."""
        if self.data is not None:
            stream.write(self.data)
        else:
            await in_thread(lambda: self._copy_file(stream))

    def _copy_file(self, stream: BinaryIO) -> None:
        if self.path is None:
            raise FileNotFoundError(f"artifact {self.filename or self.key!r} has neither data nor a path")
        with self.path.open("rb") as source:
            shutil.copyfileobj(source, stream, _BLOCK)

    def to_dict(self, *, with_data: bool = False) -> dict[str, Any]:
        """The fields as JSON values, the path as text; ``with_data`` adds the content as base64 in ``data``."""
        found: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("node_id", "title", "class_type", "kind", "filename", "mime", "size", "sha256", "key", "index")
        }
        found |= {"prompt_id": self.prompt_id, "path": None if self.path is None else str(self.path)}
        if with_data:
            found["data"] = base64.b64encode(self.read()).decode("ascii")
        return found


def digest_of(content: bytes | Path) -> tuple[int, str]:
    """Size in bytes and SHA-256 of a content. Blocking; a file is read in blocks."""
    if isinstance(content, bytes):
        return len(content), hashlib.sha256(content).hexdigest()
    size, hashed = 0, hashlib.sha256()
    with content.open("rb") as stream:
        while block := stream.read(_BLOCK):
            size += len(block)
            hashed.update(block)
    return size, hashed.hexdigest()
