"""Contexts whose folders on disk are the test's own, without any configuration of the machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from discomfort import WorkflowContext
from discomfort.context.capacity import MemoryRoom
from discomfort.context.storage import Storage


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("DISCOMFORT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def context() -> Iterator[WorkflowContext]:
    """A context that ends with the test."""
    with WorkflowContext() as made:
        yield made


@pytest.fixture
def memory_root(tmp_path: Path) -> Path:
    """A folder that stands for the file system in memory."""
    root = tmp_path / "memory"
    root.mkdir()
    return root


@pytest.fixture
def storage(tmp_path: Path, memory_root: Path) -> Iterator[Storage]:
    """A storage with plenty of room."""
    room = MemoryRoom(1 << 30, memory_root, lambda: 1 << 40, lambda: 1 << 40)
    made = Storage.create(tmp_path / "disk" / "contexts", "run", room)
    yield made
    made.close()


def files_of(folder: Path) -> list[str]:
    """The files below a folder that hold values."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if len(path.name) == 32)
