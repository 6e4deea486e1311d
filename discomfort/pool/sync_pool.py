"""``SyncPool``: the pool for scripts and notebooks without ``await``."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from ssl import SSLContext
from types import TracebackType
from typing import Any, Literal, Self, Unpack

from discomfort._system.loop_thread import LoopThread
from discomfort.config import SettingArguments
from discomfort.connector.payloads import Payload
from discomfort.exceptions import ArgumentError, StateError
from discomfort.pool.pool import ComfyPool
from discomfort.pool.pool_arguments import PoolOptions, SubmitArguments
from discomfort.pool.pool_run import PoolRun
from discomfort.pool.pool_status import PoolStatus
from discomfort.pool.ray_options import RayOptions
from discomfort.pool.run_batches import OpenRuns
from discomfort.pool.sync_pool_run import SyncPoolResult, SyncPoolRun, sync_outcome

_log = logging.getLogger("discomfort.pool")


class SyncPool:
    """A :class:`ComfyPool` in a thread with an event loop of its own; every call blocks until it is done.

    Works beside a running event loop, as in a notebook. All calls may come from any thread. Ctrl-C during a call
    cancels it, as cancelling the coroutine would::

        with SyncPool.create(gpus="all") as pool:
            runs = [pool.submit("portrait.json", {"seed": seed}) for seed in range(100)]
            for run in runs:
                run.result().save("results")
    """

    def __init__(self, make: Callable[[], Coroutine[Any, Any, ComfyPool]]) -> None:
        """Used by :meth:`create`, :meth:`attach` and :meth:`on_ray`."""
        self._thread = LoopThread("discomfort-sync-pool", "pool")
        made: list[ComfyPool] = []

        async def keep() -> ComfyPool:
            made.append(await make())
            return made[0]

        try:
            self._pool = self._thread.call(keep())
        except BaseException:
            # Ctrl-C may arrive after the pool was made, before the caller has it.
            if made:
                self._thread.call(made[0].aclose())
            self._thread.close()
            raise
        # Before the connectors end at the program's exit, so that no server's end is taken for a loss.
        atexit.register(self._pool.release_now)

    @classmethod
    def create(
        cls,
        *,
        gpus: Literal["all"] | Sequence[int] | None = None,
        servers: int | None = None,
        labels: Mapping[str, str] | None = None,
        options: PoolOptions | None = None,
        config_path: str | os.PathLike[str] | None = None,
        **settings: Unpack[SettingArguments],
    ) -> Self:
        """Start servers on this machine, as :meth:`ComfyPool.create`, with its arguments and errors."""
        return cls(
            lambda: ComfyPool.create(
                gpus=gpus, servers=servers, labels=labels, options=options, config_path=config_path, **settings
            )
        )

    @classmethod
    def attach(
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
    ) -> Self:
        """Connect to servers that somebody else runs, as :meth:`ComfyPool.attach`, with its arguments and errors."""
        return cls(
            lambda: ComfyPool.attach(
                urls, headers=headers, ssl=ssl, proxy=proxy, labels=labels, options=options, config_path=config_path,
                **settings,
            )
        )  # fmt: skip

    @classmethod
    def on_ray(
        cls,
        address: str = "auto",
        *,
        ray: RayOptions | None = None,
        labels: Mapping[str, str] | None = None,
        options: PoolOptions | None = None,
        init: Mapping[str, Any] | None = None,
        **settings: Unpack[SettingArguments],
    ) -> Self:
        """Start servers on a Ray cluster, as :meth:`ComfyPool.on_ray`, with its arguments and errors."""
        return cls(lambda: ComfyPool.on_ray(address, ray=ray, labels=labels, options=options, init=init, **settings))

    def __repr__(self) -> str:
        return repr(self._pool).replace("<ComfyPool", "<SyncPool", 1)

    @property
    def pool(self) -> ComfyPool:
        """The pool itself; its coroutines run only in this object's loop."""
        return self._pool

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop in which the pool's coroutines run; it belongs to this object's thread."""
        return self._thread.loop

    # --- runs ------------------------------------------------------------------------------------------------------

    def submit(
        self,
        workflow: Payload,
        values: Mapping[str, Any] | None = None,
        /,
        **arguments: Unpack[SubmitArguments],
    ) -> SyncPoolRun:
        """See :meth:`ComfyPool.submit`."""
        return SyncPoolRun(self._thread.call(self._pool.submit(workflow, values, **arguments)), self._thread)

    def map(
        self,
        workflow: Payload,
        variants: Iterable[Mapping[str, Any]],
        /,
        *,
        on_error: Literal["raise", "return"] = "raise",
        window: int = 64,
        **arguments: Unpack[SubmitArguments],
    ) -> list[SyncPoolResult | BaseException]:
        """See :meth:`ComfyPool.map`. ``variants`` is pulled in the caller's thread."""
        if on_error not in ("raise", "return"):
            raise ArgumentError("on_error", f"must be 'raise' or 'return', not {on_error!r}")
        found: dict[int, SyncPoolResult | BaseException] = {}
        runs = self._completed(workflow, variants, window, arguments)
        try:
            for index, run in runs:
                outcome = run.outcome
                if on_error == "raise" and isinstance(outcome, BaseException):
                    raise outcome
                found[index] = sync_outcome(outcome)
        finally:
            runs.close()
        return [found[index] for index in sorted(found)]

    def as_completed(
        self,
        workflow: Payload,
        variants: Iterable[Mapping[str, Any]],
        /,
        *,
        window: int = 64,
        **arguments: Unpack[SubmitArguments],
    ) -> Iterator[SyncPoolRun]:
        """See :meth:`ComfyPool.as_completed`. ``variants`` is pulled in the caller's thread.

        When the loop is left, or Ctrl-C ends it, the other runs are cancelled.
        """
        runs = self._completed(workflow, variants, window, arguments)
        try:
            for _, run in runs:
                yield SyncPoolRun(run, self._thread)
        finally:
            runs.close()

    # --- servers ---------------------------------------------------------------------------------------------------

    def status(self) -> PoolStatus:
        """See :meth:`ComfyPool.status`."""
        return self._pool.status() if self._thread.closed else self._in_loop(self._pool.status)

    def free(self, server: str | None = None) -> None:
        """See :meth:`ComfyPool.free`."""
        self._thread.call(self._pool.free(server))

    def drain(self, server: str, *, deadline: float | None = None) -> bool:
        """See :meth:`ComfyPool.drain`."""
        return self._thread.call(self._pool.drain(server, deadline=deadline))

    def resume(self, server: str) -> None:
        """See :meth:`ComfyPool.resume`."""
        self._in_loop(lambda: self._pool.resume(server))

    def remove(self, server: str, *, deadline: float | None = None) -> None:
        """See :meth:`ComfyPool.remove`."""
        self._thread.call(self._pool.remove(server, deadline=deadline))

    def scale(self, servers: int, *, deadline: float | None = None) -> None:
        """See :meth:`ComfyPool.scale`."""
        self._thread.call(self._pool.scale(servers, deadline=deadline))

    # --- released --------------------------------------------------------------------------------------------------

    def close(self, drain: float | None = None) -> None:
        """Release all servers, as :meth:`ComfyPool.aclose`, and end the thread. Runs under way are ended.

        With ``drain`` they get as many seconds to end before. Safe to call twice, and from several threads at once.
        Ctrl-C does not abort the release: it is raised once everything is released. Does nothing in a forked child.
        """
        if self._thread.closed:
            return
        try:
            self._thread.call(self._pool.aclose(drain))
        except StateError:
            _log.debug("another thread has closed the pool already")
        finally:
            atexit.unregister(self._pool.release_now)
            self._thread.close()

    def release_now(self) -> None:
        """See :meth:`ComfyPool.release_now`."""
        self._pool.release_now()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside ----------------------------------------------------------------------------------------------------

    def _completed(
        self, workflow: Payload, variants: Iterable[Mapping[str, Any]], window: int, arguments: SubmitArguments
    ) -> _CompletedRuns:
        if isinstance(variants, AsyncIterable):
            raise ArgumentError("variants", "must be iterated without await: ComfyPool takes asynchronous ones")

        async def begin() -> OpenRuns:
            return OpenRuns(await self._pool._submitter(workflow, arguments, window))

        return _CompletedRuns(self._thread.call(begin()), iter(variants), window, self._thread)

    def _in_loop(self, work: Callable[[], Any]) -> Any:
        async def do() -> Any:
            return work()

        return self._thread.call(do())


