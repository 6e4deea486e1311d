"""The handshake with a server: whether it has our nodes, of which version, and which files of ours it sees.

All of it is in the definition of the loader, so it costs no request of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from discomfort.context.exchange import HANDSHAKE, LOADER, REMOTE, VERSION, Handshake, RemoteLimits, Storage
from discomfort.exceptions import ServerError

_STORAGES: tuple[Storage, ...] = ("ram", "disk")


def read_handshake(definitions: Mapping[str, Any], *, is_ours: bool) -> Handshake | None:
    """What the node definitions of a server (``/object_info``) say; ``None`` if it does not have our nodes.

    ``is_ours`` says whether our connector started the server with the nodes: only then does ``sees`` mean our files.
    Raises ServerError, which names the remedy, if its nodes are of another version, or not ours.
    """
    loader = definitions.get(LOADER)
    if loader is None:
        return None
    told = _told(loader)
    where = loader.get("python_module") if isinstance(loader, dict) else None
    if told is None:
        raise ServerError(
            f"the server has another {LOADER}, from {where}: an original Discomfort, which this library cannot use. "
            "Replace that folder by a clone of this one, or remove it, and restart the server"
        )
    if told.get("version") != VERSION:
        raise ServerError(
            f"the server has nodes of version {told.get('version')!r}, from {where}, and this library needs {VERSION}. "
            "Update that folder to the version of this library, and restart the server"
        )
    sees = told.get("sees")
    seen = tuple(each for each in _STORAGES if each in sees) if is_ours and isinstance(sees, list) else ()
    return Handshake(VERSION, seen, RemoteLimits.of_json(told.get(REMOTE)))


def _told(loader: object) -> Mapping[str, Any] | None:
    """The default of the hidden input; ``None`` if the definition has no such thing."""
    try:
        told = loader["input"]["hidden"][HANDSHAKE][1]["default"]  # type: ignore[index]
    except (KeyError, IndexError, TypeError):
        return None
    return told if isinstance(told, dict) else None
