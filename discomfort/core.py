"""What happens inside a connector: the documented internal methods, the boot, and the way of one run."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from discomfort._async import finish, first_failure, in_thread, retrieve
from discomfort._json import JsonObject
from discomfort.assembly import Assembly
from discomfort.client.comfy import ComfyClient
from discomfort.config import Settings
from discomfort.exceptions import (
    BrowserError,
    DiscomfortError,
    MissingNodesError,
    PayloadError,
    SelfTestError,
    ServerConnectionError,
    StateError,
)
from discomfort.lifecycle import Lifecycle, State
from discomfort.process.probes import responds
from discomfort.progress import ProgressCallback
from discomfort.selftest import SELF_TEST_TIMEOUT, self_test_payload
from discomfort.uploads import UploadPlaces
from discomfort.workflow.detect import Kind, parse_payload, payload_from_png, unwrap

_log = logging.getLogger("discomfort.connector")

_DEATH_NOTICE = 2.0
"""Seconds to wait for the news of a process's end after its connection broke, to tell death from a network fault."""

_EMULATOR_REMEDY = (
    "This is the embedded emulator, which has core nodes that need no model only; "
    "install ComfyUI and set COMFYUI_PATH to run them."
)
_PNG = b"\x89PNG\r\n\x1a\n"

Payload = Mapping[str, Any] | str | os.PathLike[str]
"""A workflow or prompt: the object, JSON text, or the path of a JSON file or of a PNG that ComfyUI saved."""