class _CompletedRuns(Iterator[tuple[int, PoolRun]]):
    """Each run with its place, as it ends. The values are pulled by the caller, so they may wait or use the pool."""

    def __init__(self, runs: OpenRuns, variants: Iterator[Mapping[str, Any]], window: int, thread: LoopThread) -> None:
        self._runs, self._variants, self._window, self._thread = runs, variants, window, thread
        self._begun = 0
        self._is_over = False
        self._ended: list[tuple[int, PoolRun]] = []

    def __next__(self) -> tuple[int, PoolRun]:
        if not self._ended:
            self._begin()
            if not len(self._runs):
                raise StopIteration
            self._ended = self._thread.call(self._runs.ended())
        return self._ended.pop(0)

    def close(self) -> None:
        """Cancel the runs that have not ended."""
        if self._thread.is_current:
            # A generator was dropped, and collected in the pool's own thread, which cannot wait for itself.
            self._runs.cancel()
            return
        try:
            self._thread.call(self._runs.close())
        except StateError:
            _log.debug("the pool was closed, which has ended the runs of a batch")

    def _begin(self) -> None:
        """Pull values and begin their runs, until there are as many as may be."""
        while not self._is_over and len(self._runs) < self._window:
            try:
                values = next(self._variants)
            except StopIteration:
                self._is_over = True
            else:
                self._thread.call(self._begin_one(values))

    async def _begin_one(self, values: Mapping[str, Any]) -> None:
        self._runs.begin(self._begun, values)
        self._begun += 1
