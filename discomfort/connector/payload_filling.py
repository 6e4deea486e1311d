"""Fills a payload for one run: sets inputs to values, and uploads files for the inputs that take their names."""

from __future__ import annotations

import os
import uuid
from collections.abc import Awaitable, Callable, Mapping
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
        upload: Callable[[UploadContent, str], Awaitable[Upload]],
    ) -> None:
        self._values, self._files, self._edit, self._upload = dict(values or {}), dict(files or {}), edit, upload
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
            upload = await self._upload(source, _new_name(source))
            self.uploads.append(upload)
            editor.set(selector, upload.value)
        return editor.payload


def _new_name(source: UploadContent) -> str:
    """A name that no other upload has: runs side by side may bring different files of one name."""
    name = Path(source).name if isinstance(source, str | os.PathLike) else Path(str(getattr(source, "name", ""))).name
    if not name:
        name = "file" if isinstance(source, bytes) or hasattr(source, "read") else "picture.png"
    return f"{uuid.uuid4().hex[:12]}-{name}"
