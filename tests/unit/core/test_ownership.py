"""Identity of processes: the start that tells one from another of the same pid."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from discomfort._system import process_table
from discomfort._system.ownership import owner_lives, owner_mark, start_of


@pytest.fixture
def hidden_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that hides the id of the boot; ``/proc/<pid>/stat`` is there."""
    read = process_table._read

    def refuse(path: str) -> bytes:
        if path == "/proc/sys/kernel/random/boot_id":
            raise PermissionError(13, "Permission denied", path)
        return read(path)

    monkeypatch.setattr(process_table, "_read", refuse)


@pytest.mark.usefixtures("hidden_boot")
def test_start_without_a_boot_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ticks are used: a live process is known as the one that it is, also when the clock is set."""
    mark = owner_mark()
    created = psutil.Process().create_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: created + 3600)
    assert start_of(os.getpid()).startswith("0.")
    assert owner_lives(mark)
    assert not owner_lives(f"{os.getpid()}-0.1")


def test_start_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other systems give the time of the start."""
    monkeypatch.setattr("discomfort._system.ownership.facts_of", lambda _: None)
    assert start_of(os.getpid()) == f"{psutil.Process().create_time():.2f}"


@pytest.mark.usefixtures("hidden_boot")
def test_ended_process_without_a_boot_id() -> None:
    """One that nobody waited for has no start, nor has one that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert start_of(process.pid) == ""
    process.wait()
    assert start_of(process.pid) == ""
