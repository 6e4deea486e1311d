"""Uploads of calls, named by their content: equal files are one, so the server's cache knows what it has loaded."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from discomfort._system.concurrency import finish, in_own_thread
from discomfort._system.filenames import safe_filename
from discomfort.connector.file_upload import Upload

if TYPE_CHECKING:
    from discomfort.connector.file_upload import UploadContent

_log = logging.getLogger("discomfort.connector")

_BLOCK = 1 << 20
_LONGEST = 60


class _NamedUpload(Protocol):
    def __call__(
        self, source: UploadContent, *, name: str, subfolder: str, ephemeral: bool
    ) -> Coroutine[Any, Any, Upload]: ...


@dataclass(slots=True, eq=False)
class _Shared:
    """One file on the server. ``users`` are the calls that need it; ``closing`` deletes it."""

    task: asyncio.Task[Upload]
    users: int = 0
    closing: asyncio.Task[None] | None = None


class SharedUploads:
    """Makes uploads by the connector's own ``upload``, and deletes each when the last call that needs it has ended.

    On an attached server, where nothing can be deleted, a file that is there is not sent again.
    """

    def __init__(
        self,
        upload: _NamedUpload,
        delete: Callable[[Path], Awaitable[None]],
        has_file: Callable[[str, str, str], Awaitable[bool]],
        *,
        are_ephemeral: bool,
    ) -> None:
        self._upload, self._delete, self._has_file, self._are_ephemeral = upload, delete, has_file, are_ephemeral
        # Owned servers may share an input folder, from which each deletes its own.
        self._prefix = secrets.token_hex(4) if are_ephemeral else ""
        self._shared: dict[tuple[str, str], _Shared] = {}

    async def take(self, source: Path | bytes, name: str, subfolder: str = "") -> Upload:
        """Have a file on the server until :meth:`leave`. ``name`` is the end of its name there.

        Safe to cancel; the copy is completed, and deleted if nobody else needs it. Raises as ``upload``.
        """
        digest = await in_own_thread(lambda: _digest(source))
        key = f"{self._prefix}{digest}-{safe_filename(name)[-_LONGEST:]}", subfolder
        entry = await self._entry(key, source)
        try:
            return await asyncio.shield(entry.task)
        except BaseException:
            self._leave(key, entry)
            raise

    async def leave(self, made: Upload) -> None:
        """Delete the file if no other call needs it; returns when it is gone. Never raises."""
        found = next((key for key, entry in self._shared.items() if _result(entry) == made), None)
        if found is not None:
            closing = self._leave(found, self._shared[found])
            if closing is not None:
                await finish(closing)

    async def _entry(self, key: tuple[str, str], source: Path | bytes) -> _Shared:
        while True:
            entry = self._shared.get(key)
            if entry is None:
                work = self._make(key, source)
                entry = self._shared[key] = _Shared(asyncio.create_task(work, name="discomfort-upload-for-call"))
            if entry.closing is None:
                entry.users += 1
                return entry
            await asyncio.shield(entry.closing)

    async def _make(self, key: tuple[str, str], source: Path | bytes) -> Upload:
        name, subfolder = key
        if not self._are_ephemeral and await self._has_file(name, subfolder, "input"):
            return Upload(f"{subfolder}/{name}" if subfolder else name)
        return await self._upload(source, name=name, subfolder=subfolder, ephemeral=self._are_ephemeral)

    def _leave(self, key: tuple[str, str], entry: _Shared) -> asyncio.Task[None] | None:
        entry.users -= 1
        if entry.users == 0 and entry.closing is None:
            entry.closing = asyncio.create_task(self._close(key, entry), name="discomfort-end-of-upload")
        return entry.closing

    async def _close(self, key: tuple[str, str], entry: _Shared) -> None:
        try:
            made = await entry.task
            if made.path is not None:
                await self._delete(made.path)
        except Exception as error:  # noqa: BLE001 - whoever waited has it
            _log.debug("an upload of a call ended: %s", error)
        finally:
            del self._shared[key]


def _result(entry: _Shared) -> Upload | None:
    task = entry.task
    return task.result() if task.done() and not task.cancelled() and task.exception() is None else None


def _digest(source: Path | bytes) -> str:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()[:32]
    with source.open("rb") as stream:
        return _digest_of(stream)


def _digest_of(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := stream.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()[:32]
