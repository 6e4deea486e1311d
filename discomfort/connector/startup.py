"""The start of a connector and each later recovery: one at a time, shared by all who wait for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from discomfort._system.concurrency import finish, first_failure, in_thread, retrieve
from discomfort.connector.background import BackgroundTasks
from discomfort.connector.calls import Calls
from discomfort.connector.health import Health
from discomfort.connector.prompts import Prompts
from discomfort.connector.recovery import Recovery
from discomfort.connector.resources import Resources
from discomfort.connector.run_policy import RunPolicy, RunRequest
from discomfort.connector.self_test import SELF_TEST_TIMEOUT, self_test_payload
from discomfort.connector.server_loss import ServerLoss
from discomfort.connector.states import Lifecycle, State
from discomfort.exceptions import DiscomfortError, SelfTestError, ServerConnectionError, StateError
from discomfort.workflow.detect import unwrap

_log = logging.getLogger("discomfort.connector")


class Startup:
    """Makes the parts of one connector ready, and again after the server was lost.

    ``self_test`` is the connector's documented method: what runs when the server is up.
    """

    def __init__(
        self,
        parts: Resources,
        lifecycle: Lifecycle,
        recovery: Recovery,
        loss: ServerLoss,
        health: Health,
        calls: Calls,
        background: BackgroundTasks,
        *,
        self_test: Callable[[], Awaitable[bool]],
        on_first: Callable[[], None],
        on_first_failed: Callable[[], None],
    ) -> None:
        self._parts, self._lifecycle, self._recovery = parts, lifecycle, recovery
        self._loss, self._health, self._calls, self._background = loss, health, calls, background
        self._self_test, self._on_first, self._on_first_failed = self_test, on_first, on_first_failed
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._waiters = 0
        self.handed_out = False
        """Whether a caller of ``create`` or ``attach`` has received the connector."""
        self.self_test_error: BaseException | None = None

    @property
    def is_unclaimed(self) -> bool:
        """Whether nobody has the connector, and nobody waits for it."""
        return not self.handed_out and not self._waiters

    @property
    def is_abandoned(self) -> bool:
        """Whether the first start was cancelled with the last who waited for it; the connector is of no use then."""
        is_cancelled = self._task is not None and self._task.cancelled()
        return is_cancelled and not self.handed_out and not self._lifecycle.ending

    async def ready(self) -> None:
        """Wait until there is a server, starting it where nobody does. Raises what the start raises; StateError."""
        self._lifecycle.refuse_if_ending()
        await self._loss.wait_noticed()
        if self._lifecycle.state is not State.READY:
            await self._recovery.settled()
            self._lifecycle.refuse_if_ending()
        if self._lifecycle.state is not State.READY:
            await self.start()

    async def start(self) -> None:
        """Wait for the start or recovery that all callers share.

        A first start is cancelled with the last who waits for it, since nobody has a connector yet. A recovery belongs
        to the connector: were it to end with a run's timeout, runs of 30 s would never get a server that starts in 60.
        """
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="discomfort-start")
            self._task.add_done_callback(self._ended)
        task = self._task
        self._waiters += 1
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            waiter = asyncio.current_task()
            if task.cancelled() and not (waiter and waiter.cancelling()):
                told = "shut down while it started" if self._lifecycle.ending else "given up by who started it"
                raise StateError(f"the connector was {told}") from None
            if self._waiters == 1 and not task.done() and not self.handed_out:
                task.cancel()
                try:
                    await finish(asyncio.wait([task]))
                finally:
                    retrieve(task)
            raise
        finally:
            self._waiters -= 1

    def cancel(self) -> None:
        """Cancel a start without waiting for its end."""
        if self._task is not None:
            self._task.cancel()

    async def end(self) -> None:
        """Cancel a start and wait until it has given back what it took."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
            retrieve(self._task)

    async def release(self) -> None:
        """Give back all parts for good, when no start holds them."""
        async with self._lock:
            self._lifecycle.to(State.KILLED)
            await self._parts.release()

    async def ensure_initialized(self) -> None:
        """Make the connector ready: validate what is there, drop what is stale, start what is missing.

        On failure everything of the server is given back, the state is ``error``, and the error is raised.
        """
        async with self._lock:
            self._lifecycle.refuse_if_ending()
            if self._lifecycle.state is State.READY and await self._health.is_usable():
                return
            first = self._lifecycle.state is State.UNINIT
            self._lifecycle.to(State.INITIALIZING)
            try:
                if not first:
                    self._loss.expect_end()
                    await self._parts.release_server()
                await self._boot()
                self._lifecycle.refuse_if_ending()
                self._lifecycle.to(State.READY)
            except BaseException as error:
                await self._unwind(error, first=first)
                raise

    async def _unwind(self, error: BaseException, *, first: bool) -> None:
        # release_now() may have killed the connector meanwhile, from a thread or a signal handler.
        killed = self._lifecycle.state is State.KILLED
        if not killed:
            self._lifecycle.to(State.ERROR, repr(error))
        self._loss.expect_end()
        if first:
            # Nobody gets this connector: nothing of it may go on.
            await finish(self._background.end())
        await finish(self._parts.release() if first or killed else self._parts.release_server())
        if killed:
            raise StateError("the connector was released while it started") from error

    async def _run(self) -> None:
        first = self._lifecycle.state is State.UNINIT
        if first:
            self._on_first()
        try:
            await self.ensure_initialized()
        except BaseException:
            if first and not self._lifecycle.ending:
                self._on_first_failed()
            raise

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Log a start that failed after all who waited for it had gone."""
        if task.cancelled() or task.exception() is None or self._waiters:
            return
        _log.error("the server could not be started again; the next call tries it: %s", task.exception())

    async def _boot(self) -> None:
        """Server and browser side by side, then the socket, then the self-test."""
        parts, is_eager = self._parts, self._parts.settings.browser == "eager"
        await in_thread(parts.prepare)
        self._log_engine()
        if parts.owned:
            parts.take_port()
        try:
            async with asyncio.TaskGroup() as group:
                if is_eager:
                    group.create_task(parts.start_browser())
                group.create_task(self._start_server_and_socket())
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from failures
        if parts.owned and not await self._self_test():
            problem = self.self_test_error or "the self-test gave no output"
            raise SelfTestError(f"the self-test failed: {problem}") from self.self_test_error
        if not parts.owned and is_eager:
            await parts.get_converter().wait_page()

    async def _start_server_and_socket(self) -> None:
        await self.start_server()
        # The server may die again at once: then nobody needs to wait for its socket.
        async with self._calls.server_needed():
            await self._parts.open_client()

    async def start_server(self) -> None:
        """Start an owned server and wait until it answers; of an attached one, see that it answers."""
        if self._parts.owned:
            await self._parts.start_server(self._loss.on_exit)
        elif not await self._health.answers():
            raise ServerConnectionError("no ComfyUI answers there", url=self._parts.url)
        else:
            self._parts.server_ready.set()

    def _log_engine(self) -> None:
        engine = self._parts.engine
        if engine is None:
            return
        is_surprise = engine.kind == "emulator" and self._parts.settings.engine == "auto"
        _log.log(logging.WARNING if is_surprise else logging.INFO, "engine: %s (%s)", engine.kind, engine.reason)

    async def run_self_test(self, prompts: Prompts, runs: RunPolicy) -> bool:
        """Run the self-test workflow through conversion, execution and result; ``False`` is explained in the log."""
        self.self_test_error = None
        settings = self._parts.settings
        try:
            payload = self_test_payload(settings.test_payload_file, browser=settings.browser == "eager")
            is_workflow = unwrap(payload)[0] == "workflow"
            prompt, extra = await prompts.prepare(payload, is_workflow, None, survives=False)
            deadline = time.monotonic() + SELF_TEST_TIMEOUT
            request = RunRequest(prompt, extra, deadline=deadline, timeout=SELF_TEST_TIMEOUT)
            with self._parts.learning_worker():
                history = await runs.attempt(request)
            return all(record["outputs"] for record in history.values())
        except (DiscomfortError, OSError) as error:
            _log.error("self-test failed: %s", error)
            self.self_test_error = error
            return False
