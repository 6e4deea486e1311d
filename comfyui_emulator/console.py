"""The form of log lines, which is ComfyUI's (0.23 and newer): a level in brackets, coloured also outside a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

LEVELS = ("DEBUG", "DETAIL", "INFO", "WARNING", "ERROR", "CRITICAL")
"""The levels that ``--verbose`` takes, the most talkative first (``DETAIL`` since ComfyUI 0.30)."""

_DETAIL = 15
_COLORS = {
    "DEBUG": "\033[36m",
    "DETAIL": "\033[34m",
    "INFO": "\033[32m",
    "WARNING": "\033[33m",
    "ERROR": "\033[31m",
    "CRITICAL": "\033[35m",
}
_BOLD, _RESET = "\033[1m", "\033[0m"

GREEN = {"color": _COLORS["INFO"]}
"""For ``extra`` of a log call: the whole line is green."""

log = logging.getLogger("comfyui_emulator")


class ConsoleFormatter(logging.Formatter):
    """Lines such as ``[INFO] text``, the level in its colour, and bold from WARNING on."""

    def format(self, record: logging.LogRecord) -> str:
        """The line without its end."""
        bold = _BOLD if record.levelno >= logging.WARNING else ""
        level = f"{bold}{_COLORS.get(record.levelname, '')}[{record.levelname}]{_RESET} "
        text, color = super().format(record), getattr(record, "color", "")
        return level + (f"{color}{text}{_RESET}" if color else text)


def _number(level: str) -> int:
    return _DETAIL if level == "DETAIL" else int(getattr(logging, level))


def start_logging(level: str, files: Sequence[tuple[str, Path]] = (), *, use_stdout: bool = False) -> None:
    """Write log lines of ``level`` and above to stderr, and to each of ``files`` from its own level on.

    With ``use_stdout``, only errors go to stderr. Does nothing if the program has set up its logging already.
    """
    root = logging.getLogger()
    if root.handlers:
        return
    logging.addLevelName(_DETAIL, "DETAIL")
    root.setLevel(min(_number(name) for name in (level, *(wanted for wanted, _ in files))))
    root.addHandler(_stream(sys.stderr, level, lambda record: record.levelno >= logging.ERROR or not use_stdout))
    if use_stdout:
        root.addHandler(_stream(sys.stdout, level, lambda record: record.levelno < logging.ERROR))
    for wanted, path in files:
        try:
            handler = logging.FileHandler(path.absolute(), encoding="utf-8")
        except OSError as error:
            log.warning("Could not open %s log %s: %s", wanted, path.absolute(), error)
            continue
        handler.setLevel(_number(wanted))
        handler.setFormatter(logging.Formatter("[%(asctime)s] [%(levelname)s] %(message)s"))
        root.addHandler(handler)
        log.info("%s log: %s", wanted.title(), path.absolute())


def _stream(stream: TextIO, level: str, passes: Callable[[logging.LogRecord], bool]) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    handler.setLevel(_number(level))
    handler.setFormatter(ConsoleFormatter("%(message)s"))
    handler.addFilter(passes)
    return handler
