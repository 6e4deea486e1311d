"""``Discomfort`` for scripts and notebooks without ``await``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, Protocol, Self

from discomfort._json import JsonObject
from discomfort.connector.payloads import Payload
from discomfort.context.context import WorkflowContext
from discomfort.orchestration.results import Results
from discomfort.orchestration.tools import WorkflowTools
from discomfort.progress import WorkflowProgressCallback
from discomfort.sync import SyncConnector


class RunsLists(Protocol):
    """The coroutines of :class:`Discomfort`."""

    @property
    def Tools(self) -> WorkflowTools:  # noqa: N802 - the documented name
        """See :attr:`Discomfort.Tools`."""
        ...

    async def run(self, *arguments: Any, **options: Any) -> Results:
        """See :meth:`Discomfort.run`."""
        ...

    async def diagnostics(self) -> JsonObject:
        """See :meth:`Discomfort.diagnostics`."""
        ...


class SyncDiscomfort:
    """A :class:`Discomfort` in a thread with an event loop of its own; every call blocks until it is done.

    Works beside a running event loop, as in a notebook. All calls may come from any thread. Ctrl-C during a run takes
    its prompt off the server, and leaves the context as cancelling the coroutine would::

        with Discomfort.sync() as discomfort:
            results = discomfort.run("workflow.json", {"prompt": "a fox in the snow", "seed": 1})
            discomfort.Tools.save_comfy_image_to_disk(results["image"], "fox.png")

    Make one with :meth:`Discomfort.sync` or :meth:`Discomfort.sync_attach`.
    """

    Context: ClassVar[type[WorkflowContext]] = WorkflowContext
    """The class of contexts."""

    def __init__(self, worker: SyncConnector, discomfort: RunsLists) -> None:
        """Used by :meth:`Discomfort.sync`; ``discomfort`` is a :class:`Discomfort` with the worker's connector."""
        self._worker, self._discomfort = worker, discomfort

    def __repr__(self) -> str:
        return f"<SyncDiscomfort {self._worker.state} {self._worker.engine or '-'} {self._worker.server_address}>"

    @property
    def Worker(self) -> SyncConnector:  # noqa: N802 - the documented name
        """The connector, which blocks too."""
        return self._worker

    @property
    def Tools(self) -> WorkflowTools:  # noqa: N802 - the documented name
        """See :attr:`Discomfort.Tools`."""
        return self._discomfort.Tools

    def run(
        self,
        workflows: Payload | Sequence[Payload],
        inputs: Mapping[str, Any] | None = None,
        iterations: int = 1,
        use_ram: bool = True,
        context: WorkflowContext | None = None,
        *,
        on_progress: WorkflowProgressCallback | None = None,
        timeout: float | None = None,
        extra_data: Mapping[str, Any] | None = None,
        allow_paid: bool | None = None,
        api_key: str | None = None,
    ) -> Results:
        """See :meth:`Discomfort.run`; ``on_progress`` is called in this object's thread.

        A run that waits while another thread shuts this object down raises ExecutionInterrupted or StateError.
        """
        return self._worker._thread.call(
            self._discomfort.run(
                workflows, inputs, iterations, use_ram, context,
                on_progress=on_progress, timeout=timeout, extra_data=extra_data, allow_paid=allow_paid, api_key=api_key,
            )
        )  # fmt: skip

    def diagnostics(self) -> JsonObject:
        """See :meth:`Discomfort.diagnostics`."""
        return self._worker._thread.call(self._discomfort.diagnostics())

    def shutdown(self) -> None:
        """Release the connector and end the thread, as :meth:`SyncConnector.kill_api` does. Contexts stay."""
        self._worker.kill_api()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
