"""A context, and the environment of a server that sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from discomfort.context import folders
from discomfort.context.capacity import MemoryRoom
from discomfort.context.codecs import encode
from discomfort.context.exchange import VARIABLE, ServerPlaces
from discomfort.context.records import Record
from discomfort.context.storage import Storage

TOKEN = "0123456789abcdef" * 2


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """A context called ``run`` with plenty of room."""
    (tmp_path / "memory").mkdir()
    room = MemoryRoom(1 << 30, tmp_path / "memory", lambda: 1 << 40, lambda: 1 << 40)
    made = Storage.create(tmp_path / "disk" / "contexts", "run", room)
    yield made
    made.close()


@pytest.fixture
def places(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> ServerPlaces:
    """The folders of that context's user, which this process knows as a server does."""
    memory = storage.room.root / folders.user_folder()
    found = ServerPlaces(str(memory), str(storage.home.parent.parent), TOKEN)
    monkeypatch.setenv(VARIABLE, found.as_text())
    return found


def written(storage: Storage, value: object, *, use_ram: bool = True) -> Record:
    """The record of a value in a file."""
    record = storage.write(encode(value), use_ram=use_ram)
    assert record.file is not None
    return record


def inputs_of(record: Record) -> dict[str, str]:
    """The inputs of a loader for a value in a file."""
    assert record.file is not None
    return {"run_id": "run", "unique_id": "x", "blob": record.file[-32:], "codec": record.codec,
        "storage": record.storage}  # fmt: skip
