"""A store with a journal, and a file to put into it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from discomfort.files import FileStore, Journal


@pytest.fixture(autouse=True)
def nothing_stays_open(tmp_path: Path) -> Iterator[None]:
    """At the end of a test no descriptor leads below its folder, whatever failed in it."""
    yield
    opened = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that reads this list
            opened.append(str(entry.readlink()))
    assert [path for path in opened if path.startswith(f"{tmp_path}/")] == []


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal in a folder of its own."""
    journal = Journal(tmp_path / "journal")
    yield journal
    journal.close()


@pytest.fixture
def store(tmp_path: Path, journal: Journal) -> FileStore:
    """A store of two folders, of which only one exists."""
    (tmp_path / "in").mkdir()
    return FileStore({"input": tmp_path / "in", "models": tmp_path / "models"}, journal)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of 300 kB, changed in the past."""
    path = tmp_path / "cat.png"
    path.write_bytes(os.urandom(300_000))
    os.utime(path, ns=(10**18, 10**18 + 123))
    return path
