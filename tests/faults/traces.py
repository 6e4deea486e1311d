"""What a connector leaves on a machine: processes, files, ports, tasks, threads; all of it must go."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from waiting import has_ended

from discomfort import ComfyConnector

MARK = "CONTRACT_TRACE"
DEADLINE = 20.0
"""Seconds in which everything is gone; far more than it takes, so that a slow machine does not decide a test."""


class Trace:
    """Follows everything that is started while ``MARK`` has the value ``mark`` in the environment.

    A process counts if it carries the mark, or was seen below one that does; a file, if it lies in ``folder``, which
    is the temporary folder meanwhile.
    """

    earlier_threads: frozenset[threading.Thread] = frozenset()
    """Threads that are not waited for, since they are somebody else's."""

    def __init__(self, folder: Path, mark: str) -> None:
        self.folder, self.mark = folder, f"{MARK}={mark}".encode()
        self.ports: set[int] = set()
        self._seen: set[psutil.Process] = set()

    def record(self) -> set[psutil.Process]:
        """Note the processes that are there now, and return all that live."""
        for process in psutil.process_iter():
            if process.pid != psutil.Process().pid and self._is_marked(process):
                self._seen.add(process)
        for process in list(self._seen):
            try:
                self._seen.update(process.children(recursive=True))
            except psutil.Error:
                continue
        return {process for process in self._seen if not has_ended(process)}

    def _is_marked(self, process: psutil.Process) -> bool:
        try:
            return self.mark in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def note_port(self, address: str) -> None:
        """A server's address, whose port must be free in the end."""
        self.ports.add(int(address.rpartition(":")[2]))

    def left(self) -> list[str]:
        """What is still there, in words."""
        found = [f"process {process.pid} {_name(process)}" for process in self.record()]
        found += [f"file {path}" for path in self._files()]
        found += [f"port {port}" for port in sorted(self.ports) if _is_taken(port)]
        found += [f"thread {thread.name}" for thread in _threads(self.earlier_threads)]
        return found

    def _files(self) -> list[Path]:
        while True:
            try:
                return sorted(self.folder.rglob("*"))
            except FileNotFoundError:
                continue  # A folder vanished while it was listed: look again, it cannot vanish for ever.

    async def settle(self, seconds: float = DEADLINE) -> list[str]:
        """Wait until nothing is left; returns what stays after ``seconds``."""
        deadline = time.monotonic() + seconds
        while (found := self.left()) and time.monotonic() < deadline:  # noqa: ASYNC110 - processes send no events
            await asyncio.sleep(0.05)
        return found


T = TypeVar("T", bound=Trace)


@asynccontextmanager
async def nothing_left(kind: type[T], folder: Path, patch: pytest.MonkeyPatch) -> AsyncIterator[T]:
    """A trace of what the block starts; whatever is left at its end fails the test, and is then ended."""
    mark = uuid.uuid4().hex
    patch.setenv(MARK, mark)
    followed = kind(folder, mark)
    yield followed
    left = await followed.settle()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    instance = ComfyConnector.current()
    if instance is not None:
        instance.release_now()
    for process in followed.record():
        process.kill()
    assert left == []
    assert {task.get_name() for task in tasks if task.get_name().startswith("discomfort")} == set()
    assert instance is None


def _threads(earlier: frozenset[threading.Thread]) -> list[threading.Thread]:
    """The threads of connectors that do not end. A thread that has handed over its result has yet to return.

    The threads of the pool, discomfort_0 and so on, are the process's, as those of asyncio are.
    """
    ours = [thread for thread in set(threading.enumerate()) - earlier if thread.name.startswith("discomfort-")]
    for thread in ours:
        thread.join(1)
    return [thread for thread in ours if thread.is_alive()]


def _name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()[:6])
    except psutil.Error:
        return "?"


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            # Connections of the past linger for a while; a listener is what counts.
            with socket.socket() as caller:
                return caller.connect_ex(("127.0.0.1", port)) == 0
    return False
