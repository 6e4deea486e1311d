"""The emulator's temporary folder, and the cleanup after a killed emulator."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from comfyui_emulator.temporary import TempFolder, abandoned_folders, remove_abandoned

DEAD = 4194303  # above the largest pid of Linux' default; whatever has it did not start at tick 1


@pytest.fixture(autouse=True)
def own_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder that no other emulator uses."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def left(folder: Path, pid: int = DEAD, start: int = 1, mode: int = 0o700) -> Path:
    """A folder as a killed emulator leaves it."""
    path = folder / f"discomfort-temp-{pid}-{start}-abcdef12"
    path.mkdir(mode=mode)
    path.chmod(mode)
    (path / "preview.png").write_bytes(b"x")
    return path


def test_second_server_takes_a_private_folder(tmp_path: Path, own_temporary: Path) -> None:
    """It belongs to this process, does not count as abandoned while it lives, and is removed at the close."""
    first, second = TempFolder(tmp_path), TempFolder(tmp_path)
    assert first.open() == tmp_path / "temp"
    path = second.open()

    assert path.parent == own_temporary
    assert path.name.startswith(f"discomfort-temp-{os.getpid()}-")
    assert abandoned_folders() == []
    second.close()
    second.close()
    first.close()
    assert list(own_temporary.iterdir()) == []


def test_next_server_clears_what_a_killed_one_left(tmp_path: Path, own_temporary: Path) -> None:
    """The start removes the folder of a dead process, whatever its base folder was."""
    path = left(own_temporary)
    assert abandoned_folders() == [path]

    taken = TempFolder(tmp_path)
    taken.open()

    assert not path.exists()
    taken.close()


def test_pid_that_was_given_again(own_temporary: Path) -> None:
    """Pid and start must both match: our own pid with another start is a dead process."""
    assert abandoned_folders() == []
    path = left(own_temporary, os.getpid(), 1)

    assert abandoned_folders() == [path]


def test_what_may_be_somebody_elses_stays(own_temporary: Path) -> None:
    """A folder that others may enter, a held one, a link and a foreign name are left alone."""
    left(own_temporary, mode=0o755)
    held = left(own_temporary, DEAD - 1)
    (own_temporary / "discomfort-temp-mine").mkdir()
    (own_temporary / f"discomfort-temp-{DEAD}-2-abcdef12").symlink_to(own_temporary)
    descriptor = os.open(held, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert abandoned_folders() == []
        assert not remove_abandoned(held)
    finally:
        os.close(descriptor)
    assert abandoned_folders() == [held]
