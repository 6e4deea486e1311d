"""A connector for async tests that works with any event loop.

A connector belongs to one event loop, but pytest's plugins give tests event loops of different lifetimes. So the
connector runs in a loop and thread of its own, and the calls of a test are executed there.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from discomfort._json import JsonObject
from discomfort._system.concurrency import finish, retrieve
from discomfort.client.outputs import Output
from discomfort.client.rest import RestClient
from discomfort.connector import ComfyConnector
from discomfort.connector.file_upload import Upload
from discomfort.connector.health import HealthReport
from discomfort.connector.payloads import Payload
from discomfort.connector.run_handle import Run
from discomfort.connector.run_result import RunResult
from discomfort.connector.server_queue import ServerQueue
from discomfort.conversion.explanation import Explanation
from discomfort.exceptions import StateError
from discomfort.history import History
from discomfort.progress import ProgressCallback, ProgressEvent
from discomfort.sync import ConnectorFace, SyncConnector
from discomfort.sync_run import RunFace
from discomfort.workflow.edit import Editor

if TYPE_CHECKING:
    from discomfort.connector.file_upload import UploadContent

T = TypeVar("T")


class AsyncConnector(ConnectorFace):
    """``ComfyConnector``'s methods for any event loop; ``sync`` is the connector that does the work.

    Cancelling a call cancels the work, and waits until it has ended. Callbacks are called in the caller's loop, all of
    them before the call returns.
    """

    def __init__(self, sync: SyncConnector) -> None:
        self.sync = sync

    def __repr__(self) -> str:
        return f"<AsyncConnector {self.state} {self.server_address}>"

    @property
    def connector(self) -> ComfyConnector:
        """The connector itself; its coroutines run in the loop of ``sync`` only."""
        return self.sync.connector

    async def run_workflow(
        self,
        payload: Payload,
        use_workflow_json: bool = True,
        *,
        on_progress: ProgressCallback | None = None,
        timeout: float | None = None,
        extra_data: Mapping[str, Any] | None = None,
        allow_paid: bool | None = None,
        api_key: str | None = None,
    ) -> History:
        """See :meth:`ComfyConnector.run_workflow`."""
        told = None if on_progress is None else _here(on_progress)
        return await self._there(
            self.connector.run_workflow(
                payload,
                use_workflow_json,
                on_progress=told,
                timeout=timeout,
                extra_data=extra_data,
                allow_paid=allow_paid,
                api_key=api_key,
            )
        )

    async def run(
        self,
        payload: Payload,
        values: Mapping[str, Any] | None = None,
        files: Mapping[str, UploadContent] | None = None,
        *,
        on_progress: ProgressCallback | None = None,
        timeout: float | None = None,
        extra_data: Mapping[str, Any] | None = None,
        allow_paid: bool | None = None,
        api_key: str | None = None,
    ) -> RunResult:
        """See :meth:`ComfyConnector.run`."""
        told = None if on_progress is None else _here(on_progress)
        result = await self._there(
            self.connector.run(
                payload,
                values,
                files,
                on_progress=told,
                timeout=timeout,
                extra_data=extra_data,
                allow_paid=allow_paid,
                api_key=api_key,
            )
        )
        return replace(result, outputs=self.outputs(result.history))

    async def submit(
        self,
        payload: Payload,
        use_workflow_json: bool = True,
        *,
        values: Mapping[str, Any] | None = None,
        files: Mapping[str, UploadContent] | None = None,
        timeout: float | None = None,
        extra_data: Mapping[str, Any] | None = None,
        allow_paid: bool | None = None,
        api_key: str | None = None,
    ) -> AsyncRun:
        """See :meth:`ComfyConnector.submit`."""
        submission = self.connector.submit(
            payload,
            use_workflow_json,
            values=values,
            files=files,
            timeout=timeout,
            extra_data=extra_data,
            allow_paid=allow_paid,
            api_key=api_key,
        )
        return AsyncRun(await self._there(submission), self)

    async def find(self, prompt_id: str) -> AsyncRun:
        """See :meth:`ComfyConnector.find`."""
        return AsyncRun(await self._there(self.connector.find(prompt_id)), self)

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
        """See :meth:`ComfyConnector.upload`."""
        return await self._there(
            self.connector.upload(
                source,
                name=name,
                folder_type=folder_type,
                subfolder=subfolder,
                overwrite=overwrite,
                ephemeral=ephemeral,
            )
        )

    async def queue(self) -> ServerQueue:
        """See :meth:`ComfyConnector.queue`."""
        return await self._there(self.connector.queue())

    async def interrupt(self, prompt_id: str | None = None) -> None:
        """See :meth:`ComfyConnector.interrupt`."""
        await self._there(self.connector.interrupt(prompt_id))

    async def free(self, *, unload_models: bool = True, free_memory: bool = True) -> None:
        """See :meth:`ComfyConnector.free`."""
        await self._there(self.connector.free(unload_models=unload_models, free_memory=free_memory))

    async def get_prompt_from_workflow(self, workflow: Payload) -> JsonObject:
        """See :meth:`ComfyConnector.get_prompt_from_workflow`."""
        return await self._there(self.connector.get_prompt_from_workflow(workflow))

    async def explain(self, workflow: Payload) -> Explanation:
        """See :meth:`ComfyConnector.explain`."""
        return await self._there(self.connector.explain(workflow))

    async def edit(self, payload: Payload, *, workflow: Payload | None = None) -> Editor:
        """See :meth:`ComfyConnector.edit`."""
        return await self._there(self.connector.edit(payload, workflow=workflow))

    async def health(self) -> HealthReport:
        """See :meth:`ComfyConnector.health`."""
        return await self._there(self.connector.health())

    async def diagnostics(self) -> JsonObject:
        """See :meth:`ComfyConnector.diagnostics`."""
        return await self._there(self.connector.diagnostics())

    def outputs(self, history: Mapping[str, Any]) -> list[Output]:
        """See :meth:`ComfyConnector.outputs`; the outputs are read in the caller's loop."""
        return self._with_own_rest(self.connector.outputs(history))

    def _with_own_rest(self, outputs: list[Output]) -> list[Output]:
        """The same outputs, whose requests are sent in the connector's loop."""
        for output in outputs:
            if output._rest is not None:
                # Only what an output asks of it: see Output.read and Output.save.
                output._rest = cast(RestClient, _Rest(output._rest, self))
        return outputs

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        job = self.sync._thread.submit(work)
        waiting = asyncio.wrap_future(job.outcome)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if waiting.done() and not (task and task.cancelling()):
                raise StateError("the connector was shut down during the call") from error
            # Wait until it has ended: the next test may use the same server.
            job.cancel()
            await finish(asyncio.wait([waiting]))
            retrieve(waiting)
            raise


