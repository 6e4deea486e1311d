"""The runs of ``discomfort run --pool``: several at once, each on the server that suits it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from discomfort._system.concurrency import first_failure
from discomfort.cli.batch import Job, source_error
from discomfort.cli.connect import Holder, ServerTarget
from discomfort.cli.input_uploads import upload_inputs
from discomfort.cli.interface_command import payload_of
from discomfort.cli.named_calls import NamedCalls
from discomfort.cli.pool_choice import PoolChoice
from discomfort.cli.pool_display import PoolDisplay, RunPlace, make_pool_display
from discomfort.cli.report import Result, save_outputs
from discomfort.cli.run import RunBatch, RunOptions
from discomfort.cli.terminal import LogHandler, Terminal
from discomfort.exceptions import RunTimeout

if TYPE_CHECKING:
    from discomfort.config import SettingArguments
    from discomfort.connector import ComfyConnector
    from discomfort.pool.pool import ComfyPool
    from discomfort.pool.pool_run import PoolRun

_WINDOW = 64
"""Runs that wait or run at once: enough for the pool to choose from."""


async def open_pool(target: ServerTarget, choice: PoolChoice) -> ComfyPool:
    """Start the servers, or connect to them. Raises what ``ComfyPool.create`` and ``attach`` raise."""
    from discomfort.pool.pool import ComfyPool

    settings = cast("SettingArguments", {} if target.engine is None else {"engine": target.engine})
    if choice.urls:
        return await ComfyPool.attach(
            choice.urls, headers=target.headers, proxy=target.proxy, config_path=target.config, **settings
        )
    return await ComfyPool.create(gpus=choice.gpus, servers=choice.servers, config_path=target.config, **settings)


class PoolBatch(RunBatch):
    """Checks every run on one server, and does them on all. Results come as the runs end."""

    def __init__(self, options: RunOptions, choice: PoolChoice, terminal: Terminal) -> None:
        super().__init__(options, terminal)
        self._choice = choice
        self._calls = self._edits = NamedCalls(options.named, options.variants, options.sidecar, options.own)
        self._shown: PoolDisplay = make_pool_display(terminal)
        self.display = self._shown

    def execute(self) -> int:
        """Run everything and return the exit code; the results are in the order of the runs."""
        code = super().execute()
        self.results.sort(key=lambda result: result.index)
        return code

    async def _run(self, holder: Holder, log: LogHandler) -> None:
        async with self._pool(holder) as pool:
            connectors = _connectors(pool)
            await self._upload(connectors)
            await self._check(connectors[0])
            self._shown.begin(sum(not job.is_done and job.source.error is None for job in self.jobs))
            room = asyncio.Semaphore(_WINDOW)
            try:
                async with asyncio.TaskGroup() as group:
                    for number, job in enumerate(self.jobs, 1):
                        await room.acquire()
                        task = group.create_task(self._job(pool, number, job), name="discomfort-cli-run")
                        task.add_done_callback(lambda _: room.release())
            except BaseExceptionGroup as failures:
                raise first_failure(failures) from None

    @contextlib.asynccontextmanager
    async def _pool(self, holder: Holder) -> AsyncIterator[ComfyPool]:
        """A pool for the block; afterwards nothing of it is left, whatever happened."""
        self.display.phase(f"{'connecting to' if self._choice.urls else 'starting'} {self._choice}")
        pool = holder.pool = await open_pool(self.target, self._choice)
        try:
            names = [server.name for server in pool.status().servers]
            self.terminal.note(f"pool: {', '.join(names)}")
            yield pool
        finally:
            self.display.phase("shutting down")
            await pool.aclose()
            holder.pool = None

    async def _upload(self, connectors: list[ComfyConnector]) -> None:
        """Upload every ``--input`` to all servers; those with the same folder need it once."""
        known: set[Path] = set()
        for connector in connectors:
            engine = connector._parts.engine
            folder = None if engine is None else engine.folders.input.resolve()
            if folder is None or folder not in known:
                await upload_inputs(
                    connector, self._options.inputs, self.target, self.terminal, self.display,
                    is_kept=bool(self._choice.urls),
                )  # fmt: skip
            if folder is not None:
                known.add(folder)

    async def _job(self, pool: ComfyPool, number: int, job: Job) -> None:
        result = self._result(number, job, source_error(job))
        if result.error is None and not job.is_done:
            place = RunPlace(number, len(self.jobs), f"{job.source.label} {job.variant}".rstrip())
            try:
                await self._one(self._on_pool(pool, place, job, result), job, result)
            finally:
                self._shown.ended(place)
        self._record(result)

    async def _on_pool(self, pool: ComfyPool, place: RunPlace, job: Job, result: Result) -> None:
        """Do one run and save its outputs."""
        from discomfort.pool.retry import Retry

        options = self._options
        run = await pool.submit(
            payload_of(job.source), self._calls.values(job), interface=options.sidecar, allow_paid=options.allow_paid,
            retry=Retry(options.retry),
        )  # fmt: skip
        try:
            await self._follow(run, place)
            found = await run
        finally:
            result.server = run.server
            await run.cancel()
        result.history, result.seconds = found.history, found.timing.ran
        await save_outputs(found.outputs, options.output, result.rows, name=job.name)

    async def _follow(self, run: PoolRun, place: RunPlace) -> None:
        """Show the run until its end. Raises RunTimeout if it takes too long on its servers."""
        from discomfort.pool.pool_events import Assigned, Waiting

        limit, loop = self._options.timeout, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as deadline:
                async for event in run.events():
                    self._shown.show(place, event)
                    # The limit is that of a run, as without a pool: it does not count while it waits for a server.
                    if limit is not None and isinstance(event, Assigned):
                        deadline.reschedule(loop.time() + limit)
                    elif isinstance(event, Waiting):
                        deadline.reschedule(None)
        except TimeoutError:
            if run.done or not limit:
                raise
            prompt_id = run.prompt_id or None
            await run.cancel()
            raise RunTimeout(f"the run took longer than {limit:g} s", timeout=limit, prompt_id=prompt_id) from None


def _connectors(pool: ComfyPool) -> list[ComfyConnector]:
    """Those of the pool's servers: each has one."""
    servers: list[Any] = [slot.server for slot in pool._slots.slots]
    return [server.connector for server in servers]
