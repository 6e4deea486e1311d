"""Uploads that belong to one run: under names of their own, and on an owned server deleted after it."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from discomfort._system.concurrency import finish, in_own_thread
from discomfort.connector.file_upload import Upload

if TYPE_CHECKING:
    from discomfort.connector.file_upload import UploadContent

_log = logging.getLogger("discomfort.connector")


class _UploadCall(Protocol):
    def __call__(self, source: UploadContent, *, name: str, ephemeral: bool) -> Coroutine[Any, Any, Upload]: ...


class RunUploads:
    """Makes and discards them by the connector's own ``upload`` and ``discard``; ``spawn`` begins background work."""

    def __init__(
        self,
        upload: _UploadCall,
        discard: Callable[[str | os.PathLike[str]], bool],
        *,
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
        are_ephemeral: bool,
    ) -> None:
        self._upload, self._discard, self._spawn, self._are_ephemeral = upload, discard, spawn, are_ephemeral

    async def make(self, source: UploadContent) -> Upload:
        """Upload ``source``. If cancelled, the upload is broken off, or discarded where its copy is completed."""
        work = self._upload(source, name=_new_name(source), ephemeral=self._are_ephemeral)
        task = asyncio.create_task(work, name="discomfort-upload-for-run")
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._are_ephemeral:
                # The copy is completed in its thread whatever happens here, so it is discarded after that.
                self._spawn(self._discard_late(task), "discomfort-late-upload")
            else:
                task.cancel()
            raise

    async def discard(self, uploads: Sequence[Upload]) -> None:
        """Delete them; those on an attached server stay. One that cannot be deleted is logged."""
        paths = [made.path for made in uploads if made.path is not None]
        if paths:
            await finish(in_own_thread(lambda: self._discard_now(paths)))

    async def delete(self, path: Path) -> None:
        """Delete one file, or log why it cannot be deleted."""
        await in_own_thread(lambda: self._discard_now([path]))

    def _discard_now(self, paths: Sequence[Path]) -> None:
        for path in paths:
            try:
                self._discard(path)
            except OSError as error:
                _log.warning("an upload could not be deleted after its run, kill_api() tries again: %s", error)

    async def _discard_late(self, task: asyncio.Task[Upload]) -> None:
        try:
            made = await task
        except Exception as error:  # noqa: BLE001 - nobody waits for it any more
            _log.debug("an upload of a cancelled run failed: %s", error)
        else:
            await self.discard([made])


def _new_name(source: UploadContent) -> str:
    """A name that no other upload has: runs side by side may bring different files of one name."""
    given = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    name = Path(given).name if isinstance(given, str | os.PathLike) else ""
    if not name:
        is_picture = hasattr(source, "save") and hasattr(source, "mode")
        name = "picture.png" if is_picture else "file"
    # The end of a long name has its extension; file systems take 255 bytes.
    return f"{uuid.uuid4().hex[:12]}-{name[-60:]}"
