"""Stand-in for ``comfy.comfy_types``: type names, and base classes that help editors."""

from __future__ import annotations

from abc import ABC
from typing import Any, TypedDict

from comfyui_emulator.compat.kinds import LINKED


class IO:
    """Names of the types of node values."""

    ANY, NUMBER, PRIMITIVE = "*", "FLOAT,INT", "STRING,FLOAT,INT,BOOLEAN"


for _name in ("STRING", "BOOLEAN", "INT", "FLOAT", "COMBO", "WEBCAM"):
    setattr(IO, _name, _name)
for _kind in LINKED.values():
    _name = str(_kind.io_type)  # type: ignore[attr-defined]
    if _name.isidentifier():
        setattr(IO, _name, _name)


InputTypeDict = dict[str, Any]


class ComfyNodeABC(ABC):  # noqa: B024 - for editors only, as in ComfyUI
    """Base class for nodes in the older schema."""


class CheckLazyMixin:
    """Mixin that requests every lazy input."""

    def check_lazy_status(self, **inputs: Any) -> list[str]:
        """The names of inputs that have no value yet."""
        return [name for name, value in inputs.items() if value is None]


class FileLocator(TypedDict):
    """A reference to a file."""

    filename: str
    subfolder: str
    type: str


__all__ = ["IO", "CheckLazyMixin", "ComfyNodeABC", "FileLocator", "InputTypeDict"]
