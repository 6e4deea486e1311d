"""Stand-in for ``nodes``: the classes by name, the built-in ones and, once they are loaded, those of packs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from comfyui_emulator import runtime
from comfyui_emulator.nodes.base import BUILT_IN
from comfyui_emulator.nodes.base import MAX_SIDE as MAX_RESOLUTION

MAX_RESOLUTION = MAX_RESOLUTION  # noqa: PLW0127 - packs import the name from here


class _Classes(Mapping[str, type]):
    def __getitem__(self, name: str) -> type:
        return BUILT_IN[name][0] if name in BUILT_IN else _of_packs()[name]

    def __iter__(self) -> Iterator[str]:
        yield from BUILT_IN
        yield from (name for name in _of_packs() if name not in BUILT_IN)

    def __len__(self) -> int:
        return len(BUILT_IN.keys() | _of_packs().keys())


def _of_packs() -> Mapping[str, type]:
    try:
        return runtime.context().classes
    except LookupError:  # outside of a server
        return {}


class _Titles(Mapping[str, Any]):
    def __getitem__(self, name: str) -> Any:
        return BUILT_IN[name][1]

    def __iter__(self) -> Iterator[str]:
        return iter(BUILT_IN)

    def __len__(self) -> int:
        return len(BUILT_IN)


NODE_CLASS_MAPPINGS = _Classes()
NODE_DISPLAY_NAME_MAPPINGS = _Titles()


def __getattr__(name: str) -> type:
    if name in BUILT_IN:
        return BUILT_IN[name][0]
    raise AttributeError(f"nodes.{name} is not in the discomfort emulator: run this pack on a real ComfyUI")
