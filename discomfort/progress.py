"""The typed events of a run, which ``on_progress`` receives.

Pure data. Every event has ``prompt_id``. ``title`` is the node's title in the prompt, else its class; node ids are
those of the prompt (a node that expanded itself reports under the id that the user knows).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from discomfort._json import JsonObject


@dataclass(frozen=True, slots=True)
class Event:
    """Base class of all events. ``kind`` is the event's name: ``queued``, ``step``, ``node_output`` …"""

    kind: ClassVar[str] = ""

    def to_dict(self, *, with_data: bool = False) -> JsonObject:
        """The event as JSON-ready values: ``kind``, then its fields.

        Of a preview's picture only the size in bytes (``size``) is given; with ``with_data`` also the bytes as base64
        (``data``). NaN and infinities become ``None``. For server-sent events or a log:
        ``json.dumps(event.to_dict())``.
        """
        plain: JsonObject = {"kind": self.kind}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bytes):
                plain["size"] = len(value)
                if with_data:
                    plain[item.name] = base64.b64encode(value).decode("ascii")
            else:
                plain[item.name] = _as_json(value)
        return plain


def _as_json(value: Any) -> Any:
    """A copy in which strict JSON can hold everything: NaN and infinities, which servers send, become ``None``."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True, slots=True)
class Queued(Event):
    """The server queued the prompt. ``position`` counts the prompts before it, including the running one; 0 is next."""

    kind: ClassVar[str] = "queued"
    prompt_id: str
    position: int


@dataclass(frozen=True, slots=True)
class Started(Event):
    """Execution began."""

    kind: ClassVar[str] = "started"
    prompt_id: str


@dataclass(frozen=True, slots=True)
class Cached(Event):
    """These nodes do not run, because their results are in the server's cache."""

    kind: ClassVar[str] = "cached"
    prompt_id: str
    node_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeStarted(Event):
    """Node ``index`` (from 1) of ``total`` begins; ``total`` counts the prompt's nodes that are not cached."""

    kind: ClassVar[str] = "node_started"
    prompt_id: str
    node_id: str
    title: str
    class_type: str
    index: int
    total: int


@dataclass(frozen=True, slots=True)
class Step(Event):
    """A node is at step ``value`` of ``maximum`` (a sampler's steps, say)."""

    kind: ClassVar[str] = "step"
    prompt_id: str
    node_id: str
    title: str
    value: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Preview(Event):
    """An image that a node sent while it ran, encoded as ``media_type`` (``image/jpeg`` or ``image/png``).

    ``is_result``: it is a result that is in no history, as with ``SaveImageWebsocket``; it is never dropped for a slow
    callback. Otherwise it shows an intermediate step.
    """

    kind: ClassVar[str] = "preview"
    prompt_id: str
    node_id: str | None
    media_type: str
    data: bytes = field(repr=False)
    is_result: bool = False


@dataclass(frozen=True, slots=True)
class NodeOutput(Event):
    """A node published its output, as the history will contain it (``None``: a cached output node without any)."""

    kind: ClassVar[str] = "node_output"
    prompt_id: str
    node_id: str
    title: str
    output: Mapping[str, Any] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Done(Event):
    """The run ended and its history was read; always the last event, even if the run then raises."""

    kind: ClassVar[str] = "done"
    prompt_id: str
    success: bool


ProgressEvent = Queued | Started | Cached | NodeStarted | Step | Preview | NodeOutput | Done
ProgressCallback = Callable[[ProgressEvent], Awaitable[None] | None]
"""Called in the connector's event loop, in order. If it raises, the error is logged and it receives no further events;
the run goes on.

Events belong to the callback: it may keep and change them. While an ``async`` callback is slower than the server, steps
and previews that a newer one of the same node replaces are dropped; nothing else is."""


@dataclass(frozen=True, slots=True)
class NodeOrigin:
    """The node of another workflow, which a reference brought into this run."""

    workflow: str
    node_id: str


@dataclass(frozen=True, slots=True)
class WorkflowProgress:
    """An event of one workflow of ``Discomfort.run``.

    ``workflow_index`` counts from 0, as the list does; ``workflow_name`` is the file's name, empty for an object;
    ``iteration`` counts from 1. The ids in ``event`` are those of this workflow's nodes. For a node that a reference
    brought, ``origin`` says where it is from.
    """

    workflow_index: int
    workflow_name: str
    iteration: int
    event: ProgressEvent
    origin: NodeOrigin | None = None

    @property
    def kind(self) -> str:
        """The name of the event."""
        return self.event.kind

    def to_dict(self, *, with_data: bool = False) -> JsonObject:
        """The event as :meth:`Event.to_dict` gives it, then the other fields."""
        origin = None if self.origin is None else {"workflow": self.origin.workflow, "node_id": self.origin.node_id}
        return {
            **self.event.to_dict(with_data=with_data),
            "workflow_index": self.workflow_index,
            "workflow_name": self.workflow_name,
            "iteration": self.iteration,
            "origin": origin,
        }


WorkflowProgressCallback = Callable[[WorkflowProgress], Awaitable[None] | None]
"""Called as :data:`ProgressCallback`, for each event of each workflow of a call of ``Discomfort.run``."""

__all__ = [
    "Cached",
    "Done",
    "Event",
    "NodeOrigin",
    "NodeOutput",
    "NodeStarted",
    "Preview",
    "ProgressCallback",
    "ProgressEvent",
    "Queued",
    "Started",
    "Step",
    "WorkflowProgress",
    "WorkflowProgressCallback",
]
