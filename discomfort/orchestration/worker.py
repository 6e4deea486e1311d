"""The part of a connector that runs need, so that they can be tested without a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from discomfort._json import JsonObject
from discomfort.client.value_transfer import ValueTransfer
from discomfort.connector.payloads import Payload
from discomfort.history import History
from discomfort.progress import ProgressCallback

if TYPE_CHECKING:
    from discomfort.client.outputs import Output
    from discomfort.connector.file_upload import Upload

T = TypeVar("T")


class Worker(Protocol):
    """The part of :class:`~discomfort.connector.ComfyConnector` that a run uses."""

    @property
    def engine(self) -> str:
        """``attached`` for a server that somebody else runs."""
        ...

    async def run_workflow(
        self,
        payload: Payload,
        use_workflow_json: bool = True,
        *,
        on_progress: ProgressCallback | None = None,
        timeout: float | None = None,
        extra_data: Mapping[str, Any] | None = None,
        allow_paid: bool | None = None,
        api_key: str | None = None,
    ) -> History:
        """Run a prompt to its end."""
        ...

    async def get_prompt_from_workflow(self, workflow: Payload) -> JsonObject:
        """The prompt of a workflow."""
        ...

    async def _node_definitions(self, *, fresh: bool = False) -> JsonObject:
        """The definitions of the server's nodes, which are not to be changed."""
        ...

    async def _check_prompt(
        self, prompt: JsonObject, definitions: JsonObject, *, allow_paid: bool | None = None
    ) -> None:
        """Raises what a run of the prompt raises before it is sent, by these definitions; empty if there are none."""
        ...

    async def upload(self, source: bytes, *, name: str, folder_type: str, subfolder: str) -> Upload:
        """Upload a file."""
        ...

    def outputs(self, history: Mapping[str, Any]) -> list[Output]:
        """What the nodes of a run gave."""
        ...

    async def _has_file(self, name: str, subfolder: str, folder: str) -> bool:
        """Whether the server has a file in its folder ``input``, ``output`` or ``temp``."""
        ...

    @property
    def _has_token(self) -> bool:
        """Whether there is a token for the server's routes of values."""
        ...

    async def _with_values(self, work: Callable[[ValueTransfer], Awaitable[T]]) -> T:
        """Do something with the values that the server has."""
        ...
