"""The files that runs bring, each once in the store of a cluster."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from discomfort._system.concurrency import in_own_thread
from discomfort.client.artifact import digest_of

_MOST_BYTES = 1 << 29
"""Bytes of files that are kept for later runs."""


class FileShelf:
    """Keeps references to the files that were used last, by their content."""

    def __init__(self, put: Callable[[bytes], Any], most: int = _MOST_BYTES) -> None:
        """``put`` stores bytes and gives a reference to them; they are gone when nobody has the reference."""
        self._put, self._most = put, most
        self._kept: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    async def reference(self, source: Path | bytes) -> Any:
        """The reference to a content, which is stored if it is not. Raises OSError."""
        return await in_own_thread(lambda: self._of(source if isinstance(source, bytes) else source.read_bytes()))

    def _of(self, content: bytes) -> Any:
        size, digest = digest_of(content)
        with self._lock:
            known = self._kept.get(digest)
            if known is not None:
                self._kept.move_to_end(digest)
                return known[0]
            made = self._put(content)
            self._kept[digest] = made, size
            self._bytes += size
            while self._bytes > self._most and self._kept:
                _, (_, freed) = self._kept.popitem(last=False)
                self._bytes -= freed
            return made
