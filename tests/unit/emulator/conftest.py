"""An emulator in the test's event loop, and a client that runs prompts on it."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from comfyui_emulator import EmulatorConfig, create_app

Graph = dict[str, dict[str, Any]]


class EmulatorClient:
    """Talks to one emulator; the ``events`` of a run are (type, data) in order, without ``status``."""

    def __init__(self, http: TestClient[Any, Any], base: Path) -> None:
        self.http, self.base = http, base

    async def get(self, path: str, **kwargs: Any) -> Any:
        """The JSON of a GET."""
        async with self.http.get(path, **kwargs) as answer:
            return await answer.json()

    async def post(self, path: str, **kwargs: Any) -> tuple[int, bytes]:
        """Status and body of a POST."""
        async with self.http.post(path, **kwargs) as answer:
            return answer.status, await answer.read()

    async def submit(self, graph: Any, **fields: Any) -> tuple[int, Any]:
        """Queue a prompt; status and JSON of the answer."""
        async with self.http.post("/prompt", json={"prompt": graph, **fields}) as answer:
            return answer.status, await answer.json()

    async def socket(self, sid: str = "") -> aiohttp.ClientWebSocketResponse:
        """A socket, its greeting read."""
        socket = await self.http.ws_connect(f"/ws?clientId={sid or uuid.uuid4().hex}")
        greeting = await socket.receive_json(timeout=10)
        assert greeting["type"] == "status"
        return socket

    async def run(self, graph: Graph, **fields: Any) -> tuple[list[tuple[str, Any]], dict[str, Any]]:
        """Run a prompt to its end; its events and its record."""
        sid = uuid.uuid4().hex
        async with await self.socket(sid) as socket:
            status, answer = await self.submit(graph, client_id=sid, **fields)
            assert status == 200, answer
            events = await collect(socket, answer["prompt_id"])
        history = await self.get(f"/history/{answer['prompt_id']}")
        return events, history[answer["prompt_id"]]


async def collect(socket: aiohttp.ClientWebSocketResponse, prompt_id: str) -> list[tuple[str, Any]]:
    """Messages up to the end of a prompt; binary ones as ("binary", bytes)."""
    events: list[tuple[str, Any]] = []
    while True:
        message = await socket.receive(timeout=20)
        if message.type is aiohttp.WSMsgType.BINARY:
            events.append(("binary", message.data))
            continue
        assert message.type is aiohttp.WSMsgType.TEXT, message
        content = json.loads(message.data)
        if content["type"] == "status":
            continue
        events.append((content["type"], content["data"]))
        if content["type"] == "executing" and content["data"] == {"node": None, "prompt_id": prompt_id}:
            return events


Launch = Callable[..., Awaitable[EmulatorClient]]


@asynccontextmanager
async def launched(base: Path, **settings: Any) -> AsyncIterator[EmulatorClient]:
    """An emulator with these settings."""
    app = create_app(EmulatorConfig(base_directory=base, **settings))
    async with TestClient(TestServer(app)) as http:
        yield EmulatorClient(http, base)


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[EmulatorClient]:
    """An emulator with the built-in nodes and the nodes of :mod:`sample_nodes`."""
    async with launched(tmp_path, extra_nodes=SAMPLE_NODES) as client:
        yield client


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., Any]:
    """``async with launch(cache="none") as client``: an emulator with settings of the test's own."""

    def start(**settings: Any) -> Any:
        return launched(tmp_path, **({"extra_nodes": SAMPLE_NODES} | settings))

    return start


class _Node:
    RETURN_TYPES: tuple[str, ...] = ("INT",)
    FUNCTION = "go"
    CATEGORY = "test"
    inputs: dict[str, Any] = {}  # noqa: RUF012 - ComfyUI's style

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": cls.inputs}


_INT = ("INT", {"default": 0})


class _Count(_Node):
    """Passes a number on and counts its calls."""

    inputs = {"value": _INT}  # noqa: RUF012
    calls = 0

    def go(self, value: int) -> tuple[int]:
        type(self).calls += 1
        return (value,)


class _Fail(_Node):
    inputs = {"value": _INT, "kind": (["ValueError", "SystemExit"],)}  # noqa: RUF012

    def go(self, value: int, kind: str) -> None:
        raise {"ValueError": ValueError, "SystemExit": SystemExit}[kind]("boom")


class _Steps(_Node):
    inputs = {"value": _INT, "preview": ("BOOLEAN", {})}  # noqa: RUF012

    def go(self, value: int, preview: bool) -> tuple[int]:
        from PIL import Image

        from comfyui_emulator import runtime

        for step in (1, 2):
            runtime.progress(step, 2, Image.new("RGB", (8, 8)) if preview else None)
        return (value,)


