"""ComfyUI's messages about runs: WebSocket frames in, progress events and verdicts out.

Pure: no I/O, no clock, no asyncio. Nothing here raises, whatever a server sends; an invalid frame is dropped with a
line at DEBUG. The facts are those of ComfyUI 0.3.64 and newer; types and keys that came later are ignored:

- Text frames are ``{"type": …, "data": {…}}``; those about one prompt carry its ``prompt_id``.
- ``executing`` with ``node: null`` is sent after the record of the prompt is in the history; ``execution_success``,
  ``execution_error`` and ``execution_interrupted`` are sent before.
- Binary frames start with a big-endian 32-bit type: 1 preview, 3 text of a node, 4 preview with metadata.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from discomfort._json import JsonObject, loads
from discomfort.client.run_times import RunTimes, accepted_at
from discomfort.progress import Cached, NodeOutput, NodeStarted, Preview, ProgressEvent, Started, Step
from discomfort.workflow.json_values import is_link
from discomfort.workflow.nodes import title_of

_log = logging.getLogger("discomfort.client")

FEATURE_FLAGS = b'{"type":"feature_flags","data":{"supports_preview_metadata":true}}'
"""The first text message after every connect; ComfyUI ignores it later in a connection."""

STATUS_PREFIX = '{"type": "status"'
"""How a ``status`` frame of ComfyUI begins (Python's ``json.dumps``); such frames concern no single prompt."""

PROGRESS_STATE_PREFIX = '{"type": "progress_state"'
"""How a ``progress_state`` frame begins; it repeats all nodes each time, so it is skipped unparsed if unused."""

_PREVIEW, _TEXT, _PREVIEW_WITH_METADATA = 1, 3, 4
_LEGACY_FORMATS = {1: "image/jpeg", 2: "image/png"}
_INTERMEDIATE = "image/jpeg"
"""The format of samplers' previews. Results that are sent over the socket only are PNG."""

_RESULT_CLASSES = frozenset({"SaveImageWebsocket"})
_NOTHING: tuple[ProgressEvent, ...] = ()


@dataclass(slots=True)
class Message:
    """A text frame: its type, its data, and the prompt that it is about, if any."""

    type: str
    data: Mapping[str, Any]
    prompt_id: str | None


@dataclass(slots=True)
class PreviewFrame:
    """An encoded image; the older form of the frame names neither prompt nor node."""

    prompt_id: str | None
    node_id: str | None
    media_type: str
    data: bytes = field(repr=False)


@dataclass(slots=True)
class TextFrame:
    """A text that a node shows while it runs."""

    node_id: str
    text: str


def decode_text(text: str | bytes) -> Message | None:
    """The message in a text frame, or ``None`` if there is none in it."""
    try:
        value = loads(text)
    except (ValueError, RecursionError) as error:
        _log.debug("a text frame of %d characters is not JSON: %s", len(text), type(error).__name__)
        return None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        _log.debug("a text frame is not a message: %s", type(value).__name__)
        return None
    data = value.get("data")
    if not isinstance(data, dict):
        data = {}
    prompt_id = data.get("prompt_id")
    return Message(value["type"], data, prompt_id if isinstance(prompt_id, str) else None)


def decode_binary(frame: bytes) -> PreviewFrame | TextFrame | None:
    """The content of a binary frame, or ``None`` if its type is unknown or it is truncated."""
    kind = int.from_bytes(frame[:4], "big")
    if kind == _PREVIEW and len(frame) > 8:
        media_type = _LEGACY_FORMATS.get(int.from_bytes(frame[4:8], "big"), "application/octet-stream")
        return PreviewFrame(None, None, media_type, frame[8:])
    if kind in {_TEXT, _PREVIEW_WITH_METADATA} and len(frame) >= 8:
        length = int.from_bytes(frame[4:8], "big")
        head, body = frame[8 : 8 + length], frame[8 + length :]
        if len(head) == length:
            if kind == _TEXT:
                return TextFrame(head.decode(errors="replace"), body.decode(errors="replace"))
            return _preview_with_metadata(head, body)
    _log.debug("a binary frame of %d bytes and type %d is unknown or cut short", len(frame), kind)
    return None


def _preview_with_metadata(head: bytes, body: bytes) -> PreviewFrame | None:
    try:
        metadata = loads(head)
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        _log.debug("the metadata of a preview are not a JSON object")
        return None
    node_id = _text(metadata.get("display_node_id")) or _text(metadata.get("node_id"))
    media_type = _text(metadata.get("image_type")) or "image/jpeg"
    return PreviewFrame(_text(metadata.get("prompt_id")), node_id, media_type, body)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def title_and_class(prompt: Mapping[str, Any], node_id: str) -> tuple[str | None, str | None]:
    """Title (else class) and class of a node of a prompt; ``None`` for each that the prompt does not have."""
    node = prompt.get(node_id)
    if not isinstance(node, Mapping):
        return None, None
    class_type = _text(node.get("class_type"))
    return title_of(node) or class_type, class_type


def executable_nodes(prompt: Mapping[str, Any], definitions: Mapping[str, Any] | None) -> frozenset[str]:
    """The nodes that a server may execute: output nodes and everything upstream; all nodes without definitions."""
    if not definitions:
        return frozenset(prompt)
    waiting = [
        node_id
        for node_id, node in prompt.items()
        if isinstance(node, Mapping) and _is_output(definitions.get(str(node.get("class_type"))))
    ]
    found: set[str] = set(waiting)
    while waiting:
        node = prompt[waiting.pop()]
        inputs = node.get("inputs") if isinstance(node, Mapping) else None
        for value in inputs.values() if isinstance(inputs, Mapping) else ():
            if is_link(value):
                source = value[0]
                if source in prompt and source not in found:
                    found.add(source)
                    waiting.append(source)
    return frozenset(found) or frozenset(prompt)


def _is_output(definition: object) -> bool:
    return isinstance(definition, Mapping) and bool(definition.get("output_node"))


def queue_positions(queue: Mapping[str, Any]) -> dict[str, int]:
    """Prompt id to the number of prompts before it, from the answer of ``GET /queue``; a running prompt has 0.

    The server lists pending prompts in heap order, so they are sorted by their number here.
    """
    positions: dict[str, int] = {}
    running = _queue_items(queue.get("queue_running"))
    pending = sorted(_queue_items(queue.get("queue_pending")))
    for place, (_, prompt_id) in enumerate(pending):
        positions[prompt_id] = len(running) + place
    positions.update((prompt_id, 0) for _, prompt_id in running)
    return positions


def running_prompts(queue: Mapping[str, Any]) -> frozenset[str]:
    """The ids that the answer of ``GET /queue`` lists as running."""
    return frozenset(prompt_id for _, prompt_id in _queue_items(queue.get("queue_running")))


def accepted_times(queue: Mapping[str, Any]) -> dict[str, float]:
    """Prompt id to the time at which the server accepted the prompt, as far as ``GET /queue`` says so (JOB_TIMES)."""
    lists = [queue.get("queue_running"), queue.get("queue_pending")]
    items = [item for items in lists if isinstance(items, list) for item in items]
    return {str(item[1]): told for item in items if (told := accepted_at(item)) is not None}


def _queue_items(items: object) -> list[tuple[float, str]]:
    if not isinstance(items, list):
        return []
    return [
        (float(item[0]) if isinstance(item[0], int | float) else 0.0, str(item[1]))
        for item in items
        if isinstance(item, list) and len(item) >= 2
    ]


class RunState:
    """The state of one prompt, as reported by the socket.

    ``started``: execution began. ``ended``: it is over, but the record may not be readable yet. ``finished``: the
    server says that the record is there. ``blocked``: nodes whose outputs were blocked (not an error). ``times``:
    when all of that was.
    """

    ended: bool
    finished: bool
    prompt: JsonObject
    prompt_id: str
    reporting: bool
    started: bool

    __slots__ = (
        "_display",
        "_seen",
        "_start_told",
        "_steps",
        "_total",
        "blocked",
        "ended",
        "executable",
        "finished",
        "node_id",
        "prompt",
        "prompt_id",
        "reporting",
        "started",
        "times",
    )

    def __init__(self, prompt_id: str, prompt: JsonObject, *, reporting: bool) -> None:
        self.prompt_id, self.prompt, self.reporting = prompt_id, prompt, reporting
        self.started = self.ended = self.finished = False
        self.blocked: list[str] = []
        self.executable: Collection[str] | None = None
        self.node_id: str | None = None
        self._display: dict[str, str] = {}
        self._seen: dict[str, int] = {}
        self._steps: dict[str, tuple[float, float]] = {}
        self._total: int | None = None
        self._start_told = False
        self.times: RunTimes = RunTimes()

    def start(self) -> Sequence[ProgressEvent]:
        """Note that execution began. Returns the event for that; none if it was returned before."""
        self.started = True
        told, self._start_told = self._start_told, True
        return _NOTHING if told else (Started(self.prompt_id),)

    def feed(self, frame: Message | PreviewFrame) -> Sequence[ProgressEvent]:
        """Process one frame of this prompt. Returns the events that it means; none unless ``reporting``."""
        if isinstance(frame, PreviewFrame):
            node_id = self._shown(frame.node_id) if frame.node_id else self.node_id
            is_result = frame.media_type != _INTERMEDIATE or self._class(node_id) in _RESULT_CLASSES
            event = Preview(self.prompt_id, node_id, frame.media_type, frame.data, is_result)
            return (event,) if self.reporting else _NOTHING
        kind, data = frame.type, frame.data
        if kind == "executing":
            self.started = True
            if "node" in data and data["node"] is None:
                self.ended = self.finished = True
                return _NOTHING
        elif kind == "execution_start":
            self.started = True
            self.times.note_message(kind, data)
        elif kind in {"execution_success", "execution_interrupted"}:
            self.ended = True
            self.times.note_message(kind, data)
        elif kind == "execution_error":
            self._error(data)
            self.times.note_message(kind, data)
        handler = _HANDLERS.get(kind) if self.reporting else None
        return handler(self, data) if handler is not None else _NOTHING

    def _error(self, data: Mapping[str, Any]) -> None:
        # ComfyUI announces a blocked output as an error, but the run continues, and the history does not mention it.
        if data.get("exception_type") != "ExecutionBlocked":
            self.ended = True
            return
        node_id = str(data.get("node_id"))
        if node_id not in self.blocked:
            self.blocked.append(node_id)
            title, class_type = title_and_class(self.prompt, self._shown(node_id))
            _log.warning("prompt %s: node %s %r (%s) was blocked", self.prompt_id, node_id, title, class_type)

    def _shown(self, node_id: str) -> str:
        """The id of a node in the user's prompt; nodes created by expansion have ids like ``id.…``."""
        shown = self._display.get(node_id, node_id)
        if shown in self.prompt:
            return shown
        root = shown.partition(".")[0]
        return root if root in self.prompt else shown

    def _name(self, node_id: str) -> str:
        return title_and_class(self.prompt, node_id)[0] or node_id

    def _on_start(self, _data: Mapping[str, Any]) -> Sequence[ProgressEvent]:
        return self.start()

    def _on_cached(self, data: Mapping[str, Any]) -> Sequence[ProgressEvent]:
        nodes = data.get("nodes")
        cached = tuple(str(node) for node in nodes if str(node) in self.prompt) if isinstance(nodes, list) else ()
        expected = self.executable if self.executable is not None else self.prompt
        self._total = len(set(expected) - set(cached))
        return (Cached(self.prompt_id, cached),) if cached else _NOTHING

    def _on_executing(self, data: Mapping[str, Any]) -> Sequence[ProgressEvent]:
        if (node := data.get("node")) is None:
            return _NOTHING
        self._remember(str(node), data.get("display_node"))
        shown = self._shown(str(node))
        self.node_id = shown
        if shown in self._seen:
            return _NOTHING
        index = self._seen[shown] = len(self._seen) + 1
        if self._total is None:
            self._total = len(self.executable if self.executable is not None else self.prompt)
        self._total = max(self._total, index)
        title, class_type = title_and_class(self.prompt, shown)
        return (NodeStarted(self.prompt_id, shown, title or shown, class_type or "", index, self._total),)

    def _on_executed(self, data: Mapping[str, Any]) -> Sequence[ProgressEvent]:
        if (node := data.get("node")) is None:
            return _NOTHING
        self._remember(str(node), data.get("display_node"))
        shown, output = self._shown(str(node)), data.get("output")
        published = output if isinstance(output, Mapping) else None
        return (NodeOutput(self.prompt_id, shown, self._name(shown), published),)

    def _on_progress(self, data: Mapping[str, Any]) -> Sequence[ProgressEvent]:
        return self._step(data.get("node"), data.get("value"), data.get("max"))

    def _on_progress_state(self, data: Mapping[str, Any]) -> Sequence[ProgressEvent]:
        nodes = data.get("nodes")
        events: list[ProgressEvent] = []
        for node_id, node in nodes.items() if isinstance(nodes, Mapping) else ():
            if not isinstance(node, Mapping):
                continue
            self._remember(node_id, node.get("display_node_id"))
            # A node without steps of its own is listed with 0 of 1; finished nodes are listed again each time.
            if node.get("state") == "running" and node.get("max") != 1:
                events.extend(self._step(node_id, node.get("value"), node.get("max")))
        return events

    def _class(self, node_id: str | None) -> str | None:
        return title_and_class(self.prompt, node_id)[1] if node_id is not None else None

    def _remember(self, node_id: str, display: object) -> None:
        if isinstance(display, str) and display != node_id:
            self._display[node_id] = display

    def _step(self, node: object, value: object, maximum: object) -> Sequence[ProgressEvent]:
        if node is None:
            node = self.node_id
        if not isinstance(value, int | float) or not isinstance(maximum, int | float) or node is None:
            return _NOTHING
        # ComfyUI reports each step twice, as ``progress_state`` and as ``progress``.
        if self._steps.get(str(node)) == (value, maximum):
            return _NOTHING
        self._steps[str(node)] = (value, maximum)
        shown = self._shown(str(node))
        return (Step(self.prompt_id, shown, self._name(shown), value, maximum),)


_HANDLERS: dict[str, Callable[[RunState, Mapping[str, Any]], Sequence[ProgressEvent]]] = {
    "execution_start": RunState._on_start,
    "execution_cached": RunState._on_cached,
    "executing": RunState._on_executing,
    "executed": RunState._on_executed,
    "progress": RunState._on_progress,
    "progress_state": RunState._on_progress_state,
}
