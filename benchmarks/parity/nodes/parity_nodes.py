"""Nodes with known behaviour; loads in ComfyUI (as a file in a custom node folder) and in the emulator.

They deal in numbers, so that messages which quote a node's inputs read the same on both. What waits, waits for a file.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

if "comfyui_emulator" in sys.modules:
    from comfyui_emulator import runtime
    from comfyui_emulator.runtime import ExecutionBlocker, GraphBuilder

    def check_interrupted() -> None:
        """Raise what ends a node whose run was interrupted."""
        runtime.check_interrupted()

    def report(step: int, steps: int, preview: tuple[str, Any, int] | None) -> None:
        """Report a step, with a preview image where there is one."""
        runtime.progress(step, steps, preview=None if preview is None else runtime.PreviewImage(*preview))

else:
    import comfy.model_management
    import comfy.utils
    from comfy_execution.graph_utils import ExecutionBlocker, GraphBuilder

    def check_interrupted() -> None:
        """Raise what ends a node whose run was interrupted."""
        comfy.model_management.throw_exception_if_processing_interrupted()

    def report(step: int, steps: int, preview: tuple[str, Any, int] | None) -> None:
        """Report a step, with a preview image where there is one."""
        comfy.utils.ProgressBar(steps).update_absolute(step, steps, preview)


class _Node:
    RETURN_TYPES: tuple[str, ...] = ("INT",)
    FUNCTION = "go"
    CATEGORY = "parity"
    REQUIRED: ClassVar[dict[str, Any]] = {}
    OPTIONAL: ClassVar[dict[str, Any]] = {}
    HIDDEN: ClassVar[dict[str, Any]] = {}

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": dict(cls.REQUIRED), "optional": dict(cls.OPTIONAL), "hidden": dict(cls.HIDDEN)}


_INT = ("INT", {"default": 0, "min": -1000, "max": 1000})


class ParityNumber(_Node):
    """Passes a number on."""

    REQUIRED: ClassVar = {"value": _INT}
    OPTIONAL: ClassVar = {"after": ("INT", {"default": 0})}

    def go(self, value: int, after: int = 0) -> tuple[int]:
        return (value,)


class ParityAdd(_Node):
    """The sum of two numbers."""

    REQUIRED: ClassVar = {"a": _INT, "b": _INT}

    def go(self, a: int, b: int) -> tuple[int]:
        return (a + b,)


class ParityShow(_Node):
    """Shows a number, and passes it on."""

    OUTPUT_NODE = True
    REQUIRED: ClassVar = {"value": _INT}

    def go(self, value: int) -> dict[str, Any]:
        return {"ui": {"text": [f"shown {value}"]}, "result": (value,)}


class ParityFail(_Node):
    """Raises."""

    KINDS: ClassVar = {"ValueError": ValueError, "KeyError": KeyError, "MemoryError": MemoryError, "Own": None}
    REQUIRED: ClassVar = {"value": _INT, "kind": (list(KINDS),), "message": ("STRING", {"default": "boom"})}

    def go(self, value: int, kind: str, message: str) -> tuple[int]:
        raise (self.KINDS[kind] or OwnError)(message)


class OwnError(Exception):
    """An exception with a module."""


class ParitySteps(_Node):
    """Reports progress, with or without previews."""

    REQUIRED: ClassVar = {
        "value": _INT,
        "steps": ("INT", {"default": 2, "min": 1, "max": 9}),
        "preview": (["none", "JPEG", "PNG"],),
        "size": ("INT", {"default": 16, "min": 1, "max": 4096}),
    }

    def go(self, value: int, steps: int, preview: str, size: int) -> tuple[int]:
        for step in range(1, steps + 1):
            check_interrupted()
            picture = Image.new("RGB", (size, size // 2 or 1), (step * 20, 40, 80))
            report(step, steps, None if preview == "none" else (preview, picture, 64))
        return (value,)


class ParityWait(_Node):
    """Waits until the file ``path`` exists, at most a minute; makes ``path.entered`` before.

    Where it is deaf, no interruption ends it.
    """

    REQUIRED: ClassVar = {"value": _INT, "path": ("STRING", {}), "deaf": ("BOOLEAN", {"default": False})}

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> float:  # noqa: N802 - ComfyUI's name
        return float("nan")

    def go(self, value: int, path: str, deaf: bool) -> tuple[int]:
        Path(f"{path}.entered").touch()
        deadline = time.monotonic() + 60
        while not Path(path).exists() and time.monotonic() < deadline:
            if not deaf:
                check_interrupted()
            time.sleep(0.005)
        return (value,)


class ParityWaitOut(ParityWait):
    """The same as an output."""

    OUTPUT_NODE = True


class ParityLater(_Node):
    """The same, asynchronously."""

    REQUIRED: ClassVar = {"value": _INT, "path": ("STRING", {}), "fail": ("BOOLEAN", {"default": False})}

    async def go(self, value: int, path: str, fail: bool) -> tuple[int]:
        deadline = time.monotonic() + 60
        while not os.path.exists(path) and time.monotonic() < deadline:  # noqa: ASYNC110, ASYNC240, PTH110 - a gate
            await asyncio.sleep(0.005)
        if fail:
            raise ValueError(f"later {value}")
        return (value,)


class ParityLazy(_Node):
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


class ParityExpand(_Node):
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


class ParityShowAndExpand(_Node):
    """Shows something and expands, well or badly."""

    OUTPUT_NODE = True
    REQUIRED: ClassVar = {"value": _INT, "well": ("BOOLEAN", {"default": True})}

    def go(self, value: int, well: bool) -> Any:
        graph = GraphBuilder()
        child = graph.node("ParityNumber" if well else "NoSuchNode", value=value)
        return {"ui": {"text": [f"both {value}"]}, "result": (child.out(0),), "expand": graph.finalize()}


class ParityBlock(_Node):
    """Lets a number pass, or blocks what hangs on it."""

    REQUIRED: ClassVar = {"value": _INT, "block": ("BOOLEAN", {"default": True}), "message": ("STRING", {})}

    def go(self, value: int, block: bool, message: str) -> tuple[Any]:
        return (ExecutionBlocker(message or None) if block else value,)


class ParityRange(_Node):
    """A list of numbers."""

    OUTPUT_IS_LIST = (True,)
    REQUIRED: ClassVar = {"start": _INT, "count": ("INT", {"default": 3, "min": 0, "max": 20})}

    def go(self, start: int, count: int) -> tuple[list[int]]:
        return (list(range(start, start + count)),)


class ParitySum(_Node):
    """Takes lists."""

    INPUT_IS_LIST = True
    REQUIRED: ClassVar = {"a": _INT, "b": _INT}

    def go(self, a: list[int], b: list[int]) -> tuple[int]:
        return (sum(value for value in a if isinstance(value, int)) * 10 + len(b),)


class ParityToken(_Node):
    """Its change token is ``token``; ``nan`` and ``raise`` are never equal."""

    REQUIRED: ClassVar = {"value": _INT, "token": ("STRING", {"default": ""})}

    @classmethod
    def IS_CHANGED(cls, value: int, token: str) -> Any:  # noqa: N802 - ComfyUI's name
        if token == "raise":
            raise ValueError("no token")
        return float("nan") if token == "nan" else 1

    def go(self, value: int, token: str) -> tuple[int]:
        return (value,)


class ParityPicky(_Node):
    """Has a validator of its own."""

    REQUIRED: ClassVar = {"value": _INT, "other": _INT}

    @classmethod
    def VALIDATE_INPUTS(cls, value: int) -> bool | str:  # noqa: N802 - ComfyUI's name
        if value == 13:
            raise RuntimeError("unlucky")
        return {2: False, 3: "not three"}.get(value, True)

    def go(self, value: int, other: int) -> tuple[int]:
        return (value + other,)


class ParityAsyncHooks1(_Node):
    """Validated and given its change token by coroutines."""

    REQUIRED: ClassVar = {"value": _INT}
    HIDDEN: ClassVar = {"me": "UNIQUE_ID", "prompt": "PROMPT", "extra": "EXTRA_PNGINFO"}

    @classmethod
    async def VALIDATE_INPUTS(cls, value: int, **hidden: Any) -> bool | str:  # noqa: N802 - ComfyUI's name
        await asyncio.sleep(0)
        return {2: False, 3: f"not three {hidden}"}.get(value, True)

    @classmethod
    async def IS_CHANGED(cls, value: int, **hidden: Any) -> Any:  # noqa: N802 - ComfyUI's name
        await asyncio.sleep(0)
        return float("nan") if value % 2 else f"{value} {hidden}"

    def go(self, value: int, me: Any, prompt: Any, extra: Any) -> tuple[int]:
        return (value + len(prompt),)


class ParityAnyway(_Node):
    """Has a validator that takes everything."""

    REQUIRED: ClassVar = {"value": _INT, "kind": (["x", "y"],)}

    @classmethod
    def VALIDATE_INPUTS(cls, **given: Any) -> bool | str:  # noqa: N802 - ComfyUI's name
        return True if given.get("kind") != "bad" else f"bad with {sorted(given)}"

    def go(self, value: int, kind: str) -> tuple[int]:
        return (value + len(kind),)


class ParityTyped(_Node):
    """One input of each simple type."""

    REQUIRED: ClassVar = {
        "number": ("INT", {"default": 1, "min": 0, "max": 10}),
        "fraction": ("FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.01}),
        "yes": ("BOOLEAN", {"default": True}),
        "text": ("STRING", {"default": "", "multiline": True}),
        "choice": (["one", "two", "three"], {"default": "one"}),
    }
    OPTIONAL: ClassVar = {"long": ([f"option {k}" for k in range(30)],), "any": ("*", {})}
    OUTPUT_NODE = True
    RETURN_TYPES = ("STRING", "FLOAT")

    def go(self, **given: Any) -> dict[str, Any]:
        shown = ", ".join(f"{name}={given[name]!r}" for name in sorted(given))
        return {"ui": {"text": [shown]}, "result": (shown, float(given["fraction"]))}


class ParityReturns(_Node):
    """Gives back what a node should and should not."""

    RETURN_TYPES = ("INT", "INT")
    REQUIRED: ClassVar = {
        "value": _INT,
        "form": (["pair", "short", "long", "none", "list", "dict", "text", "number", "ui only", "blocker", "empty"],),
    }
    OUTPUT_NODE = True

    def go(self, value: int, form: str) -> Any:
        return {
            "pair": (value, value + 1),
            "short": (value,),
            "long": (value, value, value),
            "none": None,
            "list": [value, value],
            "dict": {"result": (value, value)},
            "text": "ab",
            "number": value,
            "ui only": {"ui": {"text": ["only"]}},
            "blocker": ExecutionBlocker("all of it"),
            "empty": {},
        }[form]


class ParityHidden(_Node):
    """Shows the hidden inputs."""

    OUTPUT_NODE = True
    RETURN_TYPES = ()
    REQUIRED: ClassVar = {"value": _INT}
    HIDDEN: ClassVar = {"me": "UNIQUE_ID", "prompt": "PROMPT", "extra": "EXTRA_PNGINFO", "key": "API_KEY_COMFY_ORG"}

    def go(self, value: int, me: Any, prompt: Any, extra: Any, key: Any) -> dict[str, Any]:
        return {"ui": {"text": [str(me), sorted(prompt), extra, str(key), value]}}


class ParityAside(_Node):
    """Shows a number without being an output."""

    REQUIRED: ClassVar = {"value": _INT}

    def go(self, value: int) -> dict[str, Any]:
        return {"ui": {"text": [f"aside {value}"]}, "result": (value,)}


class ParityKept(ParityAside):
    """The same, and its class asks for it to be shown again."""

    HAS_INTERMEDIATE_OUTPUT = True


class ParityCombos(_Node):
    """Choices of the newer kind, in a class of the older one."""

    OUTPUT_NODE = True
    RETURN_TYPES = ("COMBO", "*")
    REQUIRED: ClassVar = {"one": ("COMBO", {"options": ["a", "b"]})}
    OPTIONAL: ClassVar = {
        "many": ("COMBO", {"options": [1, 2, 3], "multiselect": True}),
        "long": ("COMBO", {"options": [str(number) for number in range(21)]}),
        "far": ("COMBO", {"remote": {"route": "/x", "refresh_button": True}}),
        "older": (["x", "y"],),
        "union": ("INT,FLOAT", {"min": 0, "max": 9}),
    }

    def go(self, **given: Any) -> dict[str, Any]:
        return {"ui": {"text": [repr(dict(sorted(given.items())))]}, "result": (given["one"], 1)}


class ParityRaw(_Node):
    """Takes a link as it is."""

    OUTPUT_NODE = True
    REQUIRED: ClassVar = {"value": ("INT", {"rawLink": True})}

    def go(self, value: Any) -> dict[str, Any]:
        return {"ui": {"text": [repr(value)]}, "result": (1,)}


class ParityTakesOver(_Node):
    """Expands to nodes with ids of its own choice."""

    REQUIRED: ClassVar = {"value": _INT, "ids": ("STRING", {"default": "x"})}

    def go(self, value: int, ids: str) -> Any:
        names = ids.split(",")
        graph = {name: {"class_type": "ParityNumber", "inputs": {"value": value + 1}} for name in names}
        return {"result": ([names[-1], 0],), "expand": graph}


class ParityCircle(_Node):
    """Expands to nodes that wait for each other."""

    REQUIRED: ClassVar = {"value": _INT}

    def go(self, value: int) -> Any:
        graph = GraphBuilder()
        one = graph.node("ParityAdd", a=value)
        two = graph.node("ParityAdd", a=one.out(0), b=1)
        one.set_input("b", two.out(0))
        return {"result": (two.out(0),), "expand": graph.finalize()}


class ParityMemory(_Node):
    """Says that a device has no memory left, in the words of one library or another."""

    REQUIRED: ClassVar = {"value": _INT, "kind": (["device", "text"],)}

    def go(self, value: int, kind: str) -> Any:
        import comfy.model_management

        error = comfy.model_management.OOM_EXCEPTION if kind == "device" else RuntimeError
        raise error("CUDA out of memory")


class ParityUi(_Node):
    """Shows what it is told, whatever that is."""

    OUTPUT_NODE = True
    RETURN_TYPES = ()
    REQUIRED: ClassVar = {"ui": ("STRING", {"default": "{}"})}

    def go(self, ui: str) -> dict[str, Any]:
        return {"ui": json.loads(ui)}


NODE_CLASS_MAPPINGS: dict[str, type] = {
    name: cls for name, cls in list(globals().items()) if name.startswith("Parity") and isinstance(cls, type)
}
