"""The ``discomfort`` command: ``run``, ``convert``, ``explain``, ``doctor``, ``snapshot``, ``conformance``, ``serve``.

Importing this module costs nothing: ``discomfort serve`` is what a connector starts as its emulator, and its boot time
counts, so that command goes to the emulator before anything else is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from discomfort.cli.exit_codes import FAILED, OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's own) and return its exit code: 0, 1 or 2.

    Never raises for anything that a user can cause; Ctrl-C before a run has begun is exit code 1.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["serve"]:
            from comfyui_emulator import main as serve

            return serve(arguments[1:])
        from discomfort.cli.app import invoke

        return invoke(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else OK
    except KeyboardInterrupt:
        return FAILED


__all__ = ["main"]
