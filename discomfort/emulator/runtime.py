"""What a node may use while it runs: progress, previews, interruption, folders, and special results.

A node class for the emulator has the shape of a ComfyUI node (``INPUT_TYPES``, ``RETURN_TYPES``, ``FUNCTION``,
``OUTPUT_NODE``, ``INPUT_IS_LIST``, ``OUTPUT_IS_LIST``, ``CATEGORY``, ``IS_CHANGED``, ``VALIDATE_INPUTS``,
``check_lazy_status``). IMAGE values are float32 arrays ``[batch, height, width, channel]``, MASK ``[batch, height,
width]``, both 0 to 1. Its function runs in a worker thread (or, if it is a coroutine function, in the server's event
loop) and may call::

    from discomfort.emulator import runtime

    runtime.progress(3, 10)                      # step 3 of 10, seen as ``progress`` and ``progress_state``
    runtime.progress(3, 10, preview=pil_image)   # with a preview image, JPEG
    runtime.check_interrupted()                  # raises Interrupted once somebody asked for it
    runtime.send_text("16 x 8")                  # the text that the frontend shows on the node
    runtime.context().folders.output             # where files go
    graph = runtime.GraphBuilder()               # a sub-graph to run instead: {"expand": graph.finalize(), "result": …}

All of them do nothing, or raise ``LookupError``, outside of a running node, as their own text says.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Interrupted(Exception):
    """The run was interrupted; ends the node and the prompt."""


class ExecutionBlocker:
    """A result that stops what hangs on it.

    Nodes that receive one are not called and pass it on. With a ``message``, an ``execution_error`` with
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
    """The folder that the others are in unless they were set apart."""

    def by_type(self, name: str) -> Path | None:
        """The folder that a file reference calls ``input``, ``output`` or ``temp``."""
        return {"input": self.input, "output": self.output, "temp": self.temp}.get(name)


@dataclass(frozen=True, slots=True)
class PreviewImage:
    """An image to show while a node runs: ``format`` is ``JPEG`` or ``PNG``, ``image`` a Pillow image.

    It is scaled to fit ``max_size`` by ``max_size`` pixels, up or down, where given.
    """

    format: str
    image: Any
    max_size: int | None = None


ProgressReport = Callable[[str, float, float, PreviewImage | None], None]
TextReport = Callable[[str, str], None]
Send = Callable[[str, Any, "str | None"], None]
"""Sends a message: its kind, its data, and the id of the client that it is for (``None``: all)."""


@dataclass(slots=True)
class NodeContext:
    """The surroundings of a running node; the same for hooks that run without a node (``node_id`` is then empty).

    ``report``, ``text`` and ``send`` may be called from any thread. ``call`` counts the calls of the node in this run,
    ``graphs`` the sub-graphs that this call began. ``routes`` is the table to which packs add routes while they are
    loaded. ``comfyui`` is the folder of an installed ComfyUI, where the server was told of one.
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
    comfyui: Path | None = None


_CONTEXT: ContextVar[NodeContext] = ContextVar("discomfort_emulator_node")


class using:  # noqa: N801 - reads as a statement
    """``with using(context):`` makes it what :func:`context` gives."""

    def __init__(self, value: NodeContext) -> None:
        self._value = value

    def __enter__(self) -> NodeContext:
        """Set the context."""
        self._token = _CONTEXT.set(self._value)
        return self._value

    def __exit__(self, *_: object) -> None:
        """Restore the former one."""
        _CONTEXT.reset(self._token)


def context() -> NodeContext:
    """The running node's context. Raises ``LookupError`` outside of a node."""
    return _CONTEXT.get()


def progress(
    value: float, maximum: float, preview: PreviewImage | Any | None = None, node_id: str | None = None
) -> None:
    """Report step ``value`` of ``maximum``; ``preview`` is a Pillow image (sent as JPEG) or a :class:`PreviewImage`.

    Raises :class:`Interrupted` when the run is to end, as ComfyUI's progress bar does.
    """
    here = _CONTEXT.get(None)
    if here is None:
        return
    check_interrupted()
    if preview is not None and not isinstance(preview, PreviewImage):
        preview = PreviewImage(*preview) if isinstance(preview, tuple) else PreviewImage("JPEG", preview)
    if here.report is not None:
        here.report(node_id or here.node_id, value, maximum, preview)


def check_interrupted() -> None:
    """Raise :class:`Interrupted` if the run is to end. The request is consumed: it ends one node."""
    here = _CONTEXT.get(None)
    if here is not None and here.interrupt.is_set():
        here.interrupt.clear()
        raise Interrupted


def send_text(text: str, node_id: str | None = None) -> None:
    """Show ``text`` on the node in every connected frontend."""
    here = _CONTEXT.get(None)
    if here is not None and here.text is not None:
        here.text(node_id or here.node_id, text)


def __getattr__(name: str) -> Any:
    """:class:`~discomfort.emulator.execution.builder.GraphBuilder`, which needs this module itself."""
    if name != "GraphBuilder":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from discomfort.emulator.execution.builder import GraphBuilder

    return GraphBuilder
