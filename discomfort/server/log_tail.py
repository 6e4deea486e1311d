"""The last lines of a server's output, whatever bytes it writes."""

from __future__ import annotations

import re
import threading
from collections import deque

_MAX_LINES = 500
_MAX_LINE_CHARS = 2000
# Raw bytes kept of a line: UTF-8 needs up to four per character, escape codes some more.
_MAX_LINE_BYTES = 4 * _MAX_LINE_CHARS + 1000
# CSI and OSC sequences, then any other two-character escape (ECMA-48).
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-_]?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")
# Python's threading.excepthook writes this when ComfyUI's execution thread ends by an exception. The server then still
# answers HTTP but executes nothing any more (measured on ComfyUI 0.3.64 and 0.33.0).
_WORKER_DIED = re.compile(r"Exception in thread [^\r\n]*\(prompt_worker\)")


class LogTail:
    """The last 500 lines, written by one thread and read by any.

    Lines are kept raw and cleaned when read, so that a flood of output costs little.
    """

    worker_died: bool

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: deque[bytes] = deque(maxlen=_MAX_LINES)
        self._partial = b""
        self.worker_died = False

    def feed(self, chunk: bytes) -> None:
        """Process the next bytes, which may end anywhere in a line."""
        with self._lock:
            *lines, partial = (self._partial + chunk).split(b"\n")
            for line in lines:
                self._note_death(line)
            self._lines.extend(_last_state(line) for line in lines[-_MAX_LINES:])
            self._note_death(partial)
            self._partial = _last_state(partial)

    def tail(self, count: int) -> tuple[str, ...]:
        """The last ``count`` lines that are not blank, including an unfinished one, without escape codes."""
        with self._lock:
            raw = [*self._lines, self._partial]
        lines: list[str] = []
        for line in reversed(raw):
            if len(lines) >= count:
                break
            text = _clean(line)
            if text:
                lines.append(text)
        return tuple(reversed(lines))

    def _note_death(self, line: bytes) -> None:
        if not self.worker_died and b"prompt_worker" in line and says_worker_died(line.decode("utf-8", "replace")):
            self.worker_died = True


def says_worker_died(text: str) -> bool:
    """Whether a server's log says that its execution thread ended by an exception."""
    return bool(_WORKER_DIED.search(without_escapes(text)))


def without_escapes(text: str) -> str:
    """``text`` without colours and other escape codes, which ComfyUI writes since 0.23, also into pipes."""
    return _ANSI.sub("", text)


def _last_state(line: bytes) -> bytes:
    # A progress bar rewrites its line after each carriage return, so only the last version counts. A return at the very
    # end is kept, since the next bytes overwrite the line.
    body = line.rstrip(b"\r")
    state = body[body.rfind(b"\r") + 1 :][:_MAX_LINE_BYTES]
    return state + b"\r" if len(body) < len(line) else state


def _clean(line: bytes) -> str:
    text = without_escapes(line.decode("utf-8", "replace"))
    return _CONTROL.sub("", text).rstrip()[:_MAX_LINE_CHARS]
