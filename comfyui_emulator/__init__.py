"""A light server that speaks ComfyUI's HTTP and WebSocket protocol, without torch.

It serves the real frontend, validates prompts with ComfyUI's error objects and executes the core nodes that need no
model weights, on numpy and Pillow. It never pretends to be ComfyUI: ``/system_stats`` has a ``discomfort`` entry, the
log opens with a banner, and a node known only by its definition fails with an error that recommends a real ComfyUI.

The names below are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comfyui_emulator.command import main, serve
    from comfyui_emulator.faults import Faults
    from comfyui_emulator.http.app import create_app, faults_of
    from comfyui_emulator.settings import EmulatorConfig

_HOMES = {
    "EmulatorConfig": "settings",
    "Faults": "faults",
    "create_app": "http.app",
    "faults_of": "http.app",
    "main": "command",
    "serve": "command",
}


def __getattr__(name: str) -> Any:
    """Import the module that defines ``name`` (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


__all__ = ["EmulatorConfig", "Faults", "create_app", "faults_of", "main", "serve"]
