"""The start of a connector and each later recovery: one at a time, shared by all callers that wait for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from discomfort._system.concurrency import finish, first_failure, in_thread, retrieve
from discomfort._system.disk_space import full_among
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
from discomfort.exceptions import (
    DiscomfortError,
    ExecutionError,
    SelfTestError,
    ServerConnectionError,
    ServerDiedError,
    StateError,
)
from discomfort.workflow.detect import unwrap

_log = logging.getLogger("discomfort.connector")


class Startup:
    """Makes the parts of one connector ready, at first and again after the server was lost.

    ``self_test`` is the connector's documented method ``_test_server``; it runs when the server is up.
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
        self._lock, self._loop = asyncio.Lock(), asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._waiters = 0
        self.handed_out = False
        """Whether a caller of ``create`` or ``attach`` has received the connector."""
        self.self_test_error: BaseException | None = None

    @property
    def is_unclaimed(self) -> bool:
        """Whether no caller has received the connector and none waits for it."""
        return not self.handed_out and not self._waiters

    @property
    def is_abandoned(self) -> bool:
        """Whether the first start was cancelled along with its last waiter, which makes the connector useless."""
        is_cancelled = self._task is not None and self._task.cancelled()
        return is_cancelled and not self.handed_out and not self._lifecycle.ending

    async def ready(self) -> None:
        """Wait until there is a server; start one if no start is under way. Raises the start's errors, StateError."""
        if asyncio.get_running_loop() is not self._loop:
            raise StateError("the connector belongs to another event loop; await it there, or use SyncConnector")
        self._lifecycle.refuse_if_ending()
        # The exit callback of a dead process may still be on its way from its thread.
        await self._loss.wait_noticed()
        if self._lifecycle.state is not State.READY:
            # A restart that is under way, or has been given up, decides first; starting here would bypass its limit.
            await self._recovery.settled()
            self._lifecycle.refuse_if_ending()
        if self._lifecycle.state is not State.READY:
            await self.start()

    async def start(self) -> None:
        """Wait for the start or recovery that all callers share.

        A first start is cancelled along with its last waiter, since no caller has a connector yet. A recovery belongs
        to the connector: if it ended with a run's timeout, runs of 30 s would never get a server that starts in 60.
        """
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="discomfort-start")
            self._task.add_done_callback(self._ended)
        task = self._task
        self._waiters += 1
        try:
            # Shielded: one caller's cancellation must not end the start that the others wait for.
            await asyncio.shield(task)
        except asyncio.CancelledError:
            waiter = asyncio.current_task()
            # The shared start was cancelled, not this caller: it gets an error instead of a CancelledError that its
            # own code did not cause (a TaskGroup would drop such a child silently).
            if task.cancelled() and not (waiter and waiter.cancelling()):
                told = (
                    "shut down while it started" if self._lifecycle.ending else "not started: the start was cancelled"
                )
                raise StateError(f"the connector was {told}") from None
            if self._waiters == 1 and not task.done() and not self.handed_out:
                task.cancel()
                # Waited for even if this caller is cancelled again: when create() returns, nothing may be left running.
                try:
                    await finish(asyncio.wait([task]))
                finally:
                    retrieve(task)  # Else asyncio logs an error of the unwinding as never retrieved.
            raise
        finally:
            self._waiters -= 1

    def cancel(self) -> None:
        """Cancel a start without waiting for its end."""
        if self._task is not None:
            self._task.cancel()

    async def end(self) -> None:
        """Cancel a start and wait until it has released what it acquired."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
            retrieve(self._task)

    async def release(self) -> None:
        """Release all parts for good, once no start holds them."""
        async with self._lock:
            self._lifecycle.to(State.KILLED)
            await self._parts.release()

    async def ensure_initialized(self) -> None:
        """Make the connector ready: validate the parts, drop stale ones, start missing ones.

        On failure everything that belongs to the server is released, the state is ``error``, and the error is raised.
        """
        async with self._lock:
            self._lifecycle.refuse_if_ending()
            if self._lifecycle.state is State.READY and await self._health.is_usable():
                return
            first = self._lifecycle.state is State.UNINIT
            self._lifecycle.to(State.INITIALIZING)
            try:
                if not first:
                    # In this order: the exit of the server that we stop here must not count as another loss.
                    self._loss.expect_end()
                    await self._parts.release_server()
                await self._boot()
                # A shutdown that began during the boot must not find a connector that becomes ready behind its back.
                self._lifecycle.refuse_if_ending()
                self._lifecycle.to(State.READY)
                self._recovery.note_ready()
            except BaseException as error:
                await self._unwind(error, first=first)
                raise

    async def _unwind(self, error: BaseException, *, first: bool) -> None:
        # release_now() may have killed the connector meanwhile, in a thread or a signal handler. KILLED is final.
        killed = self._lifecycle.state is State.KILLED
        if not killed:
            self._lifecycle.to(State.ERROR, repr(error))
        self._loss.expect_end()
        if first:
            # No caller gets this connector, so none of its background tasks may outlive it.
            await finish(self._background.end())
        await finish(self._parts.release() if first or killed else self._parts.release_server())
        if killed:
            raise StateError("the connector was released while it started") from error

    async def _run(self) -> None:
        first = self._lifecycle.state is State.UNINIT
        if first:
            # The exit handler is registered before anything is acquired: Ctrl-C during the start leaves nothing.
            self._on_first()
        try:
            await self.ensure_initialized()
        except BaseException:
            if first and not self._lifecycle.ending:
                self._on_first_failed()
            raise

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Log a start that failed when nobody waited for it any more."""
        if task.cancelled() or task.exception() is None or self._waiters:
            return
        _log.error("the server could not be restarted; the next call tries again: %s", task.exception())

    async def _boot(self) -> None:
        """Server and browser side by side, then the socket, then the self-test."""
        parts, is_eager = self._parts, self._parts.settings.browser == "eager"
        await in_thread(parts.prepare)
        self._log_engine()
        # The port is leased before the two tasks begin: the gateway forwards to it, the server binds it.
        if parts.owned:
            parts.take_port()
        try:
            async with asyncio.TaskGroup() as group:
                if is_eager:
                    group.create_task(parts.start_browser())
                group.create_task(self._start_server_and_socket())
        except BaseExceptionGroup as failures:
            # Callers catch ServerStartError or BrowserError; two parallel tasks are a detail of ours. The
            # group as a cause would print the whole text a second time.
            failure = first_failure(failures)
            raise failure from failure.__cause__
        if parts.owned and not await self._self_test():
            problem = self.self_test_error or "the self-test had no output"
            # The log, or a node's traceback, is in the cause, which is printed above this error.
            told = problem.problem if isinstance(problem, ExecutionError | ServerDiedError) else problem
            disk = await in_thread(self._full_disk) if "No space left" in str(problem) else ""
            raise SelfTestError(f"the self-test failed: {told}{disk}") from self.self_test_error
        # The self-test converts on the first page. An attached server gets no test prompt, so its page is awaited here.
        if not parts.owned and is_eager:
            await parts.get_converter().wait_page()

    async def _start_server_and_socket(self) -> None:
        await self.start_server()
        # The server may die right away: this ends the wait for its socket then.
        async with self._calls.server_needed():
            await self._parts.open_client()

    async def start_server(self) -> None:
        """Start an owned server and wait until it answers; check that an attached server answers."""
        if self._parts.owned:
            await self._parts.start_server(self._loss.on_exit)
        elif problem := await self._health.silence():
            raise ServerConnectionError(f"no ComfyUI answers at this address: {problem}", url=self._parts.url)
        else:
            self._parts.server_ready.set()

    def _full_disk(self) -> str:
        """The folders whose disks are full, and a remedy: the node that failed names only the error."""
        if self._parts.engine is None:
            return ""
        folders = self._parts.engine.folders
        found = full_among([folders.temp, folders.output, folders.input]) or [folders.temp]
        names = " and ".join(map(str, found))
        return f". The disk of {names} is full. Free some space there, or set TMPDIR to a folder on another disk"

    def _log_engine(self) -> None:
        engine = self._parts.engine
        if engine is None:
            return
        _log.log(logging.WARNING if engine.is_fallback else logging.INFO, "engine: %s (%s)", engine.kind, engine.reason)

    async def run_self_test(self, prompts: Prompts, runs: RunPolicy) -> bool:
        """Run the self-test workflow through conversion, execution and result; ``False`` is explained in the log."""
        self.self_test_error = None
        settings = self._parts.settings
        try:
            payload = self_test_payload(settings.test_payload_file, browser=settings.browser == "eager")
            is_workflow = unwrap(payload)[0] == "workflow"
            # survives=False, and attempt() instead of run(): both would otherwise answer a server's death by waiting
            # for a restart, and this test is part of the start that they would wait for.
            prompt, extra = await prompts.prepare(payload, is_workflow, None, survives=False)
            deadline = time.monotonic() + SELF_TEST_TIMEOUT
            request = RunRequest(prompt, extra, deadline=deadline, timeout=SELF_TEST_TIMEOUT)
            with self._parts.learning_worker():
                history = await runs.attempt(request)
            return all(record["outputs"] for record in history.values())
        except (DiscomfortError, OSError) as error:
            # During a start it is raised, and would be read twice.
            level = logging.DEBUG if self._lifecycle.state is State.INITIALIZING else logging.ERROR
            _log.log(level, "self-test failed: %s", error)
            self.self_test_error = error
            return False
