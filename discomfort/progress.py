"""The typed events of a run, which ``on_progress`` receives.

Pure data. Every event has ``prompt_id``. ``title`` is the node's title in the prompt, else its class; node ids are
those of the prompt (a node that expanded itself reports under the id that the user knows).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Queued:
    """The server queued the prompt. ``position`` counts the prompts before it, including the running one; 0 is next."""

    prompt_id: str
    position: int


@dataclass(frozen=True, slots=True)
class Started:
    """Execution began."""

    prompt_id: str


@dataclass(frozen=True, slots=True)
class Cached:
    """These nodes do not run, because their results are in the server's cache."""

    prompt_id: str
    node_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeStarted:
    """Node ``index`` (from 1) of ``total`` begins; ``total`` counts the prompt's nodes that are not cached."""

    prompt_id: str
    node_id: str
    title: str
    class_type: str
    index: int
    total: int


@dataclass(frozen=True, slots=True)
class Step:
    """A node is at step ``value`` of ``maximum`` (a sampler's steps, say)."""

    prompt_id: str
    node_id: str
    title: str
    value: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Preview:
    """An image that a node sent while it ran, encoded as ``media_type`` (``image/jpeg`` or ``image/png``).

    ``is_result``: it is a result that is in no history, as with ``SaveImageWebsocket``; it is never dropped for a slow
    callback. Otherwise it shows an intermediate step.
    """

    prompt_id: str
    node_id: str | None
    media_type: str
    data: bytes = field(repr=False)
    is_result: bool = False


@dataclass(frozen=True, slots=True)
class NodeOutput:
    """A node published its output, as the history will contain it (``None``: a cached output node without any)."""

    prompt_id: str
    node_id: str
    title: str
    output: Mapping[str, Any] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Done:
    """The run ended and its history was read; always the last event, even if the run then raises."""

    prompt_id: str
    success: bool


ProgressEvent = Queued | Started | Cached | NodeStarted | Step | Preview | NodeOutput | Done
ProgressCallback = Callable[[ProgressEvent], Awaitable[None] | None]
"""Called in the connector's event loop, in order. If it raises, the error is logged and it receives no further events;
the run goes on.

Events belong to the callback: it may keep and change them. While an ``async`` callback is slower than the server, steps
and previews that a newer one of the same node replaces are dropped; nothing else is."""

__all__ = [
    "Cached",
    "Done",
    "NodeOutput",
    "NodeStarted",
    "Preview",
    "ProgressCallback",
    "ProgressEvent",
    "Queued",
    "Started",
    "Step",
]
