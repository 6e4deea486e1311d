"""The documented import path of the emulator, which is the package ``comfyui_emulator``."""

from __future__ import annotations

import sys
from importlib import import_module

from comfyui_emulator import EmulatorConfig, Faults, create_app, faults_of, main, serve

for _name in ("runtime", "settings", "faults", "http", "http.app", "command"):
    # The very modules, not copies of them: a node's ``runtime`` is the one that the server sets.
    sys.modules[f"{__name__}.{_name}"] = import_module(f"comfyui_emulator.{_name}")

from comfyui_emulator import runtime  # noqa: E402 - loaded with the others above

__all__ = ["EmulatorConfig", "Faults", "create_app", "faults_of", "main", "runtime", "serve"]
