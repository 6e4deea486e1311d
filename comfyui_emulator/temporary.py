"""The emulator's temporary folder, one per server, and the cleanup of those that killed servers left behind."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import stat
import sys
import tempfile
from pathlib import Path

log = logging.getLogger("comfyui_emulator")

_OWN = re.compile(r"discomfort-temp-([0-9]{1,10})-([0-9]{1,20})-[a-z0-9_]{8}")


class TempFolder:
    """The temporary folder: ``parent/temp``, held by a lock so that two servers never wipe each other's files.

    If the lock is taken, a new private folder is used instead and removed at :meth:`close`. Its name contains the pid
    and start time of this process, which holds a lock on it: if the process is killed, the next emulator of this user
    removes the folder.
    """

    def __init__(self, parent: Path) -> None:
        self._lock = -1
        self._hold = -1
        self.path = parent / "temp"
        self._parent = parent

    def open(self) -> Path:
        """Take the folder, empty it, and return its path. Blocking."""
        for path in abandoned_folders():
            remove_abandoned(path)
        self._parent.mkdir(parents=True, exist_ok=True)
        self._lock = try_lock(self._parent / ".discomfort-temp.lock")
        if self._lock < 0:
            self.path = Path(tempfile.mkdtemp(prefix=f"discomfort-temp-{os.getpid()}-{_start_of(os.getpid())}-"))
            self._hold = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
            log.info("another emulator holds %s/temp; using %s", self._parent, self.path)
        else:
            shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path

    def close(self) -> None:
        """Remove the folder and release the lock. Idempotent."""
        shutil.rmtree(self.path, ignore_errors=True)
        descriptors = (self._lock, self._hold)
        self._lock = self._hold = -1
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)


def try_lock(path: Path) -> int:
    """A descriptor that holds the lock of that file; -1 if another process has it. The file is not removed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return -1
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def abandoned_folders(directory: Path | None = None) -> list[Path]:
    """Private folders in ``directory`` (default: the temporary folder) of emulators that were killed.

    Such a folder belongs to this user alone, the process in its name is gone, and it is not locked. The lock also
    protects folders of processes that are invisible from here, as in other containers. Nothing is changed.
    """
    found = []
    for path in sorted(Path(directory or tempfile.gettempdir()).glob("discomfort-temp-*")):
        match = _OWN.fullmatch(path.name)
        if match is None or _start_of(int(match[1])) == int(match[2]):
            continue
        descriptor = _take(path)
        if descriptor >= 0:
            os.close(descriptor)
            found.append(path)
    return found


def remove_abandoned(path: Path) -> bool:
    """Remove one of :func:`abandoned_folders`, unless it has been locked since; returns whether it is gone."""
    descriptor = _take(path)
    if descriptor >= 0:
        try:
            shutil.rmtree(path)
            log.info("removed %s, which a killed emulator left behind", path)
        except OSError as error:
            log.warning("%s, which a killed emulator left behind, could not be removed: %s", path, error)
        finally:
            os.close(descriptor)
    return not path.exists()


def _take(path: Path) -> int:
    """Lock the folder and return its descriptor; -1 if it is not ours alone or is already locked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        facts = os.fstat(descriptor)
        if facts.st_uid == os.geteuid() and stat.S_IMODE(facts.st_mode) == 0o700:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
    except OSError as error:
        log.debug("%s is held: %s", path, error)
    os.close(descriptor)
    return -1


def _start_of(pid: int) -> int:
    """The start time of a process, 0 if there is none; on Linux, ticks since boot (field 22 of ``/proc/PID/stat``)."""
    if sys.platform != "linux":
        import psutil

        return int(psutil.Process(pid).create_time() * 100) if psutil.pid_exists(pid) else 0
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return 0 if fields[0] in {b"Z", b"X"} else int(fields[19])
    except (OSError, IndexError, ValueError):
        return 0
