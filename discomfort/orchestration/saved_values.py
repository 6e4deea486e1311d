"""Records of the values that a server has saved for a run, in the run's history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from discomfort.context.exchange import DIGEST, REMOTE, UI
from discomfort.exceptions import DamagedDataError

SavedStorage = Literal["ram", "disk", "remote"]


@dataclass(frozen=True, slots=True)
class SavedValue:
    """One value: ``text`` is its JSON if it is small, else ``blob`` is the name of its file, or its digest on a server
    from which it is fetched.

    ``codec`` is ``None`` for an object that stays in the server.
    """

    unique_id: str
    codec: str | None
    storage: SavedStorage = "ram"
    blob: str = ""
    size: int = 0
    text: str | None = None
    digest: str = ""


def saved_values(history: Mapping[str, Any], nonce: str) -> dict[str, SavedValue]:
    """What the run with this nonce has saved, by id. Raises DamagedDataError for records that no saver makes."""
    return {value.unique_id: value for value in _values(history, nonce)}


def _values(history: Mapping[str, Any], nonce: str) -> Iterator[SavedValue]:
    for record in history.values():
        outputs = record.get("outputs") if isinstance(record, Mapping) else None
        for output in outputs.values() if isinstance(outputs, Mapping) else ():
            found = output.get(UI) if isinstance(output, Mapping) else None
            for entry in found if isinstance(found, list) else ():
                # A cached record belongs to an earlier run, and its file may be gone.
                if isinstance(entry, Mapping) and entry.get("nonce") == nonce:
                    yield _value(entry)


def _value(entry: Mapping[str, Any]) -> SavedValue:
    unique_id, codec, storage, blob = (entry.get(key) for key in ("unique_id", "codec", "storage", "blob"))
    size, text, digest = (entry.get(key) for key in ("size", "text", "digest"))
    is_sound = (
        isinstance(unique_id, str)
        and isinstance(codec, str | None)
        and (codec is None or isinstance(text, str) or _is_place(storage, blob))
        and (type(size) is int or codec is None)
    )
    if not is_sound:
        raise DamagedDataError(f"the server's record of a value is not one of ours: {str(dict(entry))[:200]}")
    known = isinstance(digest, str) and DIGEST.fullmatch(digest)
    return SavedValue(
        str(unique_id),
        codec,
        storage or "ram",
        "" if text is not None else blob or "",
        size or 0,
        text,
        str(digest) if known else "",
    )


def _is_place(storage: object, blob: object) -> bool:
    if not isinstance(blob, str):
        return False
    return storage in ("ram", "disk") or (storage == REMOTE and DIGEST.fullmatch(blob) is not None)
