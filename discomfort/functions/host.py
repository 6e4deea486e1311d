"""The part of a connector that functions need, so that they can be tested without a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from discomfort._json import JsonObject
from discomfort.connector.payload_filling import Filling
from discomfort.connector.payloads import Payload
from discomfort.connector.run_handle import Run
from discomfort.connector.run_result import RunResult
from discomfort.progress import ProgressCallback

if TYPE_CHECKING:
    from discomfort.connector.file_upload import Upload, UploadContent


class FunctionHost(Protocol):
    """The part of :class:`~discomfort.connector.ComfyConnector` that a function uses."""

    @property
    def server_address(self) -> str:
        """The server's URL."""
        ...

    async def get_prompt_from_workflow(self, workflow: Payload) -> JsonObject:
        """The prompt of a workflow."""
        ...

    async def _node_definitions(self, *, fresh: bool = False) -> JsonObject:
        """The definitions of the server's nodes, which are not to be changed."""
        ...

    async def _has_file(self, name: str, subfolder: str, folder: str) -> bool:
        """Whether the server has a file in its folder ``input``, ``output`` or ``temp``."""
        ...

    async def _upload_for_run(self, source: UploadContent) -> Upload:
        """Upload a file under a name of its own, until :meth:`_discard_after_run`."""
        ...

    async def _discard_after_run(self, uploads: list[Upload]) -> None:
        """Delete such files where the server is owned. Never raises."""
        ...

    async def _run_filled(
        self,
        filling: Filling,
        *,
        on_progress: ProgressCallback | None,
        timeout: float | None,
        extra_data: Mapping[str, Any] | None,
    ) -> RunResult:
        """Run the payload that ``filling`` makes, to its end."""
        ...

    async def _submit_filled(
        self, filling: Filling, *, timeout: float | None, extra_data: Mapping[str, Any] | None
    ) -> Run:
        """Submit the payload that ``filling`` makes."""
        ...
