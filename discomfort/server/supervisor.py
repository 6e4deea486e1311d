"""One running server process, from its start until nothing is left of it."""

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
"""Seconds that a process may take to end after SIGKILL; one that takes longer is stuck in the kernel."""
_WORKER_LOOK = 1.0
"""Seconds between two looks at the execution thread."""
_LEFTOVER_PATIENCE = 1.0
"""Seconds between SIGTERM and SIGKILL for processes that outlived the server itself."""


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended: its exit code, or the name of the signal that ended it; both ``None`` if unknown."""

    code: int | None
    signal: str | None = None

    def __str__(self) -> str:
        if self.signal is not None:
            return f"killed by {self.signal}"
        return "ended with unknown status" if self.code is None else f"exit code {self.code}"


class Supervisor:
    """A running server and its process group; made by :meth:`start`.

    Usable from any thread and any number of event loops. Two daemon threads serve it: one reads its output, so that
    the server never blocks on a full pipe, the other waits for its end.
    """

    def __init__(self, command: ServerCommand, process: subprocess.Popen[bytes], token: str, watchdog: Watchdog | None):
        self.command = command
        self.pid: int = process.pid
        self.start_time: float = 0.0
        self._process = process
        self._token = token
        self._watchdog = watchdog
        self._owner = os.getpid()
        self._log_tail = LogTail()
        self._exit: ExitStatus | None = None
        self._ended = OneShot()
        self._unusable = OneShot()
        self._stopped = OneShot()
        self._stop_error: Exception | None = None
        self._worker_gone = self._worker_watched = self._killed_by_us = False
        # Guards the pid: while it is held, the process is not reaped, so neither its pid nor its group id is reused.
        self._lock = threading.Lock()
        self._reaped = False
        self._stopping: threading.Thread | None = None
        self._survivors: set[psutil.Process] = set()
        self._pump = Pump(process, self._take_output)

    @classmethod
    def start(cls, command: ServerCommand, *, watchdog: Watchdog | None = None) -> Supervisor:
        """Start ``command`` and own it; with a ``watchdog`` it also ends if our process is killed.

        Raises ServerStartError if the system cannot start it; nothing is left then. Blocks for milliseconds.
        """
        token = secrets.token_hex(16)
        process = spawn(replace(command, env=process_tree.marked_environment(command.env, token)))
        supervisor = cls(command, process, token, watchdog)
        try:
            supervisor.start_time = psutil.Process(process.pid).create_time()
            # Registered first of all: from the spawn until here, a kill -9 of ours would leave the server running.
            if watchdog is not None:
                watchdog.watch_process(process.pid, supervisor.start_time, group=True, token=token)
            supervisor._pump.start()
            threading.Thread(target=supervisor._await_exit, name=f"discomfort-wait-{process.pid}", daemon=True).start()
        except BaseException as error:
            # Nobody else knows this process: without a supervisor it would run until the machine is restarted.
            supervisor._abandon()
            if isinstance(error, psutil.Error | RuntimeError | OSError):
                raise ServerStartError(f"the server was started but cannot be watched: {error}") from error
            raise
        _log.info("server process %d started in %s", process.pid, command.cwd)
        return supervisor

    def __repr__(self) -> str:
        state = str(self._exit) if self._exit else "running, worker died" if self.worker_died else "running"
        return f"<Supervisor pid={self.pid} {state}>"

    @property
    def running(self) -> bool:
        """Whether the process lives; see :attr:`worker_died` for a server that lives but executes nothing."""
        return self._exit is None

    @property
    def exit(self) -> ExitStatus | None:
        """How the process ended, ``None`` while it runs. Its last output is in :meth:`log_tail` by then."""
        return self._exit

    @property
    def worker_died(self) -> bool:
        """Whether the server's execution thread ended: it answers HTTP, but executes nothing.

        Known from the server's own output, or from the end of the thread that :meth:`learn_worker` found.
        """
        return self._worker_gone or self._log_tail.worker_died

    @property
    def token(self) -> str:
        """The random mark in the environment of this server and of everything that it starts."""
        return self._token

    def log_tail(self, count: int = 40) -> tuple[str, ...]:
        """The last ``count`` lines of output (of at most 500 kept, 2,000 characters each), without escape codes.

        A progress bar that rewrites its line counts as one line with its last state.
        """
        return self._log_tail.tail(count)

    @contextlib.contextmanager
    def learn_worker(self) -> Iterator[None]:
        """Wraps the execution of one prompt on an idle server: finds the thread that does it, and watches it.

        If no thread can be identified with certainty, none is watched.
        """
        before = process_table.thread_work(self.pid)
        yield
        thread = execution_thread(self.pid, before, process_table.thread_work(self.pid))
        if thread is None:
            _log.debug("the execution thread of server process %d could not be identified", self.pid)
        elif not self._worker_watched:
            self._worker_watched = True
            name = f"discomfort-worker-{self.pid}"
            threading.Thread(target=self._watch_worker, args=(thread,), name=name, daemon=True).start()

    def on_exit(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` once when the process ends or its execution thread dies, whichever comes first.

        It is called from one of our threads; at once, and in this thread, if that has happened already. Its errors are
        logged. Returns a function that unsubscribes the callback.
        """
        return self._unusable.subscribe(callback)

    async def wait(self) -> ExitStatus:
        """Wait until the process has ended. Any number of tasks in any loop may wait; cancelling one is harmless."""
        await _happening(self._ended)
        return self._exit or ExitStatus(None)

    async def stop(self, grace: float = 10.0) -> ExitStatus:
        """End the server and everything that it started: SIGTERM to its group, ``grace`` seconds, SIGKILL, reap.

        Then processes that left the group are ended too, and the output pipe is closed. Concurrent and later calls
        share one stop (with the first one's ``grace``). If the caller is cancelled, it continues in the background.
        Takes ``grace`` plus about 8 s at most.

        Raises:
            StateError: in a forked child, which does not own the server.
            ServerError: the process did not end even after SIGKILL.
        """
        if os.getpid() != self._owner:
            raise StateError("a forked child cannot stop the server of its parent process")
        # In a thread of its own, which outlives a cancelled caller and an event loop that is closed meanwhile.
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

        Does nothing in a forked child or after a completed :meth:`stop`.
        """
        if os.getpid() != self._owner or (self._stopped.happened and self._stop_error is None):
            return
        self._killed_by_us = True
        # Before the kill: children in sessions of their own can be found by their parent only while that lives.
        relatives = self._relatives()
        self._signal_group(signals.kill)
        process_tree.kill(relatives)
        if not self._ended.wait(2.0):
            _log.error("server process %d did not end within 2 s of SIGKILL", self.pid)
        # Processes that were forked between the look and the kill are found by their mark.
        process_tree.kill(self._relatives())
        self._pump.close(timeout=0.5)
        self._forget()

    def _watch_worker(self, thread: int) -> None:
        while not self._ended.wait(_WORKER_LOOK):
            # The threads of a dying process end one by one. If the process follows, its exit is what to report.
            if not process_table.thread_lives(self.pid, thread) and not self._ended.wait(_KILL_PATIENCE):
                self._worker_gone = True
                _log.error("the execution thread of server process %d died without a traceback", self.pid)
                self._unusable.fire()
                return

    def _take_output(self, chunk: bytes) -> None:
        before = self._log_tail.worker_died
        self._log_tail.feed(chunk)
        if self._log_tail.worker_died and not before:
            _log.error("the execution thread of server process %d died", self.pid)
            self._unusable.fire()

    def _await_exit(self) -> None:
        status = _status_of(process_end.await_end(self.pid))
        # Until it is reaped, the dead process keeps its pid and group id: this is the last moment at which the members
        # of its group can be identified.
        try:
            self._survivors = process_tree.members(self.pid, self._token, leader_lives=True)
        except (psutil.Error, OSError):
            _log.exception("the processes started by server process %d could not be listed", self.pid)
        with self._lock:
            # Reaps at once, since the process is a zombie by now. From here on its pid may belong to another process.
            self._process.wait()
            self._reaped = True
        # Before the exit is published, so that the log tail of every error has the server's last lines. Bounded: a
        # process that the server left behind may keep the pipe open.
        self._pump.close(timeout=2.0)
        # In this order: a callback must find the exit status that it asks for.
        self._exit = status
        # An end that we cause ourselves needs no warning.
        _log.log(logging.DEBUG if self._killed_by_us else logging.INFO, "server process %d ended: %s", self.pid, status)
        self._ended.fire()
        self._unusable.fire()

    def _stop(self, grace: float) -> None:
        try:
            # Looked up before the end as well: a child in a session of its own cannot be found by its parent any more
            # once that has ended.
            known = self._relatives()
            self._end_group(grace)
            leftovers = process_tree.end(known | self._relatives(), patience=_LEFTOVER_PATIENCE)
            # Processes that were forked meanwhile are killed at once, since the time to end by themselves is over.
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
        """Undo a start that failed halfway."""
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
                # Harmless: the process is gone, and a reused pid has another start time.
                _log.exception("the watchdog could not be informed of the end of process %d", self.pid)


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
            # The loop was closed, so no task waits in it.
            _log.debug("the event loop of a waiting task was closed: %s", error)

    remove = event.subscribe(wake)
    try:
        await future
    finally:
        remove()
