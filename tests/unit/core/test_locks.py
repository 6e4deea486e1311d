"""Locks on files: one holder, also across processes, and no lock of a file that nobody finds any more."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from discomfort._system import locks
from discomfort._system.locks import FileLock, try_lock

HOLDER = """
import sys
from pathlib import Path
from discomfort._system.locks import FileLock
lock = FileLock.take(Path(sys.argv[1]))
print(lock is not None, flush=True)
sys.stdin.readline()
"""

FORKING_HOLDER = """
import os, signal, sys
from pathlib import Path
from discomfort._system.locks import FileLock
lock = FileLock.take(Path(sys.argv[1]))
ended = os.fork()
if ended == 0:
    lock.release(remove=True)
    os._exit(0)
os.waitpid(ended, 0)
child = os.fork()
if child == 0:
    while True:
        signal.pause()
print(child, flush=True)
sys.stdin.readline()
"""


def test_one_holder(tmp_path: Path) -> None:
    """Until it is released; the file stays unless it is asked to go."""
    path = tmp_path / "a.lock"
    lock = FileLock.take(path)
    assert lock is not None
    assert lock.inode == path.stat().st_ino
    assert FileLock.take(path) is None
    assert FileLock.take(path, timeout=0.01) is None
    lock.release()
    lock.release()
    assert path.exists()
    again = FileLock.take(path)
    assert again is not None
    again.release(remove=True)
    assert not path.exists()


def test_a_killed_holder_frees_it(tmp_path: Path) -> None:
    """The kernel gives the lock back."""
    path = tmp_path / "a.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    assert FileLock.take(path) is None
    holder.kill()
    holder.communicate()
    lock = FileLock.take(path)
    assert lock is not None
    lock.release(remove=True)


def test_file_that_goes_in_that_instant(tmp_path: Path) -> None:
    """Taken and given back with its file from eight threads: nobody fails, and no two hold it at once."""
    path, holders = tmp_path / "a.lock", list[int]()

    def work(thread: int) -> int:
        taken = 0
        while taken < 50:
            lock = FileLock.take(path)
            if lock is not None:
                holders.append(thread)
                assert len(holders) == 1
                holders.clear()
                taken += 1
                lock.release(remove=True)
        return taken

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [50] * 8
    assert not path.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_no_part_in_it(tmp_path: Path) -> None:
    """A child that ends leaves the lock with its parent; one that lives on does not hold it after its parent."""
    path = tmp_path / "a.lock"
    parent = subprocess.Popen(
        [sys.executable, "-c", FORKING_HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    try:
        assert FileLock.take(path) is None
        parent.kill()
        parent.wait()
        lock = FileLock.take(path, timeout=60)  # The child may not have come to give up its copy yet.
        assert lock is not None
        assert child.is_running()
        lock.release(remove=True)
    finally:
        child.kill()
        parent.communicate()


def test_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that says so, and no import that fails."""
    monkeypatch.setattr(locks, "fcntl", None)
    with pytest.raises(OSError, match="no flock"):
        FileLock.take(tmp_path / "a.lock")
    with pytest.raises(OSError, match="no flock"):
        try_lock(0)
