"""The part of a connector that functions need, so that they can be tested without a server."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from discomfort._json import JsonObject
from discomfort.connector.payload_filling import Filling
from discomfort.connector.payloads import Payload
from discomfort.connector.run_handle import Run
from discomfort.connector.run_result import RunResult
from discomfort.conversion.explanation import Explanation
from discomfort.planning.needs import ValueNeed
from discomfort.planning.workflow_plan import WorkflowPlan
from discomfort.progress import ProgressCallback
from discomfort.workflow.detect import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from discomfort.connector.file_upload import Upload


class FileLookup(Protocol):
    """Where it is looked whether a server has a file."""

    @property
    def server_address(self) -> str:
        """The server's URL."""
        ...

    async def has_file(self, name: str, subfolder: str, folder: str) -> bool:
        """Whether the server has a file in its folder ``input``, ``output`` or ``temp``."""
        ...


class FileHost(FileLookup, Protocol):
    """The server to which the files of a call are brought."""

    async def upload_for_call(self, source: Path | bytes, name: str, subfolder: str) -> Upload:
        """Have a file on the server until :meth:`discard_after_call`; equal ones are one."""
        ...

    async def discard_after_call(self, made: Upload) -> None:
        """Delete such a file where the server is owned and no other call needs it. Never raises."""
        ...


class ConversionHost(Protocol):
    """What converts a workflow, and knows the nodes that it was converted for."""

    async def get_prompt_from_workflow(self, workflow: Payload) -> JsonObject:
        """The prompt of a workflow."""
        ...

    async def explain(self, workflow: Payload) -> Explanation:
        """The conversion of a workflow as far as possible, whatever node types are missing."""
        ...

    async def node_definitions(self, *, fresh: bool = False) -> JsonObject:
        """The definitions of the server's nodes, which are not to be changed."""
        ...


class FunctionHost(FileHost, ConversionHost, Protocol):
    """The part of :class:`~discomfort.connector.ComfyConnector` that a function uses."""

    async def plan_graph(
        self,
        kind: Kind,
        graph: JsonObject,
        name: str,
        values: Mapping[str, Any],
        *,
        brought: Collection[str] = (),
        wrong: Sequence[ValueNeed] = (),
        unknown: Sequence[str] = (),
        online: bool = False,
        api_key: str | None = None,
    ) -> WorkflowPlan:
        """The plan of a graph with these values; inputs in ``brought`` get files, the others are in the plan."""
        ...

    def refuse_paid(self, graph: JsonObject, definitions: Mapping[str, Any], *, allow_paid: bool | None) -> None:
        """Raise PaidNodesError if a prompt has nodes that cost money, and may not run them."""
        ...

    async def run_filled(
        self,
        filling: Filling,
        *,
        on_progress: ProgressCallback | None,
        timeout: float | None,
        extra_data: Mapping[str, Any] | None,
        allow_paid: bool | None = None,
        api_key: str | None = None,
    ) -> RunResult:
        """Run the payload that ``filling`` makes, to its end."""
        ...

    async def submit_filled(
        self,
        filling: Filling,
        *,
        timeout: float | None,
        extra_data: Mapping[str, Any] | None,
        allow_paid: bool | None = None,
        api_key: str | None = None,
    ) -> Run:
        """Submit the payload that ``filling`` makes."""
        ...
