"""What happens inside a connector: the documented internal methods, the boot, and the way of one run."""

from __future__ import annotations

import asyncio
import atexit
import logging
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from discomfort._async import finish, first_failure, in_thread, retrieve
from discomfort._http import open_session
from discomfort._json import JsonObject, copied
from discomfort.client.comfy import ComfyClient
from discomfort.connector.calls import Call
from discomfort.connector.lifecycle import State
from discomfort.connector.liveness import REFUSED, VITAL, examine, http_problem
from discomfort.connector.payloads import Payload, load_payload
from discomfort.connector.running import Case
from discomfort.connector.selftest import SELF_TEST_TIMEOUT, self_test_payload
from discomfort.connector.survival import ConnectorBase
from discomfort.exceptions import (
    DiscomfortError,
    ExecutionInterrupted,
    SelfTestError,
    ServerConnectionError,
    StateError,
)
from discomfort.process.probes import responds
from discomfort.progress import ProgressCallback
from discomfort.workflow.detect import unwrap

_log = logging.getLogger("discomfort.connector")


class ConnectorCore(ConnectorBase):
    """Everything that a connector does with its parts; the public face is ``ComfyConnector``."""

    # --- documented internals --------------------------------------------------------------------------------------

    async def _ensure_initialized(self) -> None:
        """Make the connector ready: validate what is there, drop what is stale, start what is missing.

        On failure everything of the server is given back, the state is ``error``, and the error is raised.
        """
        async with self._init_lock:
            self._refuse_if_shut_down()
            if self.state is State.READY and await self._is_usable():
                return
            first = self.state is State.UNINIT
            self._lifecycle.to(State.INITIALIZING)
            try:
                if not first:
                    self._lost = self._parts.supervisor  # its end is our doing
                    await self._parts.release_server()
                await self._boot()
                self._refuse_if_shut_down()
                self._lifecycle.to(State.READY)
            except BaseException as error:
                killed = self.state is State.KILLED  # by release_now(), in a thread or a signal handler
                if not killed:
                    self._lifecycle.to(State.ERROR, repr(error))
                self._lost = self._parts.supervisor
                release = self._parts.release if first or killed else self._parts.release_server
                await finish(release())
                if killed:
                    raise StateError("the connector was released while it started") from error
                raise

    async def _validate_resources(self) -> bool:
        """Whether process, browser, socket and HTTP all work; what does not is named in the log, once.

        Cheap enough for every second: one small request on an open connection, 1 to 2 ms.
        """
        ill = {name: problem for name, problem in (await self._examine()).items() if problem}
        if ill != self._ill:
            self._ill = ill
            if ill:
                _log.warning("not healthy: %s", ", ".join(f"{name} {problem}" for name, problem in ill.items()))
            else:
                _log.info("healthy again")
        return not ill

    async def _examine(self) -> dict[str, str]:
        found = await examine(self._parts, http_timeout=self._http_timeout)
        if self._stuck:
            found["execution"] = self._stuck
        return found

    async def _is_usable(self) -> bool:
        """Whether a ready connector can be used as it is, after a repair of what can be repaired by itself.

        A server that is only slow to answer stays: it may be loading a model, and others wait for its runs.
        """
        found = await self._examine()
        if any(found.get(name) for name in VITAL) or found.get("HTTP") == REFUSED:
            _log.warning("not usable: %s", ", ".join(f"{n} {p}" for n, p in found.items() if p))
            return False
        if found.get("browser") and self._settings.browser == "eager":
            await self._restart_browser()
        return True

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
        timeout = self._http_timeout
        if self._parts.client is not None:
            return not await http_problem(self._parts.client, timeout)
        async with open_session(headers=self._parts.headers) as session:
            return await responds(session, self.server_address, timeout=timeout)

    async def _restart_browser(self) -> None:
        """Close the browser, forcefully if need be, and launch a fresh one. Raises BrowserError."""
        await self._parts.get_converter().restart_browser()

    async def _attempt_workflow_to_prompt_conversion(self, workflow: JsonObject) -> JsonObject:
        """One conversion in a browser context and page of its own, closed afterwards. Raises ConversionError."""
        return await self._parts.get_converter().attempt_isolated(workflow)

    async def _execute_prompt_and_wait(self, prompt: JsonObject) -> JsonObject:
        """Queue a prompt, wait for its end, return its history. Raises as :meth:`run_workflow` does."""
        async with self._calls.open(interrupted) as call:
            return await self._run(copied(prompt), call)

    async def _test_server(self) -> bool:
        """Run the self-test workflow through conversion, execution and result; ``False`` is explained in the log."""
        self._self_test_error = None
        eager = self._settings.browser == "eager"
        try:
            payload = self_test_payload(self._settings.test_payload_file, browser=eager)
            prompt, extra = await self._to_prompt(payload, unwrap(payload)[0] == "workflow", None, survives=False)
            deadline = time.monotonic() + SELF_TEST_TIMEOUT
            with self._parts.learning_worker():
                history = await self._runner.attempt(Case(prompt, extra, None, deadline, SELF_TEST_TIMEOUT, None))
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
        """Wait for the start or recovery that all callers share.

        A first start is cancelled with the last who waits for it, since nobody has a connector yet. A recovery belongs
        to the connector: were it to end with a run's timeout, runs of 30 s would never get a server that starts in 60.
        """
        if self._starting is None or self._starting.done():
            self._starting = self._loop.create_task(self._run_start(), name="discomfort-start")
            self._starting.add_done_callback(self._start_ended)
        starting = self._starting
        self._start_waiters += 1
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if starting.cancelled() and self._is_ending and not (task and task.cancelling()):
                raise StateError("the connector was shut down while it started") from None
            if self._start_waiters == 1 and not starting.done() and not self._handed_out:
                starting.cancel()
                try:
                    await finish(asyncio.wait([starting]))
                finally:
                    retrieve(starting)
            raise
        finally:
            self._start_waiters -= 1

    def _start_ended(self, starting: asyncio.Task[None]) -> None:
        """Tell of a start that failed after all who waited for it had gone."""
        if starting.cancelled() or starting.exception() is None or self._start_waiters:
            return
        _log.error("the server could not be started again; the next call tries it: %s", starting.exception())

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
        async with self._calls.server_needed():
            await self._parts.open_client()

    def _announce_engine(self) -> None:
        engine = self._parts.engine
        if engine is None:
            return
        level = logging.WARNING if engine.kind == "emulator" and self._settings.engine == "auto" else logging.INFO
        _log.log(level, "engine: %s (%s)", engine.kind, engine.reason)

    # --- runs ------------------------------------------------------------------------------------------------------

    async def _ensure_ready(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise StateError("the connector belongs to another event loop; use it there, or SyncConnector from threads")
        self._refuse_if_shut_down()
        await self._notice_death()
        if self.state is not State.READY:
            await self._recovery.settled()
            self._refuse_if_shut_down()
        if self.state is not State.READY:
            await self._start()

    @property
    def _is_ending(self) -> bool:
        return self.state is State.KILLED or self._closing is not None

    def _refuse_if_shut_down(self) -> None:
        if self._is_ending:
            raise StateError("the connector was shut down; create a new one")

    async def _to_prompt(
        self,
        payload: Payload,
        expect_workflow: bool,
        extra_data: Mapping[str, Any] | None,
        *,
        survives: bool = True,
    ) -> tuple[JsonObject, Mapping[str, Any] | None]:
        kind, loaded = await load_payload(payload)
        if (kind == "workflow") is not expect_workflow:
            _log.info("use_workflow_json=%s, but the payload is a %s; it is run as such", expect_workflow, kind)
        if kind == "prompt":
            return loaded, extra_data
        prompt = await self._convert(loaded, survives=survives)
        extra = dict(extra_data or {})
        extra["extra_pnginfo"] = {"workflow": loaded, **(extra.get("extra_pnginfo") or {})}
        return prompt, extra

    async def _run(
        self,
        prompt: JsonObject,
        call: Call,
        *,
        on_progress: ProgressCallback | None = None,
        timeout: float | None = None,
        extra_data: Mapping[str, Any] | None = None,
        asked: float | None = None,
    ) -> JsonObject:
        began = time.monotonic()
        try:
            history = await self._runner.run(
                prompt, on_progress=on_progress, timeout=timeout, extra_data=extra_data, asked=asked, call=call
            )
        except BaseException as error:
            self._note_run(getattr(error, "prompt_id", None), type(error).__name__, began)
            raise
        self._stuck = ""
        self._note_run(next(iter(history)), "success", began)
        return history

    def _note_run(self, prompt_id: str | None, ended: str, began: float) -> None:
        self._chronicle.note("run", prompt_id=prompt_id, ended=ended, seconds=round(time.monotonic() - began, 3))

    def _call(self, name: str) -> AbstractAsyncContextManager[Call]:
        """Around a public call that is no run: a shutdown ends it with StateError wherever it waits."""
        return self._calls.open(lambda: StateError(f"the connector was shut down during {name}"))

    async def _convert(self, workflow: JsonObject, *, survives: bool = True) -> JsonObject:
        return await self._runner.convert(lambda: self._parts.get_converter().convert(workflow), survives=survives)

    def _client(self) -> ComfyClient:
        if self._parts.client is None:
            raise StateError(f"the connector is {self.state}, it has no connection to a server")
        return self._parts.client


def interrupted() -> ExecutionInterrupted:
    """What a run raises that the shutdown ended."""
    return ExecutionInterrupted("the connector was shut down before the run had its result")