class _Wait(_Node):
    """Runs until it is interrupted."""

    inputs = {"value": _INT}  # noqa: RUF012

    def go(self, value: int) -> tuple[int]:
        from comfyui_emulator import runtime

        while True:
            runtime.context().interrupt.wait(10)
            runtime.check_interrupted()


class _Gate(_Node):
    """Waits for the test, and ignores interrupts."""

    inputs = {"value": _INT}  # noqa: RUF012
    entered: Any = None
    leave: Any = None

    def go(self, value: int) -> tuple[int]:
        type(self).entered.set()
        assert type(self).leave.wait(20)
        return (value,)


class _Lazy(_Node):
    inputs = {"a": ("INT", {"lazy": True}), "b": ("INT", {"lazy": True}), "second": ("BOOLEAN", {})}  # noqa: RUF012

    def check_lazy_status(self, a: int | None, b: int | None, second: bool) -> list[str]:
        return ["b" if second else "a"]

    def go(self, a: int | None, b: int | None, second: bool) -> tuple[int | None]:
        return (b if second else a,)


class _Expand(_Node):
    inputs = {"value": _INT, "fail": ("BOOLEAN", {})}  # noqa: RUF012

    def go(self, value: int, fail: bool) -> dict[str, Any]:
        from comfyui_emulator import runtime

        graph = runtime.GraphBuilder()
        child = graph.node("Count", value=value + 1)
        if fail:
            child = graph.node("Fail", value=child.out(0), kind="ValueError")
        return {"result": (child.out(0),), "expand": graph.finalize()}


class _Block(_Node):
    inputs = {"value": _INT, "message": ("STRING", {})}  # noqa: RUF012

    def go(self, value: int, message: str) -> tuple[Any]:
        from comfyui_emulator import runtime

        return (runtime.ExecutionBlocker(message or None),)


class _Later(_Node):
    """An asynchronous node that ends when the test says so."""

    inputs = {"value": _INT}  # noqa: RUF012
    events: dict[int, Any] = {}  # noqa: RUF012
    entered: dict[int, Any] = {}  # noqa: RUF012

    async def go(self, value: int) -> tuple[int]:
        type(self).entered[value].set()
        await type(self).events[value].wait()
        return (value,)


class _Range(_Node):
    OUTPUT_IS_LIST = (True,)
    inputs = {"start": _INT, "count": _INT}  # noqa: RUF012

    def go(self, start: int, count: int) -> tuple[list[int]]:
        return (list(range(start, start + count)),)


class _Add(_Node):
    inputs = {"a": _INT, "b": _INT}  # noqa: RUF012

    def go(self, a: int, b: int) -> tuple[int]:
        return (a + b,)


class _Sum(_Node):
    INPUT_IS_LIST = True
    inputs = {"a": _INT, "b": _INT}  # noqa: RUF012

    def go(self, a: list[int], b: list[int]) -> tuple[int]:
        return (sum(a) * 100 + len(b),)


class _Restless(_Count):
    """Never cached."""

    @classmethod
    def IS_CHANGED(cls, value: int) -> float:  # noqa: N802 - ComfyUI's name
        return float("nan")


class _BadOutput(_Node):
    OUTPUT_NODE = True
    inputs = {"value": _INT}  # noqa: RUF012

    def go(self, value: int) -> dict[str, Any]:
        return {"ui": {"x": [object()]}, "result": (value,)}


class _Picky(_Node):
    inputs = {"value": _INT}  # noqa: RUF012

    @classmethod
    def VALIDATE_INPUTS(cls, value: int) -> bool | str:  # noqa: N802 - ComfyUI's name
        if value == 13:
            raise RuntimeError("unlucky")
        return {1: True, 2: False}.get(value, f"not {value}")

    def go(self, value: int) -> tuple[int]:
        return (value,)


SAMPLE_NODES: dict[str, type] = {
    name.lstrip("_"): cls for name, cls in list(globals().items()) if isinstance(cls, type) and issubclass(cls, _Node)
}


@pytest.fixture
def nodes() -> dict[str, Any]:
    """The sample node classes by name, counters reset."""
    for cls in (_Count, _Restless):
        cls.calls = 0
    return SAMPLE_NODES


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """A node of a prompt."""
    return {"class_type": class_type, "inputs": inputs}


def image(color: int = 0, width: int = 4, height: int = 3, batch: int = 1) -> dict[str, Any]:
    """An EmptyImage."""
    return node("EmptyImage", width=width, height=height, batch_size=batch, color=color)


@pytest.fixture(name="make")
def _make() -> Callable[..., dict[str, Any]]:
    """:func:`node`."""
    return node


@pytest.fixture(name="make_image")
def _make_image() -> Callable[..., dict[str, Any]]:
    """:func:`image`."""
    return image
