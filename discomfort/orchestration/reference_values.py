"""Stored values that references load: their names, and which of them are gone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from discomfort._system import shared_memory
from discomfort.context import folders
from discomfort.context.blobs import NAME
from discomfort.context.exchange import HANDSHAKE, LOADER, is_folder_name


class LoadedFile(NamedTuple):
    """A stored value that a node loads. ``path`` is ``None`` for what is not the name of a file."""

    unique_id: str
    digest: str
    path: Path | None


def blobs_of(nodes: Mapping[str, Any]) -> list[str]:
    """The stored values that nodes load: ``storage:run_id/name`` of each."""
    found = (f"{place.get('storage')}:{place.get('run_id')}/{place.get('blob')}" for place in _places(nodes))
    return list(dict.fromkeys(found))


def gone_values(nodes: Mapping[str, Any]) -> list[str]:
    """The variables whose stored values nodes load, and whose files do not exist any more."""
    found = [(str(place.get("unique_id")), _path(place)) for place in _places(nodes)]
    return [unique_id for unique_id, path in found if path is None or not path.exists()]


def loaded_files(nodes: Mapping[str, Any]) -> Iterator[LoadedFile]:
    """The stored values that nodes load, with their files."""
    for place in _places(nodes):
        yield LoadedFile(str(place.get("unique_id")), str(place.get("digest")), _path(place))


def _places(nodes: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for node in nodes.values():
        place = (node.get("_meta") or {}).get(HANDSHAKE)
        if node["class_type"] == LOADER and isinstance(place, Mapping):
            yield {**place, **{name: node["inputs"].get(name) for name in ("unique_id", "digest")}}


def _path(place: Mapping[str, Any]) -> Path | None:
    """The file that a node loads; ``None`` for what is not the name of one."""
    storage, blob = place.get("storage"), place.get("blob")
    if storage == "ram":
        root, names = shared_memory.FOLDER / folders.user_folder(), [place.get("memory") or place.get("run_id")]
    else:
        root = Path(tempfile.gettempdir()) / folders.user_folder()
        names = [place.get("contexts") or "contexts", place.get("run_id")]
    if not all(is_folder_name(name) for name in names) or not isinstance(blob, str) or not NAME.fullmatch(blob):
        return None
    return root.joinpath(*map(str, names), blob)
