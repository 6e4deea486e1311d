"""The watchdog process: waits for the end of its parent, then ends and removes what the parent had registered.

It is run by file path, isolated and without site packages, so it imports only the standard library (and on systems
other than Linux psutil, from the given folder). Its input is one JSON object per line; end of file without ``close``
means that the parent is gone. Arguments: the parent's pid, the name of the environment variable that marks servers,
psutil's folder, and ``detach`` to leave the parent's process tree: a supervisor that kills a worker kills its children
too, and the watchdog must outlive them. It then prints its new pid on standard output.
"""

# ruff: noqa: PTH123, PTH208 - pathlib would double the time that this takes to start
from __future__ import annotations

import errno
import json
import os
import select
import signal
import stat
import sys
import time
from typing import Any

TERM_SECONDS = 1.0
KILL_SECONDS = 1.0
_POLL_SECONDS = 0.02
_PARENT_CHECK_SECONDS = 1.0

Process = tuple[int, float]  # pid and start: a pid alone may be reused


class Registry:
    """What to end and remove. ``closed`` is set once the parent has shut down properly."""

    def __init__(self) -> None:
        self.processes: dict[int, dict[str, Any]] = {}
        self.paths: dict[str, dict[str, Any]] = {}
        self.closed = False

    def apply(self, line: bytes) -> None:
        """Process one message; an incomplete line (cut off by the parent's end) is ignored."""
        try:
            message = json.loads(line)
            operation = message["op"]
            if operation == "process":
                self.processes[int(message["pid"])] = message
            elif operation == "forget-process":
                self.processes.pop(int(message["pid"]), None)
            elif operation == "path":
                self.paths[str(message["path"])] = message
            elif operation == "forget-path":
                self.paths.pop(str(message["path"]), None)
            elif operation == "close":
                self.closed = True
        except (ValueError, KeyError, TypeError):
            return


def follow(stream: int, parent: int, registry: Registry) -> None:
    """Apply messages until ``close``, end of file, or the end of the parent."""
    buffer = b""
    start = start_of(parent)
    while not registry.closed:
        # A child of the parent that kept the pipe open would hide its end, so its pid and start are checked too.
        orphaned = start is None or start_of(parent) != start
        if not orphaned and not select.select([stream], [], [], _PARENT_CHECK_SECONDS)[0]:
            continue
        # What the parent wrote last is still in the pipe, and must be applied before the cleanup begins.
        if orphaned and not select.select([stream], [], [], 0)[0]:
            return
        chunk = os.read(stream, 1 << 16)
        if not chunk:
            return
        # A message may be split between two reads; its beginning waits in the buffer.
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            registry.apply(line)


# --- processes


def start_of(pid: int) -> float | None:
    """When a process started; ``None`` if it has ended, reaped or not.

    On Linux in clock ticks since boot, which setting the clock does not change: field 22 of ``/proc/<pid>/stat``
    (proc(5)). The name in field 2 may contain spaces and parentheses.
    """
    if sys.platform != "linux":
        facts = table().get(pid)
        return None if facts is None or facts[4] else facts[0]
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if len(fields) < 20 or fields[0] in (b"Z", b"X") else float(fields[19])


def table() -> dict[int, tuple[float, int, int, int, bool]]:
    """pid → start, parent, group, session, and whether it is a zombie, for all visible processes."""
    return _proc_table() if sys.platform == "linux" else _psutil_table()


def _proc_table() -> dict[int, tuple[float, int, int, int, bool]]:
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if len(fields) > 19:
            state, parent, group, session = fields[0], int(fields[1]), int(fields[2]), int(fields[3])
            found[int(name)] = (float(fields[19]), parent, group, session, state in (b"Z", b"X"))
    return found


def _psutil_table() -> dict[int, tuple[float, int, int, int, bool]]:
    import psutil

    found = {}
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                zombie = process.status() == psutil.STATUS_ZOMBIE
                start, parent = process.create_time(), process.ppid()
            group, session = (0, 0) if os.name == "nt" else (os.getpgid(process.pid), os.getsid(process.pid))
        except (psutil.Error, OSError):
            continue
        found[process.pid] = (start, parent, group, session, zombie)
    return found


def carries(pid: int, variable: str, token: str) -> bool:
    """Whether the environment of ``pid`` has ``variable=token``."""
    if sys.platform != "linux":
        return False
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{variable}={token}".encode() in file.read().split(b"\0")
    except OSError:
        return False


def targets(registered: dict[int, dict[str, Any]], variable: str) -> set[Process]:
    """The registered processes that are still the same, and all that belong to them."""
    # One table for all checks: a second look could show a pid that was reused in between.
    seen = table()
    found: set[int] = set()
    for pid, entry in registered.items():
        same = pid in seen and seen[pid][0] == entry["start"]
        if same:
            found.add(pid)
        # Group and session find what the server started and orphaned; the mark also finds what left both with setsid().
        # A group's id cannot be reused while its leader, here the same process as before, still exists.
        for other, (_, _, group, session, _) in seen.items():
            in_group = same and entry.get("group") and pid in (group, session)
            if in_group or (entry.get("token") and carries(other, variable, entry["token"])):
                found.add(other)
    # Descendants level by level, until no process is added.
    grew = True
    while grew:
        children = {pid for pid, facts in seen.items() if facts[1] in found}
        grew = not children <= found
        found |= children
    # Never init, and never ourselves: the parent may have been started by a server that it marked.
    found -= {0, 1, os.getpid()}
    return {(pid, seen[pid][0]) for pid in found if not seen[pid][4]}


