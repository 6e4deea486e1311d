"""``SharedPool``: a pool on a Ray cluster that several programs use, such as the processes of a web service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from discomfort._system.concurrency import in_own_thread
from discomfort._tracebacks import without_frames
from discomfort.config import SettingArguments
from discomfort.connector.payloads import Payload, read_object_of
from discomfort.exceptions import ArgumentError, PoolError
from discomfort.pool.actor_ends import ActorLost
from discomfort.pool.cluster_thread import ClusterThread
from discomfort.pool.pool_actor import PoolActor
from discomfort.pool.pool_arguments import PoolOptions, SubmitArguments, merged_arguments
from discomfort.pool.pool_events import PoolEvent
from discomfort.pool.pool_result import PoolResult
from discomfort.pool.pool_status import PoolStatus
from discomfort.pool.ray_options import RayOptions

if TYPE_CHECKING:
    from discomfort.pool.ray import ActorLink


class SharedPool:
    """A pool that lives on a Ray cluster under a name, until somebody closes it::

        async with await SharedPool.start("comfyui", ray=RayOptions(servers=(1, 8))) as pool:
            run = await pool.submit("portrait.json", {"seed": 7})
            result = await run

    Whoever comes second gets the same pool. Leaving the block leaves the cluster; the pool and its runs go on.
    :meth:`close` ends them for all.
    """

    def __init__(self, name: str, link: ActorLink, thread: ClusterThread) -> None:
        """Made by :meth:`start` and :meth:`connect`."""
        self.name: str = name
        self._link, self._thread = link, thread

    def __repr__(self) -> str:
        return f"<SharedPool {self.name!r}>"

    @classmethod
    @without_frames
    async def start(
        cls,
        name: str,
        address: str = "auto",
        *,
        ray: RayOptions | None = None,
        labels: Mapping[str, str] | None = None,
        options: PoolOptions | None = None,
        init: Mapping[str, Any] | None = None,
        **settings: Unpack[SettingArguments],
    ) -> SharedPool:
        """Connect to the pool of this name, or make it with these arguments if there is none.

        Arguments and errors as for :meth:`ComfyPool.on_ray`. A pool that could not be made is gone again. Cancellation
        ends the wait; the pool is made all the same.
        """
        pool = await cls._joined(name, address, init, PoolActor)
        arguments = {"ray": ray, "labels": labels, "options": options, **settings}
        try:
            await pool._call("begin", arguments)
        except BaseException as error:
            if isinstance(error, Exception) and not await pool._is_made():
                pool._link.kill()
            await pool.leave()
            raise
        return pool

    @classmethod
    @without_frames
    async def connect(cls, name: str, address: str = "auto", *, init: Mapping[str, Any] | None = None) -> SharedPool:
        """Connect to the pool of this name. Raises PoolError if there is none; otherwise as :meth:`start`."""
        return await cls._joined(name, address, init, None)

    @classmethod
    async def _joined(cls, name: str, address: str, init: Mapping[str, Any] | None, kind: type | None) -> SharedPool:
        thread = ClusterThread()
        try:
            cluster = await thread.join(address, init or {})
            link = await in_own_thread(lambda: cluster.shared_link(name, kind))
        except BaseException:
            await thread.leave()
            raise
        return cls(name, link, thread)

    async def leave(self) -> None:
        """Leave the cluster, if this has joined it. The pool and its runs go on."""
        await self._thread.leave()

    async def close(self, drain: float | None = None) -> None:
        """End the pool for everybody, as :meth:`ComfyPool.aclose` does. Safe to call when it is gone."""
        try:
            await self._link.call("close", drain)
        except ActorLost:
            return
        finally:
            self._link.kill()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    @without_frames
    async def submit(
        self, workflow: Payload, values: Mapping[str, Any] | None = None, /, **arguments: Unpack[SubmitArguments]
    ) -> SharedRun:
        """Submit a run, as :meth:`ComfyPool.submit` does. Files are read here; ``save_to`` is not possible.

        Raises as there, and PoolError if the pool is gone.
        """
        if arguments.get("save_to") is not None:
            raise ArgumentError("save_to", "is for the machine of the pool; save what the result has")
        given = await in_own_thread(lambda: _with_contents(merged_arguments(values, arguments)))
        graph = await in_own_thread(lambda: read_object_of(workflow))
        others = {name: value for name, value in arguments.items() if name != "files"}
        return SharedRun(await self._call("submit", graph, given, others), self)

    def run(self, run_id: str) -> SharedRun:
        """A run by its id, whoever has submitted it. No I/O."""
        return SharedRun(run_id, self)

    async def status(self) -> PoolStatus:
        """What the pool does now."""
        status: PoolStatus = await self._call("status")
        return status

    async def drain(self, server: str, deadline: float | None = None) -> bool:
        """As :meth:`ComfyPool.drain`."""
        return bool(await self._call("call", "drain", server, deadline=deadline))

    async def remove(self, server: str, deadline: float | None = None) -> None:
        """As :meth:`ComfyPool.remove`."""
        await self._call("call", "remove", server, deadline=deadline)

    async def free(self, server: str | None = None) -> None:
        """As :meth:`ComfyPool.free`."""
        await self._call("call", "free", server)

    async def _is_made(self) -> bool:
        try:
            return bool(await self._call("is_made"))
        except PoolError:
            return False

    async def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        try:
            return await self._link.call(name, *arguments, **options)
        except ActorLost as lost:
            raise self._gone(lost) from lost

    def _gone(self, lost: ActorLost) -> PoolError:
        return PoolError(f"the shared pool {self.name!r} is gone: {lost.problem}")


class SharedRun:
    """A run of a :class:`SharedPool`. Awaiting it gives its result, any number of times."""

    def __init__(self, run_id: str, pool: SharedPool) -> None:
        """Made by the pool."""
        self.run_id: str = run_id
        self._pool = pool
        self._result: asyncio.Future[PoolResult] | None = None

    def __repr__(self) -> str:
        return f"<SharedRun {self.run_id}>"

    def __await__(self) -> Generator[Any, None, PoolResult]:
        """The result. Raises the run's error, PoolError if the pool is gone or does not know the run any more."""
        if self._result is None:
            self._result = asyncio.ensure_future(self._pool._call("result", self.run_id))
        return (yield from asyncio.shield(self._result).__await__())

    async def events(self) -> AsyncIterator[PoolEvent]:
        """The events of the run from now on, as those of a :class:`PoolRun`."""
        try:
            async with aclosing(self._pool._link.stream("events", self.run_id)) as events:
                async for event in events:
                    yield event
        except ActorLost as lost:
            raise self._pool._gone(lost) from lost

    async def cancel(self) -> bool:
        """As :meth:`PoolRun.cancel`."""
        return bool(await self._pool._call("cancel", self.run_id))


def _with_contents(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, with the contents of files of this machine. Raises OSError."""
    return {name: value.read_bytes() if isinstance(value, Path) else value for name, value in values.items()}
