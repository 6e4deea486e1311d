"""Describes where a run stands, as its events say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from discomfort.progress import Done, NodeStarted, ProgressEvent, Queued, Started, Step

RunPhase = Literal["submitting", "queued", "running", "ended"]


@dataclass(frozen=True, slots=True)
class RunStatus:
    """Where a run stands.

    ``phase`` is ``submitting`` (start, conversion, and until the server has the prompt; again while a run that is
    resubmitted waits for a new server), ``queued``, ``running`` or ``ended``. ``position``, while queued, counts the
    prompts before it. While running, ``node_id``, ``title`` and ``class_type`` are those of the present node, which is
    the ``index``-th of ``total``; ``step`` of ``steps`` is its progress, if it reports any. ``success`` is ``None``
    before the end.

    ``created``, ``started`` and ``ended`` are when the server accepted the prompt, began and ended to execute it: Unix
    times in seconds, by the server's clock. ``None`` if that has not happened, or the server does not report it:
    ComfyUI reports ``created`` since 0.3.69, and no ``ended`` for a prompt that was taken off its queue.
    """

    phase: RunPhase = "submitting"
    position: int | None = None
    node_id: str | None = None
    title: str | None = None
    class_type: str | None = None
    index: int | None = None
    total: int | None = None
    step: float | None = None
    steps: float | None = None
    success: bool | None = None
    created: float | None = None
    started: float | None = None
    ended: float | None = None

    def __str__(self) -> str:
        if self.phase == "queued" and self.position:
            return f"queued, {self.position} before it"
        if self.phase == "running" and self.title:
            step = f", step {self.step:g} of {self.steps:g}" if self.step is not None else ""
            return f"running {self.title} ({self.index} of {self.total}{step})"
        if self.phase == "ended":
            return "succeeded" if self.success else "failed"
        return self.phase


def status_after(status: RunStatus, event: ProgressEvent) -> RunStatus:
    """The status once ``event`` has happened."""
    match event:
        case Queued(position=position):
            return RunStatus("queued", position)
        case Started():
            return RunStatus("running")
        case NodeStarted(node_id=node_id, title=title, class_type=kind, index=index, total=total):
            return RunStatus("running", None, node_id, title, kind, index, total)
        case Step(node_id=node_id, value=value, maximum=maximum) if node_id == status.node_id:
            return replace(status, step=value, steps=maximum)
        case Done(success=success):
            return RunStatus("ended", success=success)
    return status
