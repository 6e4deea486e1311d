"""The nodes of ComfyUI: ports, and the two nodes that take their place in a run.

They live in ComfyUI's process, under any module name and on Python 3.10 or newer. So they import the standard library,
numpy and, relative to themselves, what ``context`` has for that process; torch and aiohttp where ComfyUI has them.
"""

from __future__ import annotations

from ..context.exchange import LOADER, PORT, SAVER
from .context_loader import DiscomfortContextLoader
from .context_saver import DiscomfortContextSaver
from .port_node import DiscomfortPort
from .value_routes import offer_routes

NODE_CLASS_MAPPINGS: dict[str, type] = {
    PORT: DiscomfortPort,
    LOADER: DiscomfortContextLoader,
    SAVER: DiscomfortContextSaver,
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    PORT: "Discomfort Port (Input/Output)",
    LOADER: "Discomfort Context Loader (Internal)",
    SAVER: "Discomfort Context Saver (Internal)",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "offer_routes"]
