"""Functions and types for running nodes: progress, previews, interrupts, folders, special results.

A node class for the emulator has the shape of a ComfyUI node (``INPUT_TYPES``, ``RETURN_TYPES``, ``FUNCTION``,
``OUTPUT_NODE``, ``INPUT_IS_LIST``, ``OUTPUT_IS_LIST``, ``CATEGORY``, ``IS_CHANGED``, ``VALIDATE_INPUTS``,
``check_lazy_status``). IMAGE values are float32 arrays ``[batch, height, width, channel]``, MASK ``[batch, height,
width]``, both 0 to 1. Its function runs in a worker thread (or, if it is a coroutine function, in the server's event
loop) and may call::

    from comfyui_emulator import runtime

    runtime.progress(3, 10)                      # step 3 of 10, seen as ``progress`` and ``progress_state``
    runtime.progress(3, 10, preview=pil_image)   # with a preview image, JPEG
    runtime.check_interrupted()                  # raises Interrupted if an interrupt is requested
    runtime.wait(0.5)                            # half a second, or Interrupted; not in a coroutine
    runtime.send_text("16 x 8")                  # the text that the frontend shows on the node
    runtime.context().folders.output             # where files go
    graph = runtime.GraphBuilder()               # a sub-graph to run instead: {"expand": graph.finalize(), "result": …}

Outside a running node, ``context()`` and ``GraphBuilder()`` raise ``LookupError``; the others do nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Interrupted(Exception):
    """Raised in a node whose run is interrupted; ends the prompt."""


class DeviceMemoryError(RuntimeError):
    """Raised by a node whose device has no memory left; clients are told torch's name for it."""


DeviceMemoryError.__module__, DeviceMemoryError.__qualname__ = "torch", "OutOfMemoryError"


class ExecutionBlocker:
    """A result that blocks the nodes downstream.

    Nodes that receive one are not called, and pass it on. With a ``message``, an ``execution_error`` with
    ``exception_type`` ``ExecutionBlocked`` is sent for the first node that receives it; the run still ends as success.
    """

    def __init__(self, message: str | None = None) -> None:
        self.message = message


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one server, absolute."""

    input: Path
    output: Path
    temp: Path
    user: Path
    base: Path | None = None
    """The folder that contains the others, unless they are configured separately."""
    models: Path | None = None
    """The folder of models, if it is not that in ``base``."""

    def by_type(self, name: str) -> Path | None:
        """The folder that a file reference calls ``input``, ``output`` or ``temp``."""
        return {"input": self.input, "output": self.output, "temp": self.temp}.get(name)


@dataclass(frozen=True, slots=True)
class PreviewImage:
    """An image to show while a node runs: ``format`` is ``JPEG`` or ``PNG``, ``image`` a Pillow image.

    If ``max_size`` is given, it is scaled up or down to fit that many pixels in both directions.
    """

    format: str
    image: Any
    max_size: int | None = None


ProgressReport = Callable[[str, float, float, PreviewImage | None], None]
TextReport = Callable[[str, str], None]
Send = Callable[[str, Any, "str | None"], None]
"""Sends a message, given its type, its data, and the id of the receiving client (``None``: all)."""


@dataclass(slots=True)
class NodeContext:
    """The context of a running node; also that of hooks that run outside a node (``node_id`` is then empty).

    ``report``, ``text`` and ``send`` may be called from any thread. ``call`` counts the calls of the node in this run,
    ``graphs`` the sub-graphs that this call began. ``routes`` and ``replacements`` are the tables to which packs add
    theirs while they are loaded. ``comfyui`` is the folder of an installed ComfyUI, if one is configured. ``classes``
    are the node classes by name, those of packs included, once they are loaded. ``address`` is where the server
    listens: host and port. ``unload`` empties the simulated device. ``pace`` slows the running node down: it is called
    with each share of the work that :func:`progress` reports.
    """

    folders: Folders
    node_id: str = ""
    metadata: bool = True
    interrupt: threading.Event = field(default_factory=threading.Event)
    report: ProgressReport | None = None
    text: TextReport | None = None
    call: int = 0
    graphs: int = 0
    send: Send | None = None
    routes: Any = None
    replacements: Any = None
    comfyui: Path | None = None
    classes: Mapping[str, type] = field(default_factory=dict)
    address: tuple[str, int] | None = None
    unload: Callable[[], None] | None = None
    pace: Callable[[float], None] | None = None


_CONTEXT: ContextVar[NodeContext] = ContextVar("discomfort_emulator_node")


class using:  # noqa: N801 - reads as a statement
    """``with using(context):`` makes :func:`context` return it."""

    def __init__(self, value: NodeContext) -> None:
        self._value = value

    def __enter__(self) -> NodeContext:
        """Set the context."""
        self._token = _CONTEXT.set(self._value)
        return self._value

    def __exit__(self, *_: object) -> None:
        """Restore the previous context."""
        _CONTEXT.reset(self._token)


def context() -> NodeContext:
    """The running node's context. Raises ``LookupError`` outside a node."""
    return _CONTEXT.get()


