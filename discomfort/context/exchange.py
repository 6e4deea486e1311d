"""The exchange between a client and our nodes in ComfyUI's process: where values are, and what the nodes can do.

Standard library only, as ComfyUI's process needs it too.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

VERSION = 1
"""Of the inputs and records of the nodes. Another version cannot be used."""

VARIABLE = "DISCOMFORT_CONTEXTS"
"""Environment variable of a server: the JSON text of :class:`ServerPlaces`."""

PYTHON = "DISCOMFORT_PYTHON"
"""Environment variable of a server: the interpreter that has the library, by which our nodes convert workflows."""

HANDSHAKE = "discomfort"
"""Hidden input of the loader, whose default says in ``/object_info`` what :class:`Handshake` has; key in ``_meta``."""

LOADER, SAVER, PORT = "DiscomfortContextLoader", "DiscomfortContextSaver", "DiscomfortPort"
"""The classes of the nodes."""

PREFIX = 16
"""Hex digits of a run's nonce with which the names of its files begin, so that the client finds all of them."""

UI = "discomfort"
"""Key of a saver's record among its outputs in the history."""

PROBES = "probes"
"""Folder on disk, beside those of contexts, of the client's probe."""

Storage = Literal["ram", "disk"]

_FOLDER = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,80}")
_TOKEN = re.compile(r"[0-9a-f]{32}")


def is_folder_name(text: object) -> bool:
    """Whether a text names a single folder of contexts: no separator, no dot first."""
    return isinstance(text, str) and _FOLDER.fullmatch(text) is not None


def probe_name(token: str) -> str:
    """The folder that the client made, in memory and on disk, so that the server can show that it sees them."""
    return f"probe-{token}"


def end_mark(prefix: str) -> str:
    """The file on disk, in the folder of a context, by which the client says that a run has ended without its values.

    A saver that is late finds it after it has written its file, and removes that.
    """
    return f"ended-{prefix}"


@dataclass(frozen=True)
class ServerPlaces:
    """The folders of all contexts of a user, in memory (``None``: there is none) and on disk; and the probe's token."""

    memory: str | None
    disk: str
    token: str

    def as_text(self) -> str:
        """The value of :data:`VARIABLE`."""
        return json.dumps({"memory": self.memory, "disk": self.disk, "token": self.token})

    @classmethod
    def of_text(cls, text: str) -> ServerPlaces:
        """The places of :meth:`as_text`. Raises ValueError for anything else."""
        try:
            facts = json.loads(text)
            memory, disk, token = facts["memory"], facts["disk"], facts["token"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"is not what a client writes: {error!r}") from error
        paths = [disk] if memory is None else [memory, disk]
        if not all(isinstance(path, str) and path.startswith("/") and "\0" not in path for path in paths):
            raise ValueError("does not name folders")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise ValueError("has no token")
        return cls(memory, disk, token)


@dataclass(frozen=True)
class Handshake:
    """What the nodes of a server say: their version, and which of the client's folders they see (``ram``, ``disk``)."""

    version: int
    sees: tuple[Storage, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The default of the hidden input."""
        return {"version": self.version, "sees": list(self.sees)}
