"""Servers of a pool that this process starts or connects to: each is a connector."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discomfort._json import JsonObject, loads
from discomfort._system.concurrency import in_own_thread
from discomfort.client.artifact import Artifact
from discomfort.client.comfy import ComfyClient
from discomfort.connector.background import BackgroundTasks
from discomfort.connector.connector import ComfyConnector
from discomfort.connector.states import State
from discomfort.conversion.explanation import Explanation
from discomfort.exceptions import ServerDiedError, ServerError, StateError
from discomfort.history import History
from discomfort.pool.run_orders import PoolOrder, RunRecord
from discomfort.pool.server_profile import ServerProfile, profile_of
from discomfort.progress import ProgressEvent

if TYPE_CHECKING:
    from discomfort.connector.file_upload import Upload
    from discomfort.functions.host import FunctionHost

_log = logging.getLogger("discomfort.pool")

_ANSWER = 5.0
"""Seconds within which a healthy server answers; as for a connector's health."""

_PREFIX = "filename_prefix"
"""The input by which ComfyUI's nodes name the files that they save, with the folders above them."""


class LocalServer:
    """A server over a connector that ``connect`` makes; see :class:`~discomfort.pool.pool_servers.PoolServer`."""

    def __init__(
        self,
        name: str,
        connect: Callable[[], Awaitable[ComfyConnector]],
        *,
        labels: Mapping[str, str] | None = None,
        is_owned: bool = True,
    ) -> None:
        self.name: str = name
        self.labels: Mapping[str, str] = dict(labels or {})
        self.is_owned: bool = is_owned
        self._connect = connect
        self._connector: ComfyConnector | None = None
        self._changed: Callable[[], None] = lambda: None
        self._background = BackgroundTasks()
        self._run_folder: Path | None = None

    def __repr__(self) -> str:
        return f"<LocalServer {self.name} {self._connector!r}>"

    @property
    def connector(self) -> ComfyConnector:
        """The connector. Raises StateError before :meth:`start`."""
        if self._connector is None:
            raise StateError(f"the server {self.name} of the pool was not started")
        return self._connector

    @property
    def _host(self) -> FunctionHost:
        """The connector as workflow functions see it."""
        return self.connector._wired.functions

    @property
    def server_address(self) -> str:
        """Its URL."""
        return self.connector.server_address

    def watch(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called whenever :attr:`is_ready` may have changed."""
        self._changed = changed

    @property
    def is_ready(self) -> bool:
        """Whether the connector is ready."""
        return self._connector is not None and self._connector.state is State.READY

    async def start(self) -> None:
        """Start the server or connect to it."""
        self._connector = connector = await self._connect()
        if self.is_owned:
            self._run_folder = await in_own_thread(connector._parts.claim_run_folder)
        # Transitions are made by the connector's tasks, and at its end by threads.
        loop = asyncio.get_running_loop()
        connector._lifecycle.watch(lambda: _call_soon(loop, self._changed))

    async def profile(self) -> ServerProfile:
        """What it is and has, asked now."""
        definitions = await self.connector._node_definitions(fresh=True)
        return profile_of(self.connector.server_address, await self.get("/system_stats"), definitions)

    async def get(self, path: str) -> Any:
        """The JSON answer of a request; ``None`` if the server does not offer it."""
        status, data = await self._ask(lambda client: client.rest.call("GET", path, {}))
        if status != 200:
            return None
        try:
            return loads(data)
        except (ValueError, RecursionError):
            return None

    async def convert(self, workflow: JsonObject) -> JsonObject:
        """The prompt of a workflow, by the frontend in a browser that the connector starts when it is first needed."""
        return await self.connector.get_prompt_from_workflow(workflow)

    async def explain(self, workflow: JsonObject) -> Explanation:
        """The conversion as far as possible."""
        return await self.connector.explain(workflow)

    async def has_file(self, name: str, subfolder: str, folder: str) -> bool:
        """Whether it has a file in one of its folders."""
        return await self.connector._has_file(name, subfolder, folder)

    async def upload_for_call(self, source: Path | bytes, name: str, subfolder: str) -> Upload:
        """Have a file there until :meth:`discard_after_call`."""
        return await self._host.upload_for_call(source, name, subfolder)

    async def discard_after_call(self, made: Upload) -> None:
        """Delete such a file where no other run needs it."""
        await self._host.discard_after_call(made)

    async def run(self, order: PoolOrder, on_event: Callable[[ProgressEvent], None]) -> RunRecord:
        """Run a prompt to its end, and bring what it gave. What it saved is removed from an owned server."""
        folder = None if self._run_folder is None else self._run_folder / order.run_id
        prompt = order.prompt if folder is None else _with_folder(order.prompt, f"{folder.parent.name}/{folder.name}")
        seen: set[str] = set()

        def note(event: ProgressEvent) -> None:
            seen.add(event.prompt_id)
            on_event(event)

        try:
            history = await self.connector.run_workflow(
                prompt, False, on_progress=note, timeout=order.timeout, extra_data=order.extra_data,
                allow_paid=order.allow_paid, api_key=order.api_key,
            )  # fmt: skip
            return RunRecord(history, await self._artifacts(history, order))
        finally:
            if folder is not None:
                self._background.spawn(self._forget_run(folder, seen), "discomfort-forget-run")

    async def free(self) -> None:
        """Have it drop its models and results."""
        await self.connector.free()

    async def wipe(self) -> None:
        """Have it forget what it did. Files that an attached server has saved cannot be deleted from here."""
        await self.connector.free()
        await self._ask(lambda client: client.rest.forget(None))
        engine = self.connector._parts.engine
        if self.is_owned and engine is not None:
            folder = engine.folders.temp
            await in_own_thread(lambda: _empty(folder))

    async def problem(self) -> str:
        """Why it does not answer now, empty if it does."""
        if self._connector is None:
            return "was not started"
        try:
            async with asyncio.timeout(2 * _ANSWER):
                report = await self._connector.health()
        except TimeoutError:
            return f"did not answer within {2 * _ANSWER:g} s"
        return "; ".join(f"{part} {report[part]}" for part in ("server process", "HTTP", "client") if report.get(part))

    def give_up(self, reason: str) -> None:
        """End an owned server, so that whatever runs there has ended, and start it anew."""
        wired = self.connector._wired
        if self.is_owned:
            wired.loss.give_up(ServerDiedError(reason), wired.recovery.count)

    async def close(self) -> None:
        """Release everything."""
        await self._background.end()
        if self._connector is not None:
            try:
                await self._connector.kill_api()
            except Exception:  # noqa: BLE001 - the other servers must be released too
                _log.exception("the server %s was not released in order", self.name)

    def kill_now(self) -> None:
        """Release everything at once."""
        if self._connector is not None:
            self._connector.release_now()

    async def _ask(self, question: Callable[[ComfyClient], Awaitable[Any]]) -> Any:
        return await self.connector._wired.server.ask("pool", question)

    async def _artifacts(self, history: History, order: PoolOrder) -> tuple[Artifact, ...]:
        """Every output with its content: in memory, or in the run's own folder."""
        folder = None if order.folder is None else order.folder / order.run_id
        return tuple([await output.artifact(folder) for output in self.connector.outputs(history)])

    async def _forget_run(self, folder: Path, prompt_ids: set[str]) -> None:
        """Remove what a run left on an owned server: the files that it saved, and its record."""
        await in_own_thread(lambda: shutil.rmtree(folder, ignore_errors=True))
        # A dead server has no record any more.
        if prompt_ids and self.is_ready:
            try:
                await self._ask(lambda client: client.rest.forget(prompt_ids))
            except (ServerError, StateError) as error:
                _log.debug("the records of prompts %s were not deleted: %s", ", ".join(prompt_ids), error)


def _with_folder(prompt: JsonObject, folder: str) -> JsonObject:
    """The prompt with a folder above all files that its nodes save.

    Without it the server would answer a repeated prompt with the files of an earlier run, which are gone.
    """
    made: JsonObject = {}
    for node_id, node in prompt.items():
        inputs = node.get("inputs") if isinstance(node, Mapping) else None
        prefix = inputs.get(_PREFIX) if isinstance(inputs, Mapping) else None
        if isinstance(prefix, str) and isinstance(inputs, Mapping):
            made[node_id] = {**node, "inputs": {**inputs, _PREFIX: f"{folder}/{prefix.lstrip('/')}"}}
        else:
            made[node_id] = node
    return made


def _empty(folder: Path) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _call_soon(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(work)
    except RuntimeError:
        _log.debug("a server of a pool ended after its event loop was closed")