class ConnectorCore:
    """State and parts of a connector, and everything that it does with them; the public face is ``ComfyConnector``."""

    def __init__(
        self, settings: Settings, *, attach_url: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._parts = Assembly(settings, attach_url=attach_url, headers=headers)
        self._lifecycle = Lifecycle()
        self._init_lock = asyncio.Lock()
        self._starting: asyncio.Task[None] | None = None
        self._start_waiters = 0
        self._closing: asyncio.Task[None] | None = None
        self._self_test_error: BaseException | None = None
        self._uploads = UploadPlaces()

    @property
    def state(self) -> State:
        """``uninit``, ``initializing``, ``ready``, ``error`` or ``killed``."""
        return self._lifecycle.state

    @property
    def server_address(self) -> str:
        """HTTP URL of the server, such as ``http://127.0.0.1:8188``."""
        return self._parts.url

    # --- documented internals --------------------------------------------------------------------------------------

    async def _ensure_initialized(self) -> None:
        """Make the connector ready: validate what is there, drop what is stale, start what is missing.

        On failure everything of the server is given back, the state is ``error``, and the error is raised.
        """
        async with self._init_lock:
            if self.state is State.KILLED or self._closing is not None:
                raise StateError("the connector was shut down; create a new one")
            if self.state is State.READY and await self._validate_resources():
                return
            first = self.state is State.UNINIT
            self._lifecycle.to(State.INITIALIZING)
            try:
                if not first:
                    await self._parts.release_server()
                await self._boot()
            except BaseException as error:
                self._lifecycle.to(State.ERROR, repr(error))
                release = self._parts.release if first else self._parts.release_server
                await finish(release())
                raise
            self._lifecycle.to(State.READY)

    async def _validate_resources(self) -> bool:
        """Whether process, browser, socket and HTTP all work; what does not is named in the log."""
        parts = self._parts
        checks = {"client": parts.client is not None}
        if parts.owned:
            supervisor = parts.supervisor
            checks["server process"] = supervisor is not None and supervisor.running and not supervisor.worker_died
        if parts.converter is not None:
            checks["browser"] = parts.converter.healthy
        if parts.client is not None:
            checks["WebSocket"] = parts.client.connected
        checks["HTTP"] = all(checks.values()) and await self._is_api_running()
        ill = [name for name, healthy in checks.items() if not healthy]
        if ill:
            _log.warning("not healthy: %s", ", ".join(ill))
        return not ill

    async def _init_playwright(self) -> None:
        """Launch headless Chromium, installing it where it is missing, and begin to load the first page."""
        await self._parts.start_browser()

    def _find_available_port(self) -> int:
        """Lease and return the first free port from ``INITIAL_PORT`` upwards. Raises ServerStartError."""
        return self._parts.take_port()

    async def _start_api(self) -> None:
        """Start the server and wait until it answers. Raises ServerStartError, ServerStartTimeout.

        On an attached server: check that it answers. Raises ServerConnectionError.
        """
        if self._parts.owned:
            await self._parts.start_server(self._server_exited)
        elif not await self._is_api_running():
            raise ServerConnectionError("no ComfyUI answers there", url=self.server_address)
        else:
            self._parts.server_ready.set()

    async def _is_api_running(self) -> bool:
        """Whether the server answers HTTP within a second (five where it is attached, over a network)."""
        timeout = 1.0 if self._parts.owned else 5.0
        async with aiohttp.ClientSession(headers=self._parts.headers) as session:
            return await responds(session, self.server_address, timeout=timeout)

    async def _restart_browser(self) -> None:
        """Close the browser, forcefully if need be, and launch a fresh one. Raises BrowserError."""
        await self._parts.get_converter().restart_browser()

    async def _attempt_workflow_to_prompt_conversion(self, workflow: JsonObject) -> JsonObject:
        """One conversion in a browser context and page of its own, closed afterwards. Raises ConversionError."""
        return await self._parts.get_converter().attempt_isolated(workflow)

    async def _execute_prompt_and_wait(self, prompt: JsonObject) -> JsonObject:
        """Queue a prompt, wait for its end, return its history. Raises as :meth:`run_workflow` does."""
        return await self._run(prompt)

    async def _test_server(self) -> bool:
        """Run the self-test workflow through conversion, execution and result; ``False`` is explained in the log."""
        self._self_test_error = None
        eager = self._settings.browser == "eager"
        try:
            payload = self_test_payload(self._settings.test_payload_file, browser=eager)
            prompt, extra = await self._to_prompt(payload, unwrap(payload)[0] == "workflow", None)
            history = await self._run(prompt, timeout=SELF_TEST_TIMEOUT, extra_data=extra)
            return all(record["outputs"] for record in history.values())
        except (DiscomfortError, OSError) as error:
            _log.error("self-test failed: %s", error)
            self._self_test_error = error
            return False

    async def _ensure_fresh_websocket(self) -> None:
        """Replace the socket by a new one with a new client id. Runs under way go on. Raises ServerConnectionError."""
        if self._parts.client is None:
            await self._parts.open_client()
        else:
            await self._parts.client.refresh_socket()

    def _delete_data(self) -> None:
        """Delete all ephemeral uploads; what can not be deleted is logged."""
        if self._parts.files is not None:
            self._parts.files.delete_ephemeral()

    # --- boot and death --------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        """Wait for the start or recovery that all callers share; the last waiter to be cancelled cancels it."""
        if self._starting is None or self._starting.done():
            self._starting = self._loop.create_task(self._run_start(), name="discomfort-start")
        starting = self._starting
        self._start_waiters += 1
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            if self._start_waiters == 1 and not starting.done():
                starting.cancel()
                try:
                    await finish(asyncio.wait([starting]))
                finally:
                    retrieve(starting)
            raise
        finally:
            self._start_waiters -= 1

    async def _run_start(self) -> None:
        first = self.state is State.UNINIT
        if first:
            atexit.register(self._sync_cleanup)
        try:
            await self._ensure_initialized()
        except BaseException:
            if first and self._closing is None:
                self._forget_instance()
            raise

    def _sync_cleanup(self) -> None:
        """Kill and delete without an event loop."""
        raise NotImplementedError

    def _forget_instance(self) -> None:
        """Called when everything was given back."""
        raise NotImplementedError

    async def _boot(self) -> None:
        """Server and browser side by side, then the socket, then the self-test."""
        await in_thread(self._parts.prepare)
        self._announce_engine()
        if self._parts.owned:
            self._find_available_port()
        try:
            async with asyncio.TaskGroup() as group:
                if self._settings.browser == "eager":
                    group.create_task(self._init_playwright())
                group.create_task(self._start_server_and_socket())
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from failures
        if self._parts.owned and not await self._test_server():
            problem = self._self_test_error or "the self-test gave no output"
            raise SelfTestError(f"the self-test failed: {problem}") from self._self_test_error
        if not self._parts.owned and self._settings.browser == "eager":
            await self._parts.get_converter().wait_page()

    async def _start_server_and_socket(self) -> None:
        await self._start_api()
        await self._parts.open_client()

    def _announce_engine(self) -> None:
        engine = self._parts.engine
        if engine is None:
            return
        level = logging.WARNING if engine.kind == "emulator" and self._settings.engine == "auto" else logging.INFO
        _log.log(level, "engine: %s (%s)", engine.kind, engine.reason)

    def _server_exited(self) -> None:
        """Called from a thread when the server's process or its execution thread ended."""
        try:
            self._loop.call_soon_threadsafe(self._server_died)
        except RuntimeError:
            _log.debug("the server ended after its event loop")

    def _server_died(self) -> None:
        supervisor = self._parts.supervisor
        if self._closing is not None or supervisor is None or (supervisor.running and not supervisor.worker_died):
            return
        _log.error("%s", self._parts.death().problem)
        if self.state is State.READY:
            self._lifecycle.to(State.ERROR, "the server died")
        if self._parts.client is not None:
            self._parts.client.fail_pending(self._parts.death)

    # --- runs ------------------------------------------------------------------------------------------------------

    async def _ensure_ready(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise StateError("the connector belongs to another event loop; use it there, or SyncConnector from threads")
        if self.state is State.KILLED or self._closing is not None:
            raise StateError("the connector was shut down; create a new one")
        if self.state is not State.READY:
            await self._start()

    async def _to_prompt(
        self,
        payload: Payload,
        expect_workflow: bool,
        extra_data: Mapping[str, Any] | None,
    ) -> tuple[JsonObject, Mapping[str, Any] | None]:
        kind, loaded = await load_payload(payload)
        if (kind == "workflow") is not expect_workflow:
            _log.info("use_workflow_json=%s, but the payload is a %s; it is run as such", expect_workflow, kind)
        if kind == "prompt":
            return loaded, extra_data
        prompt = await self._converter_call(lambda: self._parts.get_converter().convert(loaded))
        extra = dict(extra_data or {})
        extra["extra_pnginfo"] = {"workflow": loaded, **(extra.get("extra_pnginfo") or {})}
        return prompt, extra

    async def _run(
        self,
        prompt: JsonObject,
        *,
        on_progress: ProgressCallback | None = None,
        timeout: float | None = None,
        extra_data: Mapping[str, Any] | None = None,
        asked: float | None = None,
    ) -> JsonObject:
        client, engine = self._client(), self._parts.engine
        try:
            if self._uploads and engine is not None:
                prompt = self._uploads.resolve(prompt, await client.definitions(), engine.folders.input)
            return await client.run(
                prompt, on_progress=on_progress, timeout=timeout, extra_data=extra_data, asked=asked
            )
        except ServerConnectionError as error:
            await self._raise_if_dead(error)
            raise
        except MissingNodesError as error:
            self._raise_if_emulated(error)
            raise

    async def _converter_call(self, call: Callable[[], Awaitable[JsonObject]]) -> JsonObject:
        try:
            return await call()
        except (ServerConnectionError, BrowserError) as error:
            await self._raise_if_dead(error)
            raise
        except MissingNodesError as error:
            self._raise_if_emulated(error)
            raise

    def _raise_if_emulated(self, error: MissingNodesError) -> None:
        """On the emulator the remedy is not to install a pack."""
        if self._parts.engine is not None and self._parts.engine.kind == "emulator":
            raise MissingNodesError(error.missing, remedy=_EMULATOR_REMEDY) from error

    async def _raise_if_dead(self, cause: BaseException) -> None:
        """Raise the server's death where that is the true reason of a broken connection."""
        supervisor = self._parts.supervisor
        if supervisor is None:
            return
        try:
            async with asyncio.timeout(_DEATH_NOTICE):
                await supervisor.wait()
        except TimeoutError:
            return
        raise self._parts.death() from cause

    def _client(self) -> ComfyClient:
        if self._parts.client is None:
            raise StateError(f"the connector is {self.state}, it has no connection to a server")
        return self._parts.client


async def load_payload(payload: Payload) -> tuple[Kind, JsonObject]:
    """The graph in a payload, and its kind: from the object itself, JSON text, or a file, which may be a PNG.

    Files are read and parsed in a thread. Raises PayloadError, FileNotFoundError.
    """
    if isinstance(payload, Mapping):
        return unwrap(payload if isinstance(payload, dict) else dict(payload))
    if isinstance(payload, str) and payload.lstrip("\ufeff \t\r\n")[:1] in ("{", "["):
        return unwrap(await asyncio.to_thread(parse_payload, payload))
    if isinstance(payload, (str, os.PathLike)):
        return unwrap(await asyncio.to_thread(_read_payload, Path(payload)))
    raise PayloadError(f"a payload is an object, JSON text or a path, not {type(payload).__name__}")


def _read_payload(path: Path) -> JsonObject:
    if "\0" in str(path) or not path.is_file():
        raise FileNotFoundError(f"no payload file at {str(path)[:300]!r} (and it is not JSON text)")
    data = path.read_bytes()
    return payload_from_png(data) if data.startswith(_PNG) else parse_payload(data)
