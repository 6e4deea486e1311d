"""One running server process, from its start until nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import psutil

from discomfort._system import process_end, process_table, process_tree, signals
from discomfort._system.server_command import ServerCommand
from discomfort.exceptions import ServerError, ServerStartError, StateError
from discomfort.server.execution_thread import execution_thread
from discomfort.server.launcher import spawn
from discomfort.server.log_tail import LogTail
from discomfort.server.one_shot import OneShot
from discomfort.server.output_pump import Pump
from discomfort.server.watchdog import Watchdog

_log = logging.getLogger("discomfort.server")

_KILL_PATIENCE = 5.0
"""Seconds that a process may take to end after SIGKILL, which it cannot refuse: more means stuck in the kernel."""
_WORKER_LOOK = 1.0
"""Seconds between two looks at the execution thread."""
_LEFTOVER_PATIENCE = 1.0
"""Seconds between SIGTERM and SIGKILL for what outlived the server itself."""


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended: its exit code, or the name of the signal that ended it; both ``None`` if nobody can tell."""

    code: int | None
    signal: str | None = None

    def __str__(self) -> str:
        if self.signal is not None:
            return f"killed by {self.signal}"
        return "ended with unknown status" if self.code is None else f"exit code {self.code}"


class Supervisor:
    """A running server and its process group; made by :meth:`start`.

    Usable from any thread and any event loop, and beside several. Two daemon threads serve it: one empties its output,
    so that the server never blocks on a full pipe, one waits for its end.
    """

    def __init__(self, command: ServerCommand, process: subprocess.Popen[bytes], token: str, watchdog: Watchdog | None):
        self.command = command
        self.pid = process.pid
        self.start_time = 0.0
        self._process = process
        self._token = token
        self._watchdog = watchdog
        self._owner = os.getpid()
        self._log_tail = LogTail()
        self._exit: ExitStatus | None = None
        self._ended = OneShot()
        self._useless = OneShot()
        self._stopped = OneShot()
        self._stop_error: Exception | None = None
        self._worker_gone = self._worker_watched = False
        # Guards the pid: while it is held the leader is not reaped, so its id, and its group's, are still its own.
        self._lock = threading.Lock()
        self._reaped = False
        self._stopping: threading.Thread | None = None
        self._survivors: set[psutil.Process] = set()
        self._pump = Pump(process, self._take_output)

    @classmethod
    def start(cls, command: ServerCommand, *, watchdog: Watchdog | None = None) -> Supervisor:
        """Start ``command`` and own it; with a ``watchdog`` it also ends when our process is killed.

        Raises ServerStartError when the system cannot start it; nothing is left then. Blocks for milliseconds.
        """
        token = secrets.token_hex(16)
        process = spawn(replace(command, env=process_tree.marked_environment(command.env, token)))
        supervisor = cls(command, process, token, watchdog)
        try:
            supervisor.start_time = psutil.Process(process.pid).create_time()
            if watchdog is not None:
                watchdog.watch_process(process.pid, supervisor.start_time, group=True, token=token)
            supervisor._pump.start()
            threading.Thread(target=supervisor._await_exit, name=f"discomfort-wait-{process.pid}", daemon=True).start()
        except BaseException as error:
            supervisor._abandon()
            if isinstance(error, psutil.Error | RuntimeError | OSError):
                raise ServerStartError(f"the started server cannot be watched: {error}") from error
            raise
        _log.info("server process %d started in %s", process.pid, command.cwd)
        return supervisor

    def __repr__(self) -> str:
        state = str(self._exit) if self._exit else "running, worker died" if self.worker_died else "running"
        return f"<Supervisor pid={self.pid} {state}>"

    @property
    def running(self) -> bool:
        """Whether the process lives; see :attr:`worker_died` for a server that lives and works no more."""
        return self._exit is None

    @property
    def exit(self) -> ExitStatus | None:
        """How the process ended, ``None`` while it runs. Its last words are in :meth:`log_tail` by then."""
        return self._exit

    @property
    def worker_died(self) -> bool:
        """Whether the server's execution thread ended: it answers, and runs nothing.

        Known by the server's own words, or by the end of the thread that :meth:`learn_worker` found.
        """
        return self._worker_gone or self._log_tail.worker_died

    @property
    def token(self) -> str:
        """The random mark that this server and what it starts carry in their environment."""
        return self._token

    def log_tail(self, count: int = 40) -> tuple[str, ...]:
        """The last ``count`` lines of output (of at most 500 kept, 2,000 characters each), without escape codes.

        A progress bar that rewrites its line counts as one line with its last state.
        """
        return self._log_tail.tail(count)

    @contextlib.contextmanager
    def learn_worker(self) -> Iterator[None]:
        """Around the execution of one prompt on an idle server: see which thread does it, and watch it from then on.

        Where that does not show, or not beyond doubt, nothing is watched.
        """
        before = process_table.thread_work(self.pid)
        yield
        thread = execution_thread(self.pid, before, process_table.thread_work(self.pid))
        if thread is None:
            _log.debug("the execution thread of server process %d could not be told from the others", self.pid)
        elif not self._worker_watched:
            self._worker_watched = True
            name = f"discomfort-worker-{self.pid}"
            threading.Thread(target=self._watch_worker, args=(thread,), name=name, daemon=True).start()

    def on_exit(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` once when the process ends or its execution thread dies, whichever comes first.

        It is called from one of our threads; at once, and in this thread, if it already is so. What it raises is
        logged. Returns a function that takes the callback back.
        """
        return self._useless.subscribe(callback)

    async def wait(self) -> ExitStatus:
        """Wait until the process has ended. Any number may wait, in any loop; cancelling one touches nothing else."""
        await _happening(self._ended)
        return self._exit or ExitStatus(None)

    async def stop(self, grace: float = 10.0) -> ExitStatus:
        """End the server and all that came from it: SIGTERM to its group, ``grace`` seconds, SIGKILL, reap.

        Then what left the group is ended too, and the output pipe closed. Calls at the same time and later ones share
        one ending (with the first one's ``grace``). Cancelling the caller lets it go on in the background. Takes at
        most ``grace`` plus about 8 s.

        Raises:
            StateError: in a fork of the process that started the server: it is not this process's own.
            ServerError: the process did not end even after SIGKILL.
        """
        if os.getpid() != self._owner:
            raise StateError("this process did not start the server, a fork of it cannot stop it")
        with self._lock:
            if self._stopping is None:
                name = f"discomfort-stop-{self.pid}"
                thread = threading.Thread(target=self._stop, args=(grace,), name=name, daemon=True)
                thread.start()
                self._stopping = thread
        await _happening(self._stopped)
        if self._stop_error is not None:
            raise ServerError(f"the server (pid {self.pid}) could not be stopped: {self._stop_error}") from (
                self._stop_error
            )
        return self._exit or ExitStatus(None)

    def kill_now(self) -> None:
        """SIGKILL the group and all known descendants, and reap; for the end of the interpreter. At most about 3 s.

        Does nothing in a fork of the process that started the server, and nothing after a finished :meth:`stop`.
        """
        if os.getpid() != self._owner or (self._stopped.happened and self._stop_error is None):
            return
        relatives = self._relatives()
        self._signal_group(signals.kill)
        process_tree.kill(relatives)
        if not self._ended.wait(2.0):
            _log.error("server process %d did not end within 2 s of SIGKILL", self.pid)
        # What was forked between the look and the kill carries the mark.
        process_tree.kill(self._relatives())
        self._pump.close(timeout=0.5)
        self._forget()

    def _watch_worker(self, thread: int) -> None:
        while not self._ended.wait(_WORKER_LOOK):
            # The threads of a process that ends go one by one: then its own end is the news.
            if not process_table.thread_lives(self.pid, thread) and not self._ended.wait(_KILL_PATIENCE):
                self._worker_gone = True
                _log.error("the execution thread of server process %d died without a word", self.pid)
                self._useless.fire()
                return

    def _take_output(self, chunk: bytes) -> None:
        before = self._log_tail.worker_died
        self._log_tail.feed(chunk)
        if self._log_tail.worker_died and not before:
            _log.error("the execution thread of server process %d died", self.pid)
            self._useless.fire()

    def _await_exit(self) -> None:
        status = _status_of(process_end.await_end(self.pid))
        # The dead leader keeps its id, and its group's, until it is reaped: the last moment to tell who belonged to it.
        try:
            self._survivors = process_tree.members(self.pid, self._token, leader_lives=True)
        except (psutil.Error, OSError):
            _log.exception("the relatives of server process %d could not be listed", self.pid)
        with self._lock:
            self._process.wait()
            self._reaped = True
        self._pump.close(timeout=2.0)
        self._exit = status
        _log.info("server process %d ended: %s", self.pid, status)
        self._ended.fire()
        self._useless.fire()

    def _stop(self, grace: float) -> None:
        try:
            # Looked up before too: a child of its own session loses its last tie when its parent ends.
            known = self._relatives()
            self._end_group(grace)
            leftovers = process_tree.end(known | self._relatives(), patience=_LEFTOVER_PATIENCE)
            # Whoever was forked meanwhile had a whole patience to be asked: it is not asked again.
            leftovers = process_tree.end([*leftovers, *self._relatives()], patience=0.0)
            if leftovers:
                _log.error("still alive after SIGKILL: pids %s", ", ".join(str(p.pid) for p in leftovers))
            self._pump.close(timeout=1.0)
            self._forget()
        except Exception as error:  # noqa: BLE001 - raised to those who wait in stop()
            _log.exception("stopping server process %d failed", self.pid)
            self._stop_error = error
        finally:
            self._stopped.fire()

    def _end_group(self, grace: float) -> None:
        deadline = time.monotonic() + max(0.0, grace)
        self._signal_group(signals.ask_to_end)
        if self._ended.wait(max(0.0, deadline - time.monotonic())):
            return
        _log.warning("server process %d did not end within %.1f s of SIGTERM: killing it", self.pid, grace)
        relatives = self._relatives()
        self._signal_group(signals.kill)
        process_tree.kill(relatives)
        if not self._ended.wait(_KILL_PATIENCE):
            raise ServerError(f"it did not end within {_KILL_PATIENCE:.0f} s of SIGKILL")

    def _relatives(self) -> set[psutil.Process]:
        with self._lock:
            reaped = self._reaped
        found = process_tree.members(self.pid, self._token, leader_lives=not reaped)
        return found | {p for p in self._survivors if process_tree.alive(p)}

    def _signal_group(self, send: Callable[..., None]) -> None:
        with self._lock:
            if self._reaped:
                return
            try:
                send(self.pid, group=True)
            except (ProcessLookupError, PermissionError) as error:
                _log.debug("group %d was not signalled: %s", self.pid, error)

    def _abandon(self) -> None:
        """Unwind a start that failed halfway."""
        self._signal_group(signals.kill)
        try:
            self._process.wait(_KILL_PATIENCE)
        except subprocess.TimeoutExpired:
            _log.exception("server process %d did not end after SIGKILL", self.pid)
        self._pump.close(timeout=0.5)
        self._forget()

    def _forget(self) -> None:
        if self._watchdog is not None:
            try:
                self._watchdog.forget_process(self.pid)
            except ServerStartError:
                # The process is gone: a watchdog that still knew it would find another start time at its pid.
                _log.exception("the watchdog does not know of the end of process %d", self.pid)


def _status_of(code: int | None) -> ExitStatus:
    if code is None or code >= 0:
        return ExitStatus(code)
    try:
        return ExitStatus(None, signal.Signals(-code).name)
    except ValueError:
        return ExitStatus(None, f"signal {-code}")


async def _happening(event: OneShot) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not future.done():
            future.set_result(None)

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(settle)
        except RuntimeError as error:
            # The loop was closed, so nobody waits in it any more.
            _log.debug("nobody waits any more: %s", error)

    remove = event.subscribe(wake)
    try:
        await future
    finally:
        remove()
