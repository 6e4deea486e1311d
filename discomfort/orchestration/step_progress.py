"""Progress of a run: the events of each workflow, with the workflow's place and its own node ids."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

from discomfort.exceptions import WorkflowPlace
from discomfort.orchestration.run_places import NodeNames
from discomfort.progress import (
    Cached,
    ProgressCallback,
    ProgressEvent,
    WorkflowProgress,
    WorkflowProgressCallback,
)


class ProgressReports:
    """Hands the events of all workflows of a run to one callback, until that raises."""

    def __init__(self, callback: WorkflowProgressCallback) -> None:
        self._callback = callback
        self._has_failed = False

    def of_step(self, place: WorkflowPlace, names: NodeNames) -> ProgressCallback:
        """The callback for the events of one prompt."""

        def report(event: ProgressEvent) -> Awaitable[None] | None:
            return None if self._has_failed else self._call(_event(event, place, names))

        return report

    def _call(self, event: WorkflowProgress) -> Awaitable[None] | None:
        try:
            outcome = self._callback(event)
        except BaseException:
            self._has_failed = True
            raise
        return self._awaited(outcome) if inspect.isawaitable(outcome) else None

    async def _awaited(self, outcome: Awaitable[Any]) -> None:
        try:
            await outcome
        except Exception:
            self._has_failed = True
            raise


def _event(event: ProgressEvent, place: WorkflowPlace, names: NodeNames) -> WorkflowProgress:
    origin = None
    if isinstance(event, Cached):
        event = replace(event, node_ids=tuple(names.own.get(each, each) for each in event.node_ids))
    else:
        node_id = getattr(event, "node_id", None)
        if node_id is not None:
            origin = names.others.get(node_id)
            changes: dict[str, Any] = {"node_id": names.own[node_id]} if node_id in names.own else {}
            event = replace(event, **changes) if changes else event
    return WorkflowProgress(place.index, place.name, place.iteration, event, origin)
