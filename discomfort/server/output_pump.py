"""The thread that empties a server's output pipe."""

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
"""How long the rest is read after the server's end: a relative of it may hold the pipe open, and go on writing."""


class Pump:
    """Reads ``process.stdout`` until its end, or until :meth:`close`, and gives every chunk to ``sink``.

    Not the end of the pipe but the end of the server ends it: a process that inherited the pipe cannot hold it up.
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
        """Begin to read. Raises RuntimeError when no thread can be started."""
        self._thread.start()

    def close(self, timeout: float) -> None:
        """Read what is there already, end the thread, close the pipe; waits at most ``timeout`` seconds for that."""
        with self._lock:
            if not self._closed:
                self._closed = True
                # A byte, since the end of the pipe is not seen while a forked child has a copy of our end.
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
            # A reader that is gone would let the server block on a full pipe: closing it lets the server notice.
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
