"""Drive ComfyUI from Python: start it, convert workflows with the real frontend, run them, get every output."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from discomfort._version import __version__

if TYPE_CHECKING:
    from discomfort.client.outputs import Output
    from discomfort.connector import ComfyConnector
    from discomfort.discomfort import Discomfort
    from discomfort.exceptions import DiscomfortError
    from discomfort.sync import SyncConnector
    from discomfort.workflow.edit import Editor

# Resolved at first use: the emulator and the watchdog start from this package and must not wait for all of it.
_HOMES = {
    "ComfyConnector": "discomfort.connector",
    "Discomfort": "discomfort.discomfort",
    "DiscomfortError": "discomfort.exceptions",
    "Editor": "discomfort.workflow.edit",
    "Output": "discomfort.client.outputs",
    "SyncConnector": "discomfort.sync",
}

__all__ = [
    "ComfyConnector",
    "Discomfort",
    "DiscomfortError",
    "Editor",
    "Output",
    "SyncConnector",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