def send(processes: set[Process], number: int) -> None:
    """Send a signal to those that are still the same."""
    seen = table()
    for pid, start in processes:
        if pid in seen and seen[pid][0] == start:
            try:
                os.kill(pid, number)
            except OSError:
                continue  # It has just ended, or belongs to another user; nobody is left to report that to.


def gone(processes: set[Process], seconds: float) -> bool:
    """Wait until all have ended, ``seconds`` at most. Returns whether they have."""
    deadline = time.monotonic() + seconds
    while True:
        seen = table()
        if not any(pid in seen and seen[pid][0] == start and not seen[pid][4] for pid, start in processes):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)


def end_processes(registered: dict[int, dict[str, Any]], variable: str) -> None:
    """Send SIGTERM, wait a second, send SIGKILL; then again for processes that were started meanwhile."""
    known = targets(registered, variable)
    send(known, signal.SIGTERM)
    # A stopped process handles SIGTERM only once it continues.
    if hasattr(signal, "SIGCONT"):
        send(known, signal.SIGCONT)
    gone(known, TERM_SECONDS)
    for _ in range(3):
        known |= targets(registered, variable)
        send(known, getattr(signal, "SIGKILL", signal.SIGTERM))
        if gone(known, KILL_SECONDS) and not targets(registered, variable):
            return


# --- paths


def remove_path(entry: dict[str, Any]) -> None:
    """Remove one registered path below its root, following no symlink on the way; what cannot be removed is kept."""
    root, parts = str(entry["root"]), [str(part) for part in entry["parts"]]
    if not root.startswith("/") or not parts or any(p in ("", ".", "..") or "/" in p or "\0" in p for p in parts):
        return
    # Opened folder by folder, relative to the one before: nobody can swap a folder for a symlink between the check of a
    # path and its use.
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open(root, flags)
    try:
        for part in parts[:-1]:
            inner = os.open(part, flags, dir_fd=folder)
            os.close(folder)
            folder = inner
        if entry.get("only_unlocked"):
            _remove_unlocked(folder, parts[-1], int(entry.get("inode") or 0))
        else:
            _remove_registered(folder, parts[-1], int(entry.get("inode") or 0), bool(entry.get("only_empty")))
    finally:
        os.close(folder)


def _remove_registered(folder: int, name: str, inode: int, only_empty: bool) -> None:
    if inode and os.stat(name, dir_fd=folder, follow_symlinks=False).st_ino != inode:
        return  # Another file has taken its place, which is not ours.
    if only_empty:
        os.rmdir(name, dir_fd=folder)
    else:
        _remove(folder, name, depth=0)


def _remove_unlocked(folder: int, name: str, inode: int) -> None:
    import fcntl

    lock = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        # Raises if another process holds it. While we hold it, no process can take a lock on a file that vanishes.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino == inode:
            os.unlink(name, dir_fd=folder)
    finally:
        os.close(lock)


def _remove(folder: int, name: str, depth: int) -> None:
    facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISDIR(facts.st_mode):
        os.unlink(name, dir_fd=folder)
        return
    if depth > 200:
        return
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        # Another file system that is mounted in the folder was not registered.
        if os.fstat(inner).st_dev == os.fstat(folder).st_dev:
            for child in os.listdir(inner):
                try:
                    _remove(inner, child, depth + 1)
                except OSError:
                    continue  # The rest is still removed; only the folder itself is kept then.
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)


def remove_paths(registered: dict[str, dict[str, Any]]) -> None:
    """Remove all registered paths; twice if a process that was ending wrote into one meanwhile.

    The latest come first: what was put into a folder was registered after the folder.
    """
    for entry in reversed(list(registered.values())):
        for _ in range(2):
            try:
                remove_path(entry)
            except OSError as error:
                if error.errno == errno.ENOTEMPTY and not entry.get("only_empty"):
                    continue
            except (KeyError, TypeError, ValueError):
                pass
            break


def detach() -> None:
    """Continue in a forked child with a session of its own, and print its pid; the original process ends."""
    child = os.fork()
    if child:
        os.write(1, b"%d\n" % child)
        os._exit(0)
    os.setsid()
    # The parent reads the pid until end of file, so this copy of the pipe must be closed.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def main(arguments: list[str]) -> None:
    """Wait, then clean up; see the module."""
    # Before anything else: signals to the parent's group or terminal must not end the watchdog too.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    # A mask is inherited: one of the parent's threads may have blocked signals when it started us.
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    parent, variable = int(arguments[0]), arguments[1]
    if arguments[3:] == ["detach"]:
        detach()
    if arguments[2]:
        sys.path.append(arguments[2])
    registry = Registry()
    follow(0, parent, registry)
    if not registry.closed:
        end_processes(registry.processes, variable)
        remove_paths(registry.paths)


if __name__ == "__main__":
    main(sys.argv[1:])