class AsyncRun(RunFace):
    """A :class:`Run` for any event loop."""

    def __init__(self, run: Run, connector: AsyncConnector) -> None:
        super().__init__(run)
        self._connector = connector

    def __await__(self) -> Generator[Any, None, History]:
        """The history, as ``await run`` gives it."""
        return self._connector._there(_awaited(self._run)).__await__()

    async def events(self) -> AsyncGenerator[ProgressEvent, None]:
        """See :meth:`Run.events`: what happens from the first step of the loop on."""
        reader = await self._connector._there(_reader(self._run))
        while (event := await self._connector._there(_following(reader))) is not None:
            yield event

    async def cancel(self) -> bool:
        """See :meth:`Run.cancel`."""
        return await self._connector._there(self._run.cancel())

    def outputs(self) -> list[Output]:
        """See :meth:`Run.outputs`; the outputs are read in the caller's loop."""
        return self._connector._with_own_rest(self._run.outputs())


async def _awaited(run: Run) -> History:
    return await run


async def _reader(run: Run) -> AsyncIterator[ProgressEvent]:
    return run.events()


async def _following(reader: AsyncIterator[ProgressEvent]) -> ProgressEvent | None:
    return await anext(reader, None)


class _Rest:
    """The requests of an output, sent in the connector's loop."""

    def __init__(self, rest: RestClient, connector: AsyncConnector) -> None:
        self._rest, self._connector = rest, connector

    def apart(self) -> AbstractAsyncContextManager[RestClient]:
        return self._rest.apart()

    async def view(self, filename: str, subfolder: str = "", type: str = "output") -> bytes:  # noqa: A002
        return await self._connector._there(self._rest.view(filename, subfolder, type))

    async def view_to(self, target: BinaryIO, filename: str, subfolder: str = "", type: str = "output") -> int:  # noqa: A002
        return await self._connector._there(self._rest.view_to(target, filename, subfolder, type))


def _here(callback: ProgressCallback) -> ProgressCallback:
    """A callback that runs ``callback`` in the present loop and waits for it."""
    loop = asyncio.get_running_loop()

    async def call(event: ProgressEvent) -> None:
        outcome = callback(event)
        if inspect.isawaitable(outcome):
            await outcome

    async def there(event: ProgressEvent) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(event), loop))

    return there
