"""The connector's server as a plan sees it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from discomfort._json import JsonObject, loads
from discomfort.client.comfy import ComfyClient
from discomfort.connector.prompts import Prompts
from discomfort.connector.resources import Resources
from discomfort.conversion.explanation import Explanation
from discomfort.exceptions import StateError

_log = logging.getLogger("discomfort.connector")

_LOG_LINES = 500

T = TypeVar("T")


class ServerView:
    """Answers what a plan asks; each answer ends with the server, as calls do."""

    def __init__(self, parts: Resources, prompts: Prompts) -> None:
        self._parts, self._prompts = parts, prompts

    @property
    def is_local(self) -> bool:
        """Whether its folders are on this machine: those of owned servers are."""
        return self._parts.owned

    async def description(self) -> str:
        """Engine and version, as ``ComfyUI 0.33.0``."""
        features = await self._ask(lambda client: client.features())
        engine = self._parts.engine
        name = "the emulator as ComfyUI" if engine is not None and engine.kind == "emulator" else "ComfyUI"
        return f"{name} {features.version}" if features.version else name

    async def definitions(self) -> JsonObject:
        """Its node definitions, fetched now, since their lists have the models. Raises ServerResponseError."""
        self._client().forget_definitions()
        return await self._ask(lambda client: client.shared_definitions())

    async def explain(self, workflow: JsonObject) -> Explanation:
        """The conversion of a workflow."""
        return await self._prompts.explain(workflow)

    async def get(self, path: str) -> Any:
        """The JSON answer of a request; ``None`` if the server does not offer it."""
        status, data = await self._ask(lambda client: client.rest.call("GET", path, {}))
        if status != 200:
            return None
        try:
            return loads(data)
        except (ValueError, RecursionError):
            _log.debug("the answer to GET %s is not JSON", path)
            return None

    async def has_file(self, name: str, subfolder: str, folder: str) -> bool:
        """Whether it has an input file. Raises ServerResponseError."""
        return await self._ask(lambda client: client.rest.has_file(name, subfolder, folder))

    def log_lines(self) -> Sequence[str]:
        """The lines of an owned server's log that are kept."""
        supervisor = self._parts.supervisor
        return supervisor.log_tail(_LOG_LINES) if supervisor is not None else ()

    async def _ask(self, question: Callable[[ComfyClient], Awaitable[T]]) -> T:
        return await self._prompts.with_server(lambda: question(self._client()))

    def _client(self) -> ComfyClient:
        if self._parts.client is None:
            raise StateError("the connector has no connection to a server")
        return self._parts.client
