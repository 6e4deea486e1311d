"""Fills a payload for one run: sets inputs to values, and uploads files for the inputs that take their names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from discomfort._json import JsonObject
from discomfort.connector.file_upload import Upload
from discomfort.connector.payloads import Payload
from discomfort.connector.run_uploads import RunUploads
from discomfort.workflow.edit import Editor

if TYPE_CHECKING:
    from discomfort.connector.file_upload import UploadContent


class Filling(Protocol):
    """Makes the payload that a run sends, within the run's time, and takes back what it uploaded for it."""

    async def fill(self, payload: Payload) -> Payload:
        """The payload to run. Called once, when there is a server."""
        ...

    async def take_back(self) -> None:
        """Called once at the end of the run, whatever it came to. Never raises."""
        ...


class PayloadFilling:
    """``values`` and ``files`` by selector, for one run."""

    def __init__(
        self,
        values: Mapping[str, Any] | None,
        files: Mapping[str, UploadContent] | None,
        *,
        edit: Callable[[Payload], Awaitable[Editor]],
        uploads: RunUploads,
        check: Callable[[JsonObject], Awaitable[None]],
    ) -> None:
        self._values, self._files, self._edit = dict(values or {}), dict(files or {}), edit
        self._uploads, self._check, self._made = uploads, check, list[Upload]()

    async def fill(self, payload: Payload) -> Payload:
        """The filled payload. Selectors are resolved, values set, and all is checked before anything is uploaded.

        What has no certain place in a workflow is set on its prompt, which ``check`` therefore makes.
        """
        if not self._values and not self._files:
            return payload
        editor = (await self._edit(payload)).set_all(self._values, defer=True)
        for selector in self._files:
            editor.find(selector)
        if self._files:
            await self._check(editor.payload)
        for selector, source in self._files.items():
            upload = await self._uploads.make(source)
            self._made.append(upload)
            editor.set_or_defer(selector, upload.value)
        return editor.payload

    async def take_back(self) -> None:
        """Discard the uploads, whatever the run came to."""
        await self._uploads.discard(self._made)
