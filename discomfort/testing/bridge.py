"""A connector for async tests that works with any event loop.

A connector belongs to one event loop, but pytest's plugins give tests event loops of different lifetimes. So the
connector runs in a loop and thread of its own, and the calls of a test are executed there.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine, Mapping
from typing import Any, BinaryIO, TypeVar, cast

from discomfort._json import JsonObject
from discomfort._system.concurrency import finish, retrieve
from discomfort.client.outputs import Output, collect_outputs
from discomfort.client.rest import RestClient
from discomfort.connector import ComfyConnector
from discomfort.connector.payloads import Payload
from discomfort.conversion.explanation import Explanation
from discomfort.exceptions import StateError
from discomfort.history import History
from discomfort.progress import ProgressCallback, ProgressEvent
from discomfort.sync import ConnectorFace, SyncConnector
from discomfort.workflow.edit import Editor

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
    ) -> History:
        """See :meth:`ComfyConnector.run_workflow`."""
        told = None if on_progress is None else _here(on_progress)
        return await self._there(
            self.connector.run_workflow(
                payload, use_workflow_json, on_progress=told, timeout=timeout, extra_data=extra_data
            )
        )

    async def get_prompt_from_workflow(self, workflow: Payload) -> JsonObject:
        """See :meth:`ComfyConnector.get_prompt_from_workflow`."""
        return await self._there(self.connector.get_prompt_from_workflow(workflow))

    async def explain(self, workflow: Payload) -> Explanation:
        """See :meth:`ComfyConnector.explain`."""
        return await self._there(self.connector.explain(workflow))

    async def edit(self, payload: Payload) -> Editor:
        """See :meth:`ComfyConnector.edit`."""
        return await self._there(self.connector.edit(payload))

    async def health(self) -> dict[str, str]:
        """See :meth:`ComfyConnector.health`."""
        return await self._there(self.connector.health())

    async def diagnostics(self) -> JsonObject:
        """See :meth:`ComfyConnector.diagnostics`."""
        return await self._there(self.connector.diagnostics())

    def outputs(self, history: Mapping[str, Any]) -> list[Output]:
        """See :meth:`ComfyConnector.outputs`; the outputs are read in the caller's loop."""
        found = self.connector.outputs(history)
        rest = next((output._rest for output in found if output._rest is not None), None)
        # Only what an output asks of it: see Output.read and Output.save.
        return collect_outputs(dict(history), None if rest is None else cast(RestClient, _Rest(rest, self)))

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


class _Rest:
    """The requests of an output, sent in the connector's loop."""

    def __init__(self, rest: RestClient, connector: AsyncConnector) -> None:
        self._rest, self._connector = rest, connector

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
