"""Nodes that decide what else runs, and how often: lazy inputs, sub-graphs, blocked outputs, lists."""

from __future__ import annotations

from typing import Any, ClassVar

from .base import INT, ExecutionBlocker, GraphBuilder, Node


class ParityLazy(Node):
    """One of two numbers; the other is not asked for."""

    REQUIRED: ClassVar = {
        "a": ("INT", {"default": 0, "lazy": True}),
        "b": ("INT", {"default": 0, "lazy": True}),
        "which": (["a", "b", "both", "none", "raise"],),
    }

    def check_lazy_status(self, which: str, a: int | None = None, b: int | None = None) -> list[str]:
        if which == "raise":
            raise RuntimeError("no status")
        return {"both": ["a", "b"], "none": []}.get(which, [which])

    def go(self, which: str, a: int | None = None, b: int | None = None) -> tuple[int]:
        return ((a or 0) + (b or 0),)


class ParityExpand(Node):
    """A sub-graph that adds one, ``depth`` times inside of each other; or fails, or shows inside."""

    REQUIRED: ClassVar = {
        "value": ("INT", {"default": 0}),
        "depth": ("INT", {"default": 1, "min": 0, "max": 4}),
        "inside": (["add", "fail", "show", "missing", "constant", "none"],),
    }

    def go(self, value: int, depth: int, inside: str) -> Any:
        graph = GraphBuilder()
        if depth > 1:
            child = graph.node("ParityExpand", value=value, depth=depth - 1, inside=inside)
        elif inside == "constant":
            return {"result": (value + 1,), "expand": graph.finalize()}
        elif inside == "none":
            return {"result": (value + 1,)}
        else:
            child = graph.node("ParityAdd", a=value, b=1)
        if depth <= 1 and inside == "fail":
            child = graph.node("ParityFail", value=child.out(0), kind="ValueError", message="inside")
        if depth <= 1 and inside == "missing":
            child = graph.node("NoSuchNode", value=child.out(0))
        if depth <= 1 and inside == "show":
            graph.node("ParityShow", value=child.out(0))
        return {"result": (child.out(0),), "expand": graph.finalize()}


class ParityShowAndExpand(Node):
    """Shows something and expands, well or badly."""

    OUTPUT_NODE = True
    REQUIRED: ClassVar = {"value": INT, "well": ("BOOLEAN", {"default": True})}

    def go(self, value: int, well: bool) -> Any:
        graph = GraphBuilder()
        child = graph.node("ParityNumber" if well else "NoSuchNode", value=value)
        return {"ui": {"text": [f"both {value}"]}, "result": (child.out(0),), "expand": graph.finalize()}


class ParityTakesOver(Node):
    """Expands to nodes with ids of its own choice."""

    REQUIRED: ClassVar = {"value": INT, "ids": ("STRING", {"default": "x"})}

    def go(self, value: int, ids: str) -> Any:
        names = ids.split(",")
        graph = {name: {"class_type": "ParityNumber", "inputs": {"value": value + 1}} for name in names}
        return {"result": ([names[-1], 0],), "expand": graph}


class ParityCircle(Node):
    """Expands to nodes that wait for each other."""

    REQUIRED: ClassVar = {"value": INT}

    def go(self, value: int) -> Any:
        graph = GraphBuilder()
        one = graph.node("ParityAdd", a=value)
        two = graph.node("ParityAdd", a=one.out(0), b=1)
        one.set_input("b", two.out(0))
        return {"result": (two.out(0),), "expand": graph.finalize()}


class ParityBlock(Node):
    """Lets a number pass, or blocks what hangs on it."""

    REQUIRED: ClassVar = {"value": INT, "block": ("BOOLEAN", {"default": True}), "message": ("STRING", {})}

    def go(self, value: int, block: bool, message: str) -> tuple[Any]:
        return (ExecutionBlocker(message or None) if block else value,)


class ParityRange(Node):
    """A list of numbers."""

    OUTPUT_IS_LIST = (True,)
    REQUIRED: ClassVar = {"start": INT, "count": ("INT", {"default": 3, "min": 0, "max": 20})}

    def go(self, start: int, count: int) -> tuple[list[int]]:
        return (list(range(start, start + count)),)


class ParitySum(Node):
    """Takes lists."""

    INPUT_IS_LIST = True
    REQUIRED: ClassVar = {"a": INT, "b": INT}

    def go(self, a: list[int], b: list[int]) -> tuple[int]:
        return (sum(value for value in a if isinstance(value, int)) * 10 + len(b),)
