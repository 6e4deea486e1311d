"""The server's latest log lines in the form of the console, colours included: for the frontend and its sockets."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import deque
from datetime import datetime

from comfyui_emulator.console import ConsoleFormatter
from comfyui_emulator.http.hub import Hub
from comfyui_emulator.registry import JsonObject

CAPACITY = 300
"""Number of lines kept (ComfyUI 0.3.64 to 0.33.0)."""

_LOGGER = logging.getLogger("comfyui_emulator")


class LogBook(logging.Handler):
    """Keeps the emulator's log lines between :meth:`open` and :meth:`close`; servers in one process share them."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self.setFormatter(ConsoleFormatter("%(message)s"))
        self._hub = hub
        self._entries: deque[JsonObject] = deque(maxlen=CAPACITY)
        self._subscribers: set[str] = set()
        self._size: JsonObject | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Start listening. Must be called in the event loop."""
        self._loop = asyncio.get_running_loop()
        _LOGGER.addHandler(self)

    def close(self) -> None:
        """Stop listening. Idempotent."""
        _LOGGER.removeHandler(self)
        self._loop = None
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line and send it to the subscribers; callable from any thread."""
        # Local time without a zone, as ComfyUI writes it.
        entry = {"t": datetime.fromtimestamp(record.created).isoformat(), "m": self.format(record) + "\n"}  # noqa: DTZ006
        self._entries.append(entry)
        if self._subscribers and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._send, entry)

    def _send(self, entry: JsonObject) -> None:
        size = self.size()
        changed, self._size = size != self._size, size
        for sid in sorted(self._subscribers):
            if self._hub.newest(sid) is None:
                self._subscribers.discard(sid)
            else:
                self._hub.send("logs", {"entries": [entry], "size": size if changed else None}, sid)

    def size(self) -> JsonObject:
        """The terminal's size, which the frontend's log view uses."""
        columns, rows = shutil.get_terminal_size()
        return {"cols": columns, "rows": rows}

    def entries(self) -> list[JsonObject]:
        """The lines, oldest first: ``t`` is the time, ``m`` the message."""
        return list(self._entries)

    def subscribe(self, sid: str, *, enabled: bool) -> None:
        """Start or stop sending new lines to the socket with that id."""
        if enabled:
            self._subscribers.add(sid)
        else:
            self._subscribers.discard(sid)
