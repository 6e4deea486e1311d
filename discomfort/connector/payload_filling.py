"""Fills a payload for one run: sets inputs to values, and uploads files for the inputs that take their names."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discomfort.connector.file_upload import Upload
from discomfort.connector.payloads import Payload
from discomfort.workflow.edit import Editor

if TYPE_CHECKING:
    from discomfort.connector.file_upload import UploadContent


class PayloadFilling:
    """``values`` and ``files`` by selector; ``uploads`` are those that were made, whatever happened after them."""

    def __init__(
        self,
        values: Mapping[str, Any] | None,
        files: Mapping[str, UploadContent] | None,
        *,
        edit: Callable[[Payload], Awaitable[Editor]],
        upload: Callable[[UploadContent, str], Coroutine[Any, Any, Upload]],
        on_late: Callable[[asyncio.Task[Upload]], None],
    ) -> None:
        self._values, self._files, self._edit = dict(values or {}), dict(files or {}), edit
        self._upload, self._on_late = upload, on_late
        self.uploads: list[Upload] = []

    async def fill(self, payload: Payload) -> Payload:
        """The filled payload. Every selector is resolved and every value set before anything is uploaded."""
        if not self._values and not self._files:
            return payload
        editor = await self._edit(payload)
        for selector, value in self._values.items():
            editor.set(selector, value)
        for selector in self._files:
            editor.get(selector)
        for selector, source in self._files.items():
            upload = await self._uploaded(source)
            self.uploads.append(upload)
            editor.set(selector, upload.value)
        return editor.payload

    async def _uploaded(self, source: UploadContent) -> Upload:
        task = asyncio.create_task(self._upload(source, _new_name(source)), name="discomfort-upload-for-run")
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # A copy is completed in its thread whatever happens here, so it must be taken back after that.
            self._on_late(task)
            raise


def _new_name(source: UploadContent) -> str:
    """A name that no other upload has: runs side by side may bring different files of one name."""
    given = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    name = Path(given).name if isinstance(given, str | os.PathLike) else ""
    if not name:
        is_picture = hasattr(source, "save") and hasattr(source, "mode")
        name = "picture.png" if is_picture else "file"
    # The end of a long name has its extension; file systems take 255 bytes.
    return f"{uuid.uuid4().hex[:12]}-{name[-60:]}"