def progress(
    value: float, maximum: float, preview: PreviewImage | Any | None = None, node_id: str | None = None
) -> None:
    """Report step ``value`` of ``maximum``; ``preview`` is a Pillow image (sent as JPEG) or a :class:`PreviewImage`.

    Raises :class:`Interrupted` if an interrupt is requested, as ComfyUI's progress bar does.
    """
    here = _CONTEXT.get(None)
    if here is None:
        return
    if here.pace is not None:
        here.pace(value / maximum if maximum else 1.0)
    check_interrupted()
    if preview is not None and not isinstance(preview, PreviewImage):
        preview = PreviewImage(*preview) if isinstance(preview, tuple) else PreviewImage("JPEG", preview)
    if here.report is not None:
        here.report(node_id or here.node_id, value, maximum, preview)


def check_interrupted() -> None:
    """Raise :class:`Interrupted` if an interrupt is requested. That consumes the request, so it ends only one node."""
    here = _CONTEXT.get(None)
    if here is not None and here.interrupt.is_set():
        here.interrupt.clear()
        raise Interrupted


def wait(seconds: float) -> None:
    """Wait in a node's thread. Raises :class:`Interrupted` as soon as an interrupt is requested."""
    here = _CONTEXT.get(None)
    if here is None:
        return
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if here.interrupt.wait(min(left, threading.TIMEOUT_MAX)):
            check_interrupted()


def send_text(text: str, node_id: str | None = None) -> None:
    """Show ``text`` on the node in every connected frontend."""
    here = _CONTEXT.get(None)
    if here is not None and here.text is not None:
        here.text(node_id or here.node_id, text)


class GraphNode:
    """A node of the sub-graph. ``class_type`` and ``inputs`` may be changed until :meth:`GraphBuilder.finalize`."""

    def __init__(self, node_id: str, class_type: str, inputs: dict[str, Any]) -> None:
        self.id, self.class_type, self.inputs = node_id, class_type, inputs
        self.override_display_id: str | None = None

    def out(self, index: int) -> list[Any]:
        """A link to one of the node's outputs."""
        return [self.id, index]

    def set_input(self, key: str, value: Any) -> None:
        """Set an input; ``None`` removes it."""
        if value is None:
            self.inputs.pop(key, None)
        else:
            self.inputs[key] = value

    def get_input(self, key: str) -> Any:
        """An input's value, or ``None``."""
        return self.inputs.get(key)

    def set_override_display_id(self, node_id: str) -> None:
        """Show this node's progress on another node."""
        self.override_display_id = node_id

    def serialize(self) -> dict[str, Any]:
        """The node as it appears in a prompt."""
        result: dict[str, Any] = {"class_type": self.class_type, "inputs": self.inputs}
        if self.override_display_id is not None:
            result["override_display_id"] = self.override_display_id
        return result


class GraphBuilder:
    """Collects nodes under unique ids, made of the expanding node's id, its call, a count of graphs, and a number."""

    def __init__(self, prefix: str | None = None) -> None:
        if prefix is None:
            here = context()
            prefix = f"{here.node_id}.{here.call}.{here.graphs}."
            here.graphs += 1
        self.prefix = prefix
        self.nodes: dict[str, GraphNode] = {}
        self._count = 1

    def node(self, class_type: str, id: str | None = None, **inputs: Any) -> GraphNode:  # noqa: A002 - ComfyUI's name
        """Add a node, or return the one already added under ``id``."""
        if id is None:
            id = str(self._count)  # noqa: A001 - ComfyUI's name
            self._count += 1
        node_id = self.prefix + id
        if node_id not in self.nodes:
            self.nodes[node_id] = GraphNode(node_id, class_type, inputs)
        return self.nodes[node_id]

    def lookup_node(self, id: str) -> GraphNode | None:  # noqa: A002 - ComfyUI's name
        """The node added under ``id``, or ``None``."""
        return self.nodes.get(self.prefix + id)

    def finalize(self) -> dict[str, Any]:
        """The sub-graph, for the ``expand`` of a result."""
        return {node_id: node.serialize() for node_id, node in self.nodes.items()}

    def replace_node_output(self, node_id: str, index: int, new_value: Any) -> None:
        """Replace the value of every input that is linked to that output; ``None`` removes the input."""
        for node in self.nodes.values():
            for key, value in list(node.inputs.items()):
                if isinstance(value, list) and value[:2] == [node_id, index] and len(value) == 2:
                    node.set_input(key, new_value)

    def remove_node(self, id: str) -> None:  # noqa: A002 - ComfyUI's name
        """Remove the node added under ``id``."""
        self.nodes.pop(self.prefix + id, None)
