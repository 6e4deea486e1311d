"""The interface of a server in a pool, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from discomfort._json import JsonObject
from discomfort.conversion.explanation import Explanation
from discomfort.functions.host import FileHost
from discomfort.pool.run_orders import PoolOrder, RunRecord
from discomfort.pool.server_profile import ServerProfile
from discomfort.progress import ProgressEvent


class PoolServer(FileHost, Protocol):
    """One server of a pool. All calls come from the pool's event loop."""

    @property
    def name(self) -> str:
        """Its name in the pool."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """What runs may ask for."""
        ...

    @property
    def is_owned(self) -> bool:
        """Whether the pool has started it, and may end it."""
        ...

    def watch(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called in the event loop whenever :attr:`is_ready` may have changed."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether it takes runs now, as far as is known without asking it."""
        ...

    async def start(self) -> None:
        """Start it or connect to it. Raises ServerError and what else a connector raises; nothing is left then."""
        ...

    async def profile(self) -> ServerProfile:
        """What it is and has, asked now. Raises ServerError, StateError."""
        ...

    async def get(self, path: str) -> Any:
        """The JSON answer of a request; ``None`` if the server does not offer it. Raises ServerError, StateError."""
        ...

    async def convert(self, workflow: JsonObject) -> JsonObject:
        """The prompt of a workflow, by the real frontend. Raises as ``get_prompt_from_workflow``."""
        ...

    async def explain(self, workflow: JsonObject) -> Explanation:
        """The conversion of a workflow as far as possible, whatever node types are missing."""
        ...

    async def run(self, order: PoolOrder, on_event: Callable[[ProgressEvent], None]) -> RunRecord:
        """Run a prompt to its end. Cancelling the task ends the run on the server, and no other.

        Raises ServerDiedError if the server is lost, otherwise as :meth:`ComfyConnector.run_workflow`.
        """
        ...

    async def free(self) -> None:
        """Have it drop its models and results. Raises ServerError, StateError."""
        ...

    async def wipe(self) -> None:
        """Have it forget what it did: models, results, history, and files in its folder for temporary ones."""
        ...

    async def problem(self) -> str:
        """Why it does not answer now, empty if it does. Never raises, and takes 5 s at most."""
        ...

    def give_up(self, reason: str) -> None:
        """End it if it is owned, so that whatever runs there has ended, and start it anew."""
        ...

    async def close(self) -> None:
        """Release everything. Never raises."""
        ...

    def kill_now(self) -> None:
        """Release everything at once, without an event loop."""
        ...
