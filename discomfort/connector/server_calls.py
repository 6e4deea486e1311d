"""Calls of a connector that ask its server something or bring it files. Each ends with the connector."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from discomfort._json import JsonObject
from discomfort.client.comfy import ComfyClient
from discomfort.client.outputs import Output, collect_outputs
from discomfort.client.value_transfer import ValueTransfer
from discomfort.connector.calls import Call, Calls
from discomfort.connector.file_upload import Upload, UploadTarget, upload
from discomfort.connector.payloads import Payload, load_payload, taken
from discomfort.connector.prompts import Prompts
from discomfort.connector.resources import Resources
from discomfort.connector.run_policy import RunPolicy
from discomfort.connector.states import Lifecycle
from discomfort.context.exchange import TOKEN_HEADER, VALUES
from discomfort.conversion.explanation import Explanation
from discomfort.exceptions import ServerResponseError, StateError
from discomfort.workflow.edit import Editor

if TYPE_CHECKING:
    from discomfort.connector.file_upload import UploadContent

_log = logging.getLogger("discomfort.connector")

T = TypeVar("T")


class ServerCalls:
    """Waits for a server, asks it, and asks the next one if it died meanwhile; ``ready`` waits for a server."""

    def __init__(
        self,
        parts: Resources,
        lifecycle: Lifecycle,
        prompts: Prompts,
        policy: RunPolicy,
        calls: Calls,
        *,
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        self._parts, self._lifecycle, self._prompts, self._policy = parts, lifecycle, prompts, policy
        self._calls, self._ready = calls, ready
        self._values: ValueTransfer | None = None

    def open(self, name: str) -> AbstractAsyncContextManager[Call]:
        """Wraps a public call other than a run: a shutdown makes it raise StateError wherever it waits."""
        return self._calls.open(lambda: StateError(f"the connector was shut down during {name}"))

    def client(self) -> ComfyClient:
        """The connection to the server. Raises StateError without one."""
        if self._parts.client is None:
            raise StateError(f"the connector is {self._lifecycle.state}, it has no connection to a server")
        return self._parts.client

    async def ask(self, name: str, question: Callable[[ComfyClient], Awaitable[T]]) -> T:
        """The answer to the question of the call ``name``. Raises StateError, and what the question raises."""
        async with self.open(name):
            await self._ready()
            return await self._prompts.with_server(lambda: question(self.client()))

    async def prompt_of(self, workflow: Payload) -> JsonObject:
        """The prompt of a workflow."""
        workflow = taken(workflow)
        async with self.open("get_prompt_from_workflow"):
            await self._ready()
            return await self._prompts.from_workflow(workflow)

    async def explain(self, workflow: Payload) -> Explanation:
        """What the conversion of a workflow does."""
        workflow = taken(workflow)
        async with self.open("explain"):
            await self._ready()
            return await self._prompts.explain(workflow)

    async def node_definitions(self, *, fresh: bool = False) -> JsonObject:
        """The server's ``/object_info``; ``fresh``: fetched now. Empty if the server does not have it."""
        async with self.open("run"):
            await self._ready()
            if fresh:
                self.client().forget_definitions()
            try:
                return await self._prompts.with_server(lambda: self.client().shared_definitions())
            except ServerResponseError as error:
                _log.warning("ports have no types, since there are no node definitions: %s", error.problem)
                return {}

    async def check_prompt(self, prompt: JsonObject, definitions: JsonObject) -> None:
        """Raises what the server's definitions have against a prompt."""
        async with self.open("run"):
            await self._ready()
            named = self._policy.with_upload_names(prompt, definitions)
            await self._prompts.with_server(lambda: self.client().check_prompt(named, definitions or None))

    async def editor(self, payload: Payload, workflow: Payload | None = None) -> Editor:
        """An editor of a payload, by the server's definitions; ``workflow`` is what a prompt was made of."""
        payload, origin = taken(payload), None if workflow is None else taken(workflow)
        async with self.open("edit"):
            await self._ready()
            _, graph = await load_payload(payload)
            titles = None if origin is None else (await load_payload(origin))[1]
            definitions = await self._prompts.with_server(lambda: self.client().shared_definitions())
            return Editor(graph, definitions, workflow=titles)

    async def has_file(self, name: str, subfolder: str, folder: str) -> bool:
        """Whether the server has a file in its folder ``input``, ``output`` or ``temp``."""
        return await self.ask("run", lambda client: client.rest.has_file(name, subfolder, folder))

    async def upload(
        self,
        source: UploadContent,
        *,
        name: str | None = None,
        folder_type: str = "input",
        subfolder: str = "",
        overwrite: bool = False,
        ephemeral: bool = False,
    ) -> Upload:
        """Upload a path, bytes, a file object or a picture."""
        async with self.open("upload"):
            self._lifecycle.refuse_if_ending()
            target = UploadTarget(folder_type, subfolder, overwrite, ephemeral)
            return await upload(self._parts, self._policy.uploads, source, target, name)

    def discard_upload(self, path: str | os.PathLike[str]) -> bool:
        """Delete one ephemeral upload; returns whether it was deleted. Raises OSError."""
        files, engine = self._parts.files, self._parts.engine
        if files is None or not files.discard(path):
            return False
        if engine is not None:
            self._policy.uploads.forget(Path(path), engine.folders.input)
        return True

    def outputs(self, history: Mapping[str, Any]) -> list[Output]:
        """Every output in a history."""
        client = self._parts.client
        return collect_outputs(dict(history), client.rest if client else None)

    def values(self) -> ValueTransfer:
        """The transfer of values to the server and back. Raises StateError without a token."""
        rest, token = self.client().rest, self._parts.settings.token
        if token is None:
            raise StateError("there is no token for the values of the server")
        if self._values is None or self._values.rest is not rest:
            self._values = ValueTransfer(rest, VALUES, {TOKEN_HEADER: token.get_secret_value()})
        return self._values
