"""Memory that may still be taken, as the machine and its control groups say."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from discomfort._system import memory, shared_memory

GB = 1 << 30


def group(folder: Path, **files: object) -> None:
    """A control group with these files; a double underscore stands for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


@pytest.mark.parametrize("path", ["/", "/a/b", "/outside/the/container"])
def test_limit_of_a_group_counts(tmp_path: Path, path: str) -> None:
    """Of the own one, and of those above it; cached files do not count as used."""
    (tmp_path / "own").write_text(f"0::{path}\n")
    group(
        tmp_path / "groups", memory__max=GB // 512, memory__current=GB // 1024, memory__stat="inactive_file 1000\nx 1"
    )
    group(tmp_path / "groups" / "a" / "b", memory__max="max", memory__current=5)
    assert memory.available(tmp_path / "groups", tmp_path / "own") == GB // 1024 + 1000


def test_older_groups_count(tmp_path: Path) -> None:
    """Version 1 has other names, and a folder for each controller."""
    (tmp_path / "own").write_text("5:cpu,cpuacct:/x\n4:memory:/job\n")
    group(tmp_path / "groups" / "memory" / "job", memory__limit_in_bytes=10_000, memory__usage_in_bytes=4_000)
    group(tmp_path / "groups" / "memory", memory__limit_in_bytes=1 << 62, memory__usage_in_bytes=4_000)
    assert memory.available(tmp_path / "groups", tmp_path / "own") == 6_000


def test_without_groups_the_machine_counts(tmp_path: Path) -> None:
    """Also with files that cannot be read."""
    (tmp_path / "own").write_text("0::/\n")
    group(tmp_path / "groups", memory__max="nonsense", memory__current="")
    for own in (tmp_path / "own", tmp_path / "none"):
        assert 0 < memory.available(tmp_path / "groups", own) <= psutil.virtual_memory().total


def test_usage_beyond_the_limit_is_no_room(tmp_path: Path) -> None:
    """Never a negative number."""
    (tmp_path / "own").write_text("0::/\n")
    group(tmp_path / "groups", memory__max=100, memory__current=200)
    assert memory.available(tmp_path / "groups", tmp_path / "own") == 0


def test_free_shared_memory(tmp_path: Path) -> None:
    """Of a folder that exists; none otherwise."""
    assert shared_memory.free(tmp_path) > 0
    assert shared_memory.free(tmp_path / "none") == 0
