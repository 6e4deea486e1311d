"""The server of a plan, as the planner sees it: what it asks, whoever answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from discomfort._json import JsonObject
from discomfort.conversion.explanation import Explanation


class PlannedServer(Protocol):
    """What a plan needs of a server."""

    @property
    def is_local(self) -> bool:
        """Whether its folders are on this machine."""
        ...

    async def description(self) -> str:
        """Its name for people: ``ComfyUI 0.33.0``."""
        ...

    async def definitions(self) -> JsonObject:
        """Its ``/object_info``, fetched now."""
        ...

    async def explain(self, workflow: JsonObject) -> Explanation:
        """The conversion of a workflow. Raises as the connector's ``explain``."""
        ...

    async def get(self, path: str) -> Any:
        """The JSON answer of a request; ``None`` if the server does not offer it."""
        ...

    async def has_file(self, name: str, subfolder: str, folder: str) -> bool:
        """Whether it has an input file."""
        ...

    def log_lines(self) -> Sequence[str]:
        """The lines of its log that this process has; none for a server that somebody else runs."""
        ...
