"""The border of every command: its work becomes an exit code, and an error a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from discomfort.cli.exit_codes import FAILED, USAGE
from discomfort.cli.terminal import Terminal
from discomfort.exceptions import DiscomfortError


def guarded(work: Callable[[Terminal], int], **terminal: Any) -> None:
    """Run a command's work and exit with its code; an error before it began is the user's to fix: 2."""
    screen = Terminal(**terminal)
    try:
        code = work(screen)
    except KeyboardInterrupt:
        code = FAILED
    except (DiscomfortError, OSError, UnicodeError) as error:
        screen.explain(error)
        code = USAGE
    except Exception as error:  # noqa: BLE001 - the border of the program: a message, and the traceback with -v
        screen.explain(error)
        code = FAILED
    raise typer.Exit(code)
