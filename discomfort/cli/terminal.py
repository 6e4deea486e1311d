"""Output of the commands: data to stdout, everything else to stderr; a closed stream does not end the program."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import traceback
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from rich.console import Console, RenderableType
from rich.text import Text

from discomfort._error_text import log_lines
from discomfort._json import JsonObject
from discomfort.exceptions import DiscomfortError, ExecutionError, SelfTestError, ServerDiedError

_log = logging.getLogger("discomfort.cli")

ENGINE_RECORD = "engine:"
"""How the connector's log line about the chosen engine begins; it is shown at every verbosity."""


class Terminal:
    """The two output streams of one command, at its verbosity.

    ``quiet`` leaves warnings and errors on stderr and nothing else; ``verbose`` 1 adds the log and tracebacks, 2 the
    debugging log. ``fancy`` is whether stderr takes moving bars and colours: a capable terminal, and no ``NO_COLOR``.
    """

    def __init__(self, *, quiet: bool = False, verbose: int = 0) -> None:
        make_streams_safe()
        self.quiet = quiet
        self.verbose = verbose
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self.fancy: bool = sys.stderr.isatty() and not plain
        self.out_is_terminal: bool = sys.stdout.isatty()
        colour: Literal["auto"] | None = None if plain else "auto"
        self.err: _Console = _Console(file=sys.stderr, color_system=colour, highlight=False, markup=False, emoji=False)
        self.out: _Console = _Console(file=sys.stdout, color_system=colour, highlight=False, markup=False, emoji=False)

    # --- stderr ------------------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """One line of information; nothing with ``--quiet``."""
        if not self.quiet:
            self._say(clean(text))

    def warn(self, text: str) -> None:
        """Something the user should know even with ``--quiet``."""
        self._say(Text.assemble(("warning: ", "bold yellow"), clean(text)))

    def fail(self, text: str) -> None:
        """One error message."""
        self._say(Text.assemble(("error: ", "bold red"), clean(text)))

    def explain(self, error: BaseException, *, about: str = "") -> None:
        """Report an error in one message; with ``-v`` with its traceback."""
        # A file's own error begins with its name already.
        prefix = f"{about}: " if about and not describe(error).startswith(about) else ""
        if not isinstance(error, (DiscomfortError, OSError)):
            hint = "" if self.verbose else "\nThis is unexpected. Run it again with -v to see the traceback."
            self.fail(f"{prefix}{type(error).__name__}: {error}{hint}")
        elif isinstance(error, ExecutionError) and error.traceback and not self.verbose:
            self.fail(f"{prefix}{error.problem}\nRun it again with -v to see the server's traceback.")
        else:
            self.fail(f"{prefix}{describe(error)}")
        if self.verbose:
            self._say(clean("".join(traceback.format_exception(error)).rstrip()))

    def _say(self, text: str | Text) -> None:
        with _stderr_may_be_gone():
            self.err.print(text, soft_wrap=True)

    # --- stdout ------------------------------------------------------------------------------------------------------

    def write(self, text: str) -> None:
        """Write data unchanged. A reader that has closed the pipe (``| head``) is not an error."""
        with _stdout_may_be_gone():
            sys.stdout.write(text)
            sys.stdout.flush()

    def write_json(self, value: object) -> None:
        """One JSON document, indented, ended by a newline. Not-a-number values are written as Python writes them."""
        self.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")

    def write_documents(self, documents: Sequence[JsonObject]) -> None:
        """The one JSON document, or a list of several."""
        self.write_json(documents[0] if len(documents) == 1 else list(documents))

    def show(self, renderable: RenderableType) -> None:
        """Show something formatted, on stdout."""
        with _stdout_may_be_gone():
            self.out.print(renderable)
            sys.stdout.flush()

    # --- the log -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def logging(self, hidden: str | None = None) -> Iterator[LogHandler]:
        """Show the library's log on stderr while the block runs: warnings, and more with ``-v``.

        What the logger ``hidden`` says is left out: the command shows it itself.
        """
        logger = logging.getLogger("discomfort")
        handler = LogHandler(self, hidden)
        level, propagate = logger.level, logger.propagate
        logger.setLevel(logging.DEBUG if self.verbose > 1 else logging.INFO)
        logger.propagate = False
        logger.addHandler(handler)
        try:
            yield handler
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


class _Console(Console):
    """A console that continues silently if its reader has closed the pipe; rich itself would end the program."""

    def on_broken_pipe(self) -> None:
        """Called by rich instead of raising ``BrokenPipeError``."""
        _silence(self.file)


class LogHandler(logging.Handler):
    """Log records as lines of the terminal; ``engine_announced`` is set once the engine's line was logged."""

    engine_announced: bool

    def __init__(self, terminal: Terminal, hidden: str | None = None) -> None:
        super().__init__()
        self._terminal, self._hidden = terminal, hidden
        self._threshold = {0: logging.WARNING, 1: logging.INFO}.get(terminal.verbose, logging.DEBUG)
        self.engine_announced = False

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record, if the verbosity includes it."""
        try:
            message = record.getMessage()
            if message.startswith(ENGINE_RECORD):
                self._show_engine(record, message)
            elif record.levelno >= self._threshold and record.name != self._hidden:
                self._show(record, message)
        except Exception:  # noqa: BLE001 - the logging module's own rule: report it there, never raise
            self.handleError(record)

    def _show_engine(self, record: logging.LogRecord, message: str) -> None:
        if not self.engine_announced:
            self.engine_announced = True
            show = self._terminal.warn if record.levelno >= logging.WARNING else self._terminal.note
            show(message)

    def _show(self, record: logging.LogRecord, message: str) -> None:
        if record.exc_info and self._terminal.verbose:
            message += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        elif record.exc_info and record.exc_info[1] is not None:
            message += f": {describe(record.exc_info[1])}"
        if record.levelno >= logging.WARNING:
            self._terminal.warn(message)
        else:
            self._terminal.note(f"{record.name}: {message}")


def describe(error: BaseException) -> str:
    """The error as one message: its text, else its type; for a file, its name and the problem."""
    if isinstance(error, OSError) and error.strerror and not isinstance(error, DiscomfortError):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, SelfTestError) and isinstance(death := error.__cause__, ServerDiedError):
        return f"{log_lines(death.log_tail)}{error}" + (f". {death.remedy}" if death.remedy else "")
    return str(error) or type(error).__name__


def clean(text: str) -> str:
    """``text`` without terminal control codes, since titles and server messages are not ours."""
    if text.isprintable():
        return text
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs") else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def make_streams_safe() -> None:
    """Make sure that stdout and stderr can be written to, whatever the process was started with. Idempotent."""
    # A closed descriptor (`2>&-`) leaves None there; characters that the encoding lacks would raise while writing.
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the life of the process
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            unicode = (stream.encoding or "").lower().replace("-", "") == "utf8"
            stream.reconfigure(errors="surrogateescape" if unicode and stream is sys.stdout else "backslashreplace")


@contextlib.contextmanager
def _stdout_may_be_gone() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _log.debug("the reader of stdout has closed it")
        _silence(sys.stdout)


@contextlib.contextmanager
def _stderr_may_be_gone() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _silence(sys.stderr)


def _silence(stream: IO[Any]) -> None:
    """Discard later writes, and the interpreter's last flush."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(descriptor, stream.fileno())
    finally:
        os.close(descriptor)
