"""``ComfyPool``: many servers behind one queue."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from discomfort._system.concurrency import EndableScope, finish
from discomfort._system.gpus import Gpu
from discomfort._tracebacks import without_frames
from discomfort.config import SettingArguments
from discomfort.connector.payloads import Payload, own_extra_data
from discomfort.exceptions import ArgumentError, DiscomfortError, PoolBusy, RunTimeout, StateError
from discomfort.pool.dispatcher import Dispatcher
from discomfort.pool.local_servers import OwnedServers, attached, chosen_gpus
from discomfort.pool.memory_check import MemoryCheck
from discomfort.pool.model_sizes import ModelSizes
from discomfort.pool.pool_arguments import (
    PoolOptions,
    SubmitArguments,
    check_count,
    merged_arguments,
    request_of,
    run_options,
    tenant_of,
)
from discomfort.pool.pool_result import PoolResult
from discomfort.pool.pool_run import PoolRun
from discomfort.pool.pool_servers import PoolServer
from discomfort.pool.pool_status import PoolStatus
from discomfort.pool.pool_workflows import PoolWorkflow, PoolWorkflows, prepare_call
from discomfort.pool.quarantine import Quarantine
from discomfort.pool.ray_options import RayOptions
from discomfort.pool.run_batches import Submit, Variants, completed, in_order
from discomfort.pool.run_requests import PoolRequest
from discomfort.pool.run_state import PooledRun
from discomfort.pool.scheduler import Scheduler
from discomfort.pool.server_slots import ServerSlot
from discomfort.pool.silence_watch import SilenceWatch
from discomfort.pool.status_report import status_of
from discomfort.pool.status_socket import StatusSocket

if TYPE_CHECKING:
    from discomfort.pool.on_ray import RayHome

_log = logging.getLogger("discomfort.pool")


class ComfyPool:
    """Many ComfyUI servers behind one queue, which knows which server holds which models::

        async with await ComfyPool.create(gpus="all") as pool:
            run = await pool.submit("portrait.json", {"prompt": "a lighthouse", "seed": 7})
            result = await run
            await result["image"].save("results")

    Workflows are converted once, on one server. A run goes to a server that holds its models, if there is one, and to
    another one when waiting would take longer than loading. Tenants get equal shares, or those that are given. All
    coroutines belong to the event loop in which the pool was made.
    """

    def __init__(self, options: PoolOptions, make_server: Callable[[], PoolServer] | None = None) -> None:
        """Used by :meth:`create` and :meth:`attach`; ``make_server`` makes what :meth:`scale` adds."""
        self._options = options
        self._scheduler = Scheduler(options.policy)
        self._dispatcher = Dispatcher(self._scheduler)
        self._slots = self._dispatcher.slots
        self._workflows, self._quarantine = PoolWorkflows(), Quarantine()
        self._sizes = ModelSizes(self._scheduler)
        self._silence = SilenceWatch(self._dispatcher, options.silent_after)
        self._memory = MemoryCheck(self._scheduler, self._slots)
        self._make_server = make_server
        self._told = StatusSocket(self.status)
        self._cluster: RayHome | None = None
        self._loop = asyncio.get_running_loop()
        self._began = time.monotonic()
        self._closing: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._draining = EndableScope()
        self._done = self._failed = 0
        self._dispatcher.on_fatal = self._quarantine.note
        self._dispatcher.on_end = self._count

    # --- made and released -----------------------------------------------------------------------------------------

    @classmethod
    @without_frames
    async def create(
        cls,
        *,
        gpus: Literal["all"] | Sequence[int] | None = None,
        servers: int | None = None,
        labels: Mapping[str, str] | None = None,
        options: PoolOptions | None = None,
        config_path: str | os.PathLike[str] | None = None,
        **settings: Unpack[SettingArguments],
    ) -> ComfyPool:
        """Start servers on this machine, and return the pool when all of them are ready.

        ``gpus`` are numbers of GPUs, or ``"all"``: one server for each, which sees no other GPU. ``servers`` starts as
        many servers without a GPU of their own, such as emulators (``engine="emulator"``) or servers on the CPU
        (``server_arguments="--cpu"``). Without both, all GPUs. ``labels`` belong to each server. ``options`` has
        limits, tenants and times. ``settings`` are those of :meth:`ComfyConnector.create`; browsers start only where
        they are needed, a server that died is restarted, and a prompt that ran out of memory is tried once more, unless
        the settings say otherwise.

        Cancellation and errors as :meth:`ComfyConnector.create`; nothing is left running then. Raises PoolError if
        there is no GPU, ArgumentError.
        """
        if gpus is not None and servers is not None:
            raise ArgumentError("servers", "cannot be given together with gpus, which has a server for each")
        owned = OwnedServers(config_path, settings, labels or {})
        made: list[PoolServer]
        if servers is not None:
            check_count("servers", servers)
            made = [owned.plain() for _ in range(servers)]
            return await cls(options or PoolOptions(), owned.plain)._begun(made)
        found: list[Gpu] = await chosen_gpus("all" if gpus is None else gpus)
        made = [owned.on_gpu(gpu) for gpu in found]
        return await cls(options or PoolOptions())._begun(made)

    @classmethod
    @without_frames
    async def attach(
        cls,
        urls: Sequence[str],
        *,
        headers: Mapping[str, str] | None = None,
        ssl: SSLContext | bool | None = None,
        proxy: str | None = None,
        labels: Mapping[str, Mapping[str, str]] | None = None,
        options: PoolOptions | None = None,
        config_path: str | os.PathLike[str] | None = None,
        **settings: Unpack[SettingArguments],
    ) -> ComfyPool:
        """Connect to servers that somebody else runs; ``headers``, ``ssl`` and ``proxy`` hold for all of them.

        ``labels`` are given by URL. The pool does not know what other clients do on these servers. Files that runs save
        stay there, and a server that falls silent cannot be ended from here. Raises as :meth:`ComfyConnector.attach`.
        """
        made = attached(
            urls, headers=headers, ssl=ssl, proxy=proxy, config_path=config_path, settings=settings, labels=labels or {}
        )
        return await cls(options or PoolOptions())._begun(made)

    @classmethod
    @without_frames
    async def on_ray(
        cls,
        address: str = "auto",
        *,
        ray: RayOptions | None = None,
        labels: Mapping[str, str] | None = None,
        options: PoolOptions | None = None,
        init: Mapping[str, Any] | None = None,
        **settings: Unpack[SettingArguments],
    ) -> ComfyPool:
        """Start servers on a Ray cluster, one actor for each, and return the pool when the first ones are ready.

        ``address`` is the cluster's: ``"auto"`` for the one of this machine, or ``"local"`` to start one here; ``init``
        has further arguments of ``ray.init``. ``ray`` says how many servers there are, what each gets, and on which
        machines they may be; within its bounds their number follows the runs. Servers leave a machine that is drained.
        ``labels`` belong to each server, beside those of its machine. ``settings`` are those of the servers, together
        with what each machine's own environment and configuration say: ComfyUI must be installed there.

        Raises ConfigurationError if Ray is not installed, ServerConnectionError if there is no cluster,
        ServerStartTimeout if it has no room; otherwise as :meth:`create`. Nothing is left running then.
        """
        from discomfort.pool.on_ray import RayHome

        pool = cls(options or PoolOptions())
        home = pool._cluster = RayHome(ray or RayOptions(), settings, labels or {})
        try:
            made = await home.join(address, init or {})
        except BaseException:
            await finish(pool._release("the pool could not be made"))
            raise
        await pool._begun(made)
        home.keep(pool)
        return pool

    async def _begun(self, servers: Sequence[PoolServer]) -> Self:
        try:
            await self._slots.start(servers)
            await self._told.open()
        except BaseException:
            await finish(self._release("the pool could not be made"))
            raise
        self._silence.start()
        self._memory.start()
        return self

    async def aclose(self, drain: float | None = None) -> None:
        """Take no more runs, and release all servers. Runs under way end with ExecutionInterrupted.

        With ``drain`` they get as many seconds to end before. Safe to call at any time and any number of times; later
        calls wait for the first one. Cancellation ends the wait for runs, and nothing else.
        """
        self._check_loop()
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(drain), name="discomfort-pool-close")
        try:
            await asyncio.shield(self._closing)
        except asyncio.CancelledError:
            self._draining.end(TimeoutError())
            await finish(self._closing)
            raise

    async def _close(self, drain: float | None) -> None:
        self._room.set()
        if drain:
            try:
                async with asyncio.timeout(drain), self._draining:
                    await self._dispatcher.idle()
            except TimeoutError:
                _log.warning("%d run(s) had not ended before the pool was closed", len(self._dispatcher.runs))
        await self._release("the pool was closed")

    async def _release(self, reason: str) -> None:
        await self._told.close()
        await self._silence.end()
        await self._memory.end()
        if self._cluster is not None:
            await self._cluster.end()
        await self._dispatcher.close(reason)
        await self._slots.close()
        if self._cluster is not None:
            await self._cluster.release()

    def release_now(self) -> None:
        """Kill all owned servers at once: for signal handlers, or when the loop hangs. See
        :meth:`ComfyConnector.release_now`.
        """
        self._told.close_now()
        self._slots.kill_now()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        states = [slot.state for slot in self._slots.slots]
        told = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        return f"<ComfyPool {told or 'closed'}; {self._scheduler.waiting} waiting>"

    # --- runs ------------------------------------------------------------------------------------------------------

    @without_frames
    async def submit(
        self,
        workflow: Payload,
        values: Mapping[str, Any] | None = None,
        /,
        **arguments: Unpack[SubmitArguments],
    ) -> PoolRun:
        """Let a workflow or prompt wait for a server, and return its :class:`PoolRun`.

        ``values`` are given by the names of the workflow's interface or by selector, as for :meth:`ComfyConnector.load`
        and its functions; ``files`` are more of them. ``tenant`` is whose run it is, ``priority`` puts it before the
        tenant's others. ``timeout`` is in seconds, from now to the end. ``retry`` says whether it may begin again on
        another server (:class:`Retry`). ``labels`` and ``vram_gb`` are what its server must have. ``tags`` are the
        caller's own. With ``save_to``, its files are streamed into a folder of its own there, named by its id;
        otherwise their contents come back in memory. ``interface``, ``extra_data``, ``allow_paid`` and ``api_key`` as
        for a connector.

        Raises what is wrong before anything waits: CallError, MissingNodesError if no server has the nodes,
        PaidNodesError, NoServerFits, PoolBusy if too many runs wait, FatalPromptError if this prompt has killed servers
        before, RunTimeout if ``timeout`` passes meanwhile, StateError after :meth:`aclose`; otherwise as
        ``get_prompt_from_workflow``.
        """
        self._check_open()
        loaded = await self._workflows.load(workflow, arguments.get("interface"))
        return await self._submit(loaded, values, arguments)

    async def _submit(
        self, workflow: PoolWorkflow, values: Mapping[str, Any] | None, arguments: SubmitArguments
    ) -> PoolRun:
        self._check_open()
        began = time.monotonic()
        options, given, tenant = run_options(arguments), merged_arguments(values, arguments), tenant_of(arguments)
        self._check_room(tenant)
        extra_data = own_extra_data(arguments.get("extra_data"))
        try:
            async with asyncio.timeout(options.timeout) as limit:
                call = await prepare_call(
                    workflow, given, extra_data, self._slots.hosts(), allow_paid=options.allow_paid
                )
                self._quarantine.check(call.digest)
                self._slots.need(call.all_models)
                await self._sizes.learn(call.all_models, self._slots)
                request = request_of(uuid.uuid4().hex, began, call, arguments)
                if self._slots.misfits(request):
                    await self._slots.refresh()
        except TimeoutError as error:
            # Waiting has timeouts of its own, too, with errors that say more.
            if options.timeout is None or not limit.expired():
                raise
            problem = f"the run was not ready to wait for a server within {options.timeout:g} s"
            raise RunTimeout(problem, timeout=options.timeout) from error
        # Nothing awaits from here on: what was checked still holds when the run is in the queue.
        self._check_open()
        self._check_room(tenant)
        run = PooledRun(request, workflow.name, call, options, given)
        run.began = began
        self._dispatcher.enqueue(run)
        return PoolRun(run, self._dispatcher.cancel)

    async def _submit_or_fail(
        self, workflow: PoolWorkflow, values: Mapping[str, Any], arguments: SubmitArguments
    ) -> PoolRun:
        """As :meth:`_submit`, with room waited for; what cannot be submitted is a run that has failed."""
        while True:
            try:
                return await self._submit(workflow, values, arguments)
            except PoolBusy:
                self._room.clear()
                await self._room.wait()
            except StateError:
                raise
            except (DiscomfortError, OSError) as error:
                request = PoolRequest(uuid.uuid4().hex, time.monotonic(), tenant_of(arguments))
                run = PooledRun(request, workflow.name, None, run_options(arguments), dict(values))
                run.finish(None, error)
                return PoolRun(run, self._dispatcher.cancel)

    async def map(
        self,
        workflow: Payload,
        variants: Variants,
        /,
        *,
        on_error: Literal["raise", "return"] = "raise",
        window: int = 64,
        **arguments: Unpack[SubmitArguments],
    ) -> list[PoolResult | BaseException]:
        """Run a workflow with each of these values, and return the results in their order.

        ``window`` runs wait or run at once. The first error cancels the others and is raised; with
        ``on_error="return"`` it takes the place of its result. Cancellation cancels all of them. Values as for
        :meth:`submit`; a full queue is waited for.
        """
        if on_error not in ("raise", "return"):
            raise ArgumentError("on_error", f"must be 'raise' or 'return', not {on_error!r}")
        submit = await self._submitter(workflow, arguments, window)
        return await in_order(completed(variants, submit, window), stops=on_error == "raise")

    async def as_completed(
        self, workflow: Payload, variants: Variants, /, *, window: int = 64, **arguments: Unpack[SubmitArguments]
    ) -> AsyncIterator[PoolRun]:
        """The runs of a workflow with each of these values, as they end; :attr:`PoolRun.outcome` has what they gave.

        ``variants`` is pulled as it goes, so that it may be endless: ``window`` runs wait or run at once. What cannot
        be submitted, such as wrong values, is a run that has failed. When the loop is left, the other runs are
        cancelled.
        """
        submit = await self._submitter(workflow, arguments, window)
        runs = completed(variants, submit, window)
        try:
            async for _, run in runs:
                yield run
        finally:
            await runs.aclose()

    async def _submitter(self, workflow: Payload, arguments: SubmitArguments, window: int) -> Submit:
        check_count("window", window)
        self._check_open()
        # Wrong arguments are the caller's, not those of each run.
        run_options(arguments)
        tenant_of(arguments)
        loaded = await self._workflows.load(workflow, arguments.get("interface"))
        return lambda values: self._submit_or_fail(loaded, values, arguments)

    # --- servers ---------------------------------------------------------------------------------------------------

    def status(self) -> PoolStatus:
        """What the pool does now. No I/O."""
        return status_of(
            self._dispatcher, self._scheduler, self._options.policy,
            began=self._began, done=self._done, failed=self._failed, is_closing=self._closing is not None,
        )  # fmt: skip

    async def drain(self, server: str, *, deadline: float | None = None) -> bool:
        """Give a server no more runs, and wait for the one that it has. Returns whether that ended by itself.

        After ``deadline`` seconds it is interrupted: it waits for another server if it had not begun, or if its
        ``retry`` allows it; otherwise it ends with RunLostError. :meth:`resume` gives the server runs again,
        :meth:`remove` releases it. Cancelled, the server stays drained.
        """
        self._check_open()
        slot = self._slot(server)
        self._slots.drain(slot)
        return await self._dispatcher.emptied(slot, deadline)

    def resume(self, server: str) -> None:
        """Give a drained server runs again."""
        self._slots.resume(self._slot(server))

    async def free(self, server: str | None = None) -> None:
        """Have one server, or all that are ready, drop their models and results before their next run.

        Raises ServerError for the first one that does not answer; the others were asked all the same.
        """
        self._check_open()
        chosen = self._slots.slots if server is None else (self._slot(server),)
        ready = [slot for slot in chosen if slot.state in ("ready", "draining")]
        found = await asyncio.gather(*(slot.server.free() for slot in ready), return_exceptions=True)
        for slot in ready:
            if slot.state in ("ready", "draining"):
                self._scheduler.forget(slot.name)
        for error in found:
            if isinstance(error, BaseException):
                raise error

    async def remove(self, server: str, *, deadline: float | None = None) -> None:
        """Drain a server, as :meth:`drain` does, and release it; an owned one is ended."""
        await self.drain(server, deadline=deadline)
        slot = self._slots.get(server)
        if slot is not None:
            await finish(self._slots.remove(slot))

    async def scale(self, servers: int, *, deadline: float | None = None) -> None:
        """Start servers, or drain and end those without a run first, until there are so many.

        For pools that were created with ``servers``. ``deadline`` as for :meth:`drain`. Raises StateError for others.
        """
        self._check_open()
        check_count("servers", servers)
        if self._make_server is None:
            raise StateError("the pool has one server for each GPU or URL: only pools of create(servers=…) are scaled")
        missing = servers - len(self._slots.slots)
        if missing > 0:
            await self._slots.start([self._make_server() for _ in range(missing)])
        elif missing < 0:
            leaving = sorted(self._slots.slots, key=lambda slot: (slot.state == "ready", slot.run_id != ""))[:-missing]
            async with asyncio.TaskGroup() as group:
                for slot in leaving:
                    group.create_task(self.remove(slot.name, deadline=deadline))

    # What the number of servers follows, on a cluster.

    def waiting_runs(self) -> int:
        """How many runs wait for a server, those included whose workflow waits to be converted. No I/O."""
        return self._scheduler.waiting + self._slots.awaited

    def is_busy(self, server: str) -> bool:
        """Whether a server has a run. No I/O."""
        slot = self._slots.get(server)
        return slot is not None and bool(slot.run_id)

    async def add(self, server: PoolServer) -> None:
        """Start a server and give it runs. Raises as its start."""
        self._check_open()
        await self._slots.start([server])

    # --- inside ----------------------------------------------------------------------------------------------------

    def _slot(self, name: str) -> ServerSlot:
        slot = self._slots.get(name)
        if slot is None:
            known = ", ".join(slot.name for slot in self._slots.slots)
            raise ArgumentError("server", f"names none of the pool: {name!r}. There are: {known or 'none'}")
        return slot

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise StateError("the pool belongs to another event loop; use it there, or use SyncPool")

    def _check_open(self) -> None:
        self._check_loop()
        if self._closing is not None:
            raise StateError("the pool was closed; make a new one")

    def _check_room(self, tenant: str) -> None:
        """Raise PoolBusy if as many runs wait as may."""
        options = self._options
        waiting, own = self._scheduler.waiting, self._scheduler.waiting_of(tenant)
        if waiting >= options.max_waiting:
            raise PoolBusy(waiting, retry_after=self._room_in())
        if options.max_waiting_per_tenant is not None and own >= options.max_waiting_per_tenant:
            raise PoolBusy(own, tenant=tenant, retry_after=self._room_in())

    def _room_in(self) -> float:
        """Seconds until a run has probably ended."""
        servers = max(1, sum(slot.state == "ready" for slot in self._slots.slots))
        runs = sum(slot.use.runs for slot in self._slots.slots)
        spent = sum(slot.use.useful + slot.use.loading for slot in self._slots.slots)
        return max(0.1, (spent / runs if runs else self._options.policy.first_guess) / servers)

    def _count(self, run: PooledRun) -> None:
        """A run has ended."""
        if run.error is None:
            self._done += 1
        else:
            self._failed += 1
        self._room.set()
