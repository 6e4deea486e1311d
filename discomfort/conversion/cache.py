"""Converted prompts: in memory, and on disk for all processes of a user.

An entry begins with its checksum and is used only if that is right. Writing is atomic (a temporary file, renamed), so
if two processes write the same entry, one of the two remains, and a reader never sees half of one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
import platformdirs

from discomfort._system.atomic_files import write_atomically

if TYPE_CHECKING:
    from discomfort._json import JsonObject

logger: logging.Logger = logging.getLogger("discomfort.conversion")

FORMAT: Final = b"discomfort-prompt-2\n"
"""First line of an entry; entries of other formats are ignored.

Format 1 is not read any more: in its time, a caller that changed a prompt could change the stored entry with it."""

MAX_BYTES: Final = 256 << 20
"""Bytes on disk above which the least recently used entries are removed; an entry has 1 to 20 kB."""

MEMORY_ENTRIES: Final = 256
"""Prompts kept in memory as well."""

_PRUNE_EVERY = 64


@dataclass(frozen=True, slots=True)
class CachedPrompt:
    """A stored prompt, as JSON. ``lists`` is the digest of the lists of files if the prompt depends on them."""

    prompt: bytes
    lists: str | None = None

    def output(self) -> JsonObject:
        """The prompt, a new object for each caller."""
        # Not orjson: it reads integers beyond 64 bits as floats.
        found: JsonObject = json.loads(self.prompt)
        return found


def default_directory() -> Path:
    """The default folder of stored prompts: below the user's cache folder (XDG on Linux)."""
    return Path(platformdirs.user_cache_dir("discomfort")) / "prompts"


class PromptCache:
    """Stored prompts by key. Methods do file I/O and never raise: a cache that does not work behaves as if empty.

    ``directory`` is shared by any number of processes; ``None`` keeps prompts in memory only.
    """

    def __init__(self, directory: Path | None, *, max_bytes: int = MAX_BYTES) -> None:
        self._directory, self._max_bytes = directory, max_bytes
        self._memory: OrderedDict[str, CachedPrompt] = OrderedDict()
        self._puts = 0

    def __repr__(self) -> str:
        return f"<PromptCache {self._directory or 'memory'}, {len(self._memory)} in memory>"

    def recall(self, key: str) -> CachedPrompt | None:
        """The entry, if it is in memory. No I/O."""
        entry = self._memory.get(key)
        if entry is not None:
            self._memory.move_to_end(key)
        return entry

    def get(self, key: str, *, fresh: bool = False) -> CachedPrompt | None:
        """The entry of ``key`` from memory or disk. A damaged one is removed and not returned.

        With ``fresh`` the disk comes first, since another process may have stored a newer one.
        """
        entry = self.recall(key)
        if self._directory is None or (entry is not None and not fresh):
            return entry
        path = self._path(self._directory, key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        entry = _decode(data)
        if entry is None:
            logger.warning("the stored prompt %s is damaged and was removed", path)
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            # The time of last use, by which entries are removed. A read-only folder (in an image) keeps them all.
            os.utime(path)
        self._keep(key, entry)
        return entry

    def put(self, key: str, entry: CachedPrompt) -> None:
        """Store an entry."""
        self._keep(key, entry)
        if self._directory is None:
            return
        path = self._path(self._directory, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(path, _encode(entry), private=True)
        except OSError as error:
            logger.debug("a prompt could not be stored in %s: %s", self._directory, error)
            return
        self._puts += 1
        if self._puts % _PRUNE_EVERY == 1:
            self._prune(self._directory)

    def _keep(self, key: str, entry: CachedPrompt) -> None:
        self._memory[key] = entry
        self._memory.move_to_end(key)
        while len(self._memory) > MEMORY_ENTRIES:
            self._memory.popitem(last=False)

    @staticmethod
    def _path(directory: Path, key: str) -> Path:
        return directory / key[:2] / f"{key}.prompt"

    def _prune(self, directory: Path) -> None:
        """Remove the least recently used entries until the rest fits with a tenth to spare."""
        entries: list[tuple[float, int, Path]] = []
        for path in directory.glob("??/*"):
            with contextlib.suppress(OSError):
                stat = path.stat()
                entries.append((stat.st_mtime, stat.st_size, path))
        excess = sum(size for _, size, _ in entries) - self._max_bytes
        if excess <= 0:
            return
        excess += self._max_bytes // 10
        for _, size, path in sorted(entries):
            if excess <= 0:
                break
            # Another process may have removed it already.
            with contextlib.suppress(OSError):
                path.unlink()
            excess -= size


def _encode(entry: CachedPrompt) -> bytes:
    body = orjson.dumps({"lists": entry.lists}) + b"\n" + entry.prompt
    return FORMAT + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _decode(data: bytes) -> CachedPrompt | None:
    head, _, rest = data.removeprefix(FORMAT).partition(b"\n")
    if not data.startswith(FORMAT) or hashlib.sha256(rest).hexdigest().encode() != head:
        return None
    facts, _, prompt = rest.partition(b"\n")
    try:
        known: Any = orjson.loads(facts)
        return CachedPrompt(prompt, known["lists"]) if isinstance(orjson.loads(prompt), dict) else None
    except (ValueError, KeyError, TypeError):
        return None
