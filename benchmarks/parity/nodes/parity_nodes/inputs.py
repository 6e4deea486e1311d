"""Nodes whose inputs are checked in other ways, or of other types; hidden inputs and change tokens."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from .base import INT, Node


class ParityToken(Node):
    """Its change token is ``token``; ``nan`` and ``raise`` are never equal."""

    REQUIRED: ClassVar = {"value": INT, "token": ("STRING", {"default": ""})}

    @classmethod
    def IS_CHANGED(cls, value: int, token: str) -> Any:  # noqa: N802 - ComfyUI's name
        if token == "raise":
            raise ValueError("no token")
        return float("nan") if token == "nan" else 1

    def go(self, value: int, token: str) -> tuple[int]:
        return (value,)


class ParityPicky(Node):
    """Has a validator of its own."""

    REQUIRED: ClassVar = {"value": INT, "other": INT}

    @classmethod
    def VALIDATE_INPUTS(cls, value: int) -> bool | str:  # noqa: N802 - ComfyUI's name
        if value == 13:
            raise RuntimeError("unlucky")
        return {2: False, 3: "not three"}.get(value, True)

    def go(self, value: int, other: int) -> tuple[int]:
        return (value + other,)


class ParityAsyncHooks1(Node):
    """Validated and given its change token by coroutines."""

    REQUIRED: ClassVar = {"value": INT}
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


class ParityAnyway(Node):
    """Has a validator that takes everything."""

    REQUIRED: ClassVar = {"value": INT, "kind": (["x", "y"],)}

    @classmethod
    def VALIDATE_INPUTS(cls, **given: Any) -> bool | str:  # noqa: N802 - ComfyUI's name
        return True if given.get("kind") != "bad" else f"bad with {sorted(given)}"

    def go(self, value: int, kind: str) -> tuple[int]:
        return (value + len(kind),)


class ParityTyped(Node):
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


class ParityCombos(Node):
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


class ParityRaw(Node):
    """Takes a link as it is."""

    OUTPUT_NODE = True
    REQUIRED: ClassVar = {"value": ("INT", {"rawLink": True})}

    def go(self, value: Any) -> dict[str, Any]:
        return {"ui": {"text": [repr(value)]}, "result": (1,)}


class ParityHidden(Node):
    """Shows the hidden inputs."""

    OUTPUT_NODE = True
    RETURN_TYPES = ()
    REQUIRED: ClassVar = {"value": INT}
    HIDDEN: ClassVar = {"me": "UNIQUE_ID", "prompt": "PROMPT", "extra": "EXTRA_PNGINFO", "key": "API_KEY_COMFY_ORG"}

    def go(self, value: int, me: Any, prompt: Any, extra: Any, key: Any) -> dict[str, Any]:
        return {"ui": {"text": [str(me), sorted(prompt), extra, str(key), value]}}
