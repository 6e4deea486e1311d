"""A small process that outlives ours, and ends what we started if we could not do it ourselves."""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import psutil

from discomfort._system import claims
from discomfort._system.claims import FolderClaim
from discomfort._system.detached_process import DetachedProcess
from discomfort._system.forks import in_forked_child
from discomfort._system.process_table import start_of
from discomfort._system.process_tree import TOKEN_VARIABLE
from discomfort._system.system_support import obstacle
from discomfort.exceptions import ServerStartError

_log = logging.getLogger("discomfort.server")

_PROGRAM = """
import sys
sys.path.append(sys.argv.pop(1))
from discomfort.server.watchdog_main import main
main(sys.argv[1:])
"""
_HOME = Path(__file__).parents[2]
"""The folder to import us from. It comes last: a package there cannot hide one of the standard library's."""
_SEND_SECONDS = 2.0
# A watchdog that was just started on a loaded machine takes a while until it reads.
_RESEND_SECONDS = 20.0
_CLOSE_SECONDS = 2.0
_START_SECONDS = 20.0
# Between reading a start time and comparing it the clock may be set a little; a pid is not reused that fast.
_START_TOLERANCE = 2.0

_Message = dict[str, Any]


class Watchdog:
    """Ends registered processes and removes registered paths once this process has ended, for whatever reason.

    It also removes all folders that this process claims (:mod:`discomfort._system.claims`), whoever makes them.

    The watchdog process holds the read end of a pipe whose write end only we have: it reads end of file when we end,
    SIGKILL included, and everything is gone within about 3 s. It is not our child: whatever kills us with all our
    children (Ray, systemd) does not kill it. Every call is thread-safe, and does nothing in a forked child or after
    :meth:`close`. If the watchdog itself was killed, the next call starts another one with all registrations.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owner = os.getpid()
        self._registered: dict[tuple[str, object], _Message] = {}
        self._closed = False
        self._reported = False
        self._pipe = -1
        self._process: DetachedProcess | None = None

    @classmethod
    def start(cls) -> Watchdog:
        """Start the watchdog process; takes a few milliseconds.

        Raises ServerStartError when the system refuses, and where nothing of ours could be owned for certain.
        """
        if missing := obstacle():
            raise ServerStartError(
                f"no server can be started and owned here: {missing}",
                remedy="Start ComfyUI yourself, and connect with ComfyConnector.attach(url)",
            )
        watchdog = cls()
        watchdog._launch()
        _live.add(watchdog)
        claims.follow(watchdog)
        return watchdog

    @property
    def pid(self) -> int:
        """Process id of the watchdog process."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Whether the watchdog process lives."""
        if os.getpid() != self._owner:
            return False
        with self._lock:
            return not self._closed and self._process is not None and self._process.alive

    def __repr__(self) -> str:
        own = sum(kind != "claim" for kind, _ in list(self._registered))
        state = "closed" if self._closed else f"watching {own}"
        return f"<Watchdog pid={self.pid} {state}>"

    def watch_process(self, pid: int, start_time: float, *, group: bool, token: str | None = None) -> None:
        """After our end, end process ``pid`` that started at ``start_time`` (as in psutil), with its descendants.

        With ``group`` its whole process group too, and with ``token`` all processes that have that mark in their
        environment. A pid that now has another start time is left alone.
        """
        try:
            # psutil's time is in seconds of the clock, which can be set; the watchdog compares ticks since boot, which
            # cannot. Both are read here, while the process is known to be the right one.
            if abs(psutil.Process(pid).create_time() - start_time) > _START_TOLERANCE:
                raise psutil.NoSuchProcess(pid)
            start = start_of(pid)
            if start is None:
                raise psutil.NoSuchProcess(pid)
        except psutil.Error as error:
            _log.debug("pid %d is not watched, it ended already: %s", pid, error)
            return
        message = {"op": "process", "pid": pid, "start": start, "group": group, "token": token}
        self._register(("process", pid), message)

    def forget_process(self, pid: int) -> None:
        """Stop watching process ``pid``."""
        self._forget(("process", pid), {"op": "forget-process", "pid": pid})

    def watch_path(
        self, path: Path, *, root: Path, inode: int = 0, only_empty: bool = False, only_unlocked: bool = False
    ) -> None:
        """After our end, remove the file or folder ``path`` if it is still in ``root``, with no symlink in between.

        With ``inode``, only if it is still that file. With ``only_empty``, a folder that others use by then is kept;
        with ``only_unlocked``, a lock file (flock) that another process holds by then.

        A symlink at ``path`` itself is removed, never its target. Raises ValueError if ``path`` or ``root`` is not
        absolute, or ``path`` is not inside ``root``, or is the home, the working directory or a parent of one.
        """
        target, anchor = _contained(path, root)
        parts = list(target.relative_to(anchor).parts)
        message = {"op": "path", "path": str(target), "root": str(anchor), "parts": parts}
        self._register(
            ("path", str(target)), {**message, "inode": inode, "only_empty": only_empty, "only_unlocked": only_unlocked}
        )

    def forget_path(self, path: Path) -> None:
        """Stop watching ``path``."""
        name = os.path.normpath(path)
        with self._lock:
            # It was registered with the real path of its folder. If that is gone, resolve() gives another path.
            names = {name, str(Path(name).parent.resolve() / Path(name).name)}
            for known in names:
                self._forget(("path", known), {"op": "forget-path", "path": known})

    def claimed(self, claim: FolderClaim) -> None:
        """After our end, remove a claimed folder if it is still that one, and those above it that are empty then."""
        root = os.path.realpath(claim.path.parents[claim.parents])
        parts = list(claim.path.parts[-1 - claim.parents :])
        message = {"op": "claim", "claim": str(claim.hidden), "root": root, "parts": parts}
        self._register(("claim", claim.hidden), {**message, "hidden": claim.hidden.name, "owner": claim.owner})

    def released(self, claim: FolderClaim) -> None:
        """Stop watching a claimed folder."""
        self._forget(("claim", claim.hidden), {"op": "forget-claim", "claim": str(claim.hidden)})

    def close(self) -> None:
        """End the watchdog process; registered processes and paths are not touched. Idempotent; at most about 4 s."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._registered.clear()
            _live.discard(self)
            claims.unfollow(self)
            # Sent explicitly: the end of the pipe alone means that we died, and would start the cleanup.
            try:
                self._write({"op": "close"})
            except OSError as error:
                _log.debug("the watchdog was gone already: %s", error)
                self._drop(told=False)
            else:
                self._drop(told=True)

    def _register(self, key: tuple[str, object], message: _Message) -> None:
        if os.getpid() != self._owner:
            return
        with self._lock:
            if not self._closed:
                # Kept before it is sent: if the watchdog turns out to be dead, its successor gets this one too.
                self._registered[key] = message
                self._send(message)

    def _forget(self, key: tuple[str, object], message: _Message) -> None:
        if os.getpid() != self._owner:
            return
        with self._lock:
            if not self._closed and self._registered.pop(key, None) is not None:
                self._send(message)

    def _send(self, message: _Message) -> None:
        try:
            self._write(message)
        except OSError as error:
            if not self._reported:
                self._reported = True
                _log.warning("the watchdog process (pid %d) is gone or stuck, starting another: %s", self.pid, error)
            self._drop(told=False)
            self._launch()
            try:
                # A copy: a finalizer that runs meanwhile may release a folder.
                for known in list(self._registered.values()):
                    self._write(known, _RESEND_SECONDS)
            except OSError as again:
                raise ServerStartError(f"the watchdog process does not work: {again}") from again

    def _write(self, message: _Message, seconds: float | None = None) -> None:
        data = memoryview(json.dumps(message).encode() + b"\n")
        deadline = time.monotonic() + (_SEND_SECONDS if seconds is None else seconds)
        while data:
            try:
                data = data[os.write(self._pipe, data) :]
            except BlockingIOError:
                # A blocking write would hang our process, and whoever waits for the lock, with a stopped watchdog.
                if time.monotonic() > deadline:
                    raise TimeoutError("the watchdog process does not read") from None
                select.select([], [self._pipe], [], 0.05)

    def _launch(self) -> None:
        executable = sys.executable
        if not executable:
            raise ServerStartError("the watchdog needs a Python interpreter, but sys.executable is empty")
        read, write = os.pipe()
        # os.pipe() makes both ends non-inheritable: no server or browser that is started later gets a copy of the
        # write end, which would hide our end from the watchdog.
        words = [executable, "-I", "-S", "-c", _PROGRAM, str(_HOME), str(self._owner), TOKEN_VARIABLE]
        try:
            self._process = DetachedProcess(_start_detached(words, read))
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            os.close(write)
            self._pipe = -1
            raise ServerStartError(f"the watchdog process could not be started: {error}") from error
        finally:
            os.close(read)
        os.set_blocking(write, False)
        # Only now that the watchdog runs: whoever sees a valid pipe may rely on a reader.
        self._pipe = write
        _log.debug("watchdog process %d started", self._process.pid)

    def _drop(self, *, told: bool) -> None:
        process = self._process
        if process is not None and not told:
            # Killed before the pipe is closed: without a close message it would take the end of file for our death.
            process.kill()
        self._close_pipe()
        if process is None or process.ended(_CLOSE_SECONDS):
            return
        _log.warning("watchdog process %d did not end after the close message: killing it", process.pid)
        process.kill()
        if not process.ended(_CLOSE_SECONDS):
            _log.error("watchdog process %d does not end", process.pid)

    def _close_pipe(self) -> None:
        pipe, self._pipe = self._pipe, -1
        if pipe >= 0:
            os.close(pipe)


_live: weakref.WeakSet[Watchdog] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    # A child's copy of the write end would keep the watchdog waiting after our end. The lock is not taken, since its
    # holder may be a thread that exists only in the parent.
    for watchdog in list(_live):
        watchdog._closed = True
        watchdog._close_pipe()
    _live.clear()


in_forked_child(_after_fork_in_child)


def _start_detached(words: list[str], stdin: int) -> int:
    """Start the watchdog and return its pid. The process started here forks it, prints its pid and ends at once."""
    # Isolated and without site packages (-I -S), it starts in 10 to 20 ms. The session of its own keeps a terminal's
    # Ctrl-C away until it ignores the signal.
    started = subprocess.run(
        words,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=os.sep,
        env=_environment(),
        close_fds=True,
        start_new_session=True,
        timeout=_START_SECONDS,
        check=True,
    )
    return int(started.stdout)


def _environment() -> dict[str, str]:
    # Only what an interpreter may need to load. That keeps our secrets away from it, and the mark of a server that we
    # may ourselves run under, which would end the watchdog together with that server.
    return {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}


def _contained(path: Path, root: Path) -> tuple[Path, Path]:
    """``path`` with its folder's real path, and the real ``root``. Raises ValueError as :meth:`Watchdog.watch_path`."""
    if not path.is_absolute() or not root.is_absolute() or ".." in path.parts or "\0" in str(path):
        raise ValueError(f"{path} in {root}: both must be absolute paths without '..'")
    # Resolved now: after our end a symlink planted above the path could lead the watchdog elsewhere.
    anchor = root.resolve()
    target = path.parent.resolve() / path.name
    if anchor not in target.parents:
        raise ValueError(f"{path} is not inside {root}")
    for precious in _precious():
        if target == precious or target in precious.parents:
            raise ValueError(f"{path} contains {precious}, so it is never removed")
    return target, anchor


def _precious() -> list[Path]:
    found = []
    for of in (Path.home, Path.cwd):
        try:
            found.append(of().resolve())
        except (OSError, RuntimeError) as error:
            _log.debug("home or working directory does not exist: %s", error)
    return found
