"""``Discomfort``, at its documented import path."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self, Unpack

from discomfort.config import SettingArguments
from discomfort.connector import ComfyConnector


class Discomfort:
    """Orchestration on top of one connector, its ``Worker``, which is the one of :meth:`ComfyConnector.create`.

    Programs that only need the connector use that directly, as the guides do. Example::

        discomfort = await Discomfort.create()
        try:
            history = await discomfort.Worker.run_workflow("workflow.json")
        finally:
            await discomfort.shutdown()
    """

    def __init__(self, worker: ComfyConnector) -> None:
        self._worker = worker

    @classmethod
    async def create(
        cls, config_path: str | os.PathLike[str] | None = None, **settings: Unpack[SettingArguments]
    ) -> Self:
        """Start the connector, as :meth:`ComfyConnector.create` does, with its arguments, errors and cancellation."""
        return cls(await ComfyConnector._create(config_path, settings, loads_nodes=True))

    @property
    def Worker(self) -> ComfyConnector:  # noqa: N802 - the documented name
        """The connector."""
        return self._worker

    async def shutdown(self) -> None:
        """Release everything, as :meth:`ComfyConnector.kill_api` does. Safe to call twice."""
        await self._worker.kill_api()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shutdown()
