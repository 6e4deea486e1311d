"""Sweeps without ``await``: those of ``SyncConnector``."""

from __future__ import annotations

import os
from collections.abc import Generator

from discomfort._system.loop_thread import LoopThread
from discomfort.sweeps.sweep import OnError, Sweep
from discomfort.sweeps.sweep_results import SweepProgressCallback, SweepReport, SweepResult


class SyncSweep:
    """A :class:`Sweep` whose methods block. Ctrl-C during a call ends it as a cancellation does."""

    def __init__(self, sweep: Sweep, thread: LoopThread) -> None:
        """Made by ``grid`` and ``table`` of a :class:`SyncFunction`."""
        self._sweep, self._thread = sweep, thread

    def __len__(self) -> int:
        return len(self._sweep)

    def __repr__(self) -> str:
        return f"<Sync{repr(self._sweep)[1:]}"

    def run(
        self,
        folder: str | os.PathLike[str],
        *,
        parallel: int = 2,
        on_error: OnError = "return",
        on_progress: SweepProgressCallback | None = None,
        contact_sheet: bool = True,
    ) -> SweepReport:
        """See :meth:`Sweep.run`; ``on_progress`` is called in the connector's thread."""
        return self._thread.call(
            self._sweep.run(
                folder, parallel=parallel, on_error=on_error, on_progress=on_progress, contact_sheet=contact_sheet
            )
        )

    def rows(
        self,
        folder: str | os.PathLike[str],
        *,
        parallel: int = 2,
        on_error: OnError = "return",
        on_progress: SweepProgressCallback | None = None,
    ) -> Generator[SweepResult, None, None]:
        """See :meth:`Sweep.rows`. Other rows go on while the loop's body works; leaving the loop ends them."""
        reader = self._sweep.rows(folder, parallel=parallel, on_error=on_error, on_progress=on_progress)

        async def following() -> SweepResult | None:
            return await anext(reader, None)

        try:
            while (row := self._thread.call(following())) is not None:
                yield row
        finally:
            self._thread.call(reader.aclose())
