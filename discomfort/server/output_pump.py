"""The thread that reads a server's output pipe."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import subprocess
import threading
import time
from collections.abc import Callable

_log = logging.getLogger("discomfort.server")

_CHUNK = 1 << 16
_FINAL_SECONDS = 0.5
"""Seconds to read the rest after the server's end: a child of it may hold the pipe open and keep writing."""


class Pump:
    """Reads ``process.stdout`` until its end, or until :meth:`close`, and passes every chunk to ``sink``.

    It stops when the server ends, not only when the pipe does: a process that inherited the pipe cannot delay it.
    """

    def __init__(self, process: subprocess.Popen[bytes], sink: Callable[[bytes], None]) -> None:
        if process.stdout is None:
            raise AssertionError("spawn() gives every server an output pipe")
        self._stream = process.stdout
        self._sink = sink
        self._lock = threading.Lock()
        self._closed = False
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"discomfort-log-{process.pid}", daemon=True)

    def start(self) -> None:
        """Begin to read. Raises RuntimeError if no thread can be started."""
        self._thread.start()

    def close(self, timeout: float) -> None:
        """Read the remaining output, end the thread, close the pipe; waits for ``timeout`` seconds at most."""
        with self._lock:
            if not self._closed:
                self._closed = True
                # Write a byte: closing our end is not enough while a forked child has a copy of it.
                with contextlib.suppress(BrokenPipeError):
                    os.write(self._wake_write, b"x")
                os.close(self._wake_write)
            started = self._thread.ident is not None
            if not started and not self._stream.closed:
                self._release()
        if started:
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._read_until_told()
        except Exception:  # noqa: BLE001 - a thread has nobody to raise to; it is logged
            # Without a reader the server would block on a full pipe; closing the pipe makes its writes fail instead.
            _log.exception("reading the server's output failed")
        finally:
            self._release()

    def _release(self) -> None:
        self._stream.close()
        os.close(self._wake_read)

    def _read_until_told(self) -> None:
        out, wake = self._stream.fileno(), self._wake_read
        os.set_blocking(out, False)
        poll = select.poll()
        poll.register(out, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if wake in ready:
                self._read_rest(out)
                return
            if not self._read_once(out):
                return

    def _read_rest(self, out: int) -> None:
        deadline = time.monotonic() + _FINAL_SECONDS
        while time.monotonic() < deadline:
            try:
                chunk = os.read(out, _CHUNK)
            except BlockingIOError:
                return
            if not chunk:
                return
            self._sink(chunk)

    def _read_once(self, out: int) -> bool:
        try:
            chunk = os.read(out, _CHUNK)
        except BlockingIOError:
            return True
        if chunk:
            self._sink(chunk)
        return bool(chunk)
