"""Reads tables of numbers, which two nodes need, from the user's own ComfyUI.

These nodes are little more than tables, which are ComfyUI's work and are not copied here. If the emulator is configured
with an installation, it finds the literal in a source file there. The file is parsed, never imported and never run.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import Any

_MAX_BYTES = 8 * 1024 * 1024
"""Larger files are not parsed."""


class NeedsInstallationError(NotImplementedError):
    """Raised by a node whose numbers cannot be read from an installation of ComfyUI."""

    def __init__(self, class_type: str, reason: str) -> None:
        super().__init__(
            f"{class_type} needs a table of numbers, which the discomfort emulator reads from your own "
            f"ComfyUI: {reason}. Name the folder that contains ComfyUI's main.py: discomfort serve --comfyui PATH, "
            "COMFYUI_PATH, or EmulatorConfig(comfyui=...). Or run this prompt on a real ComfyUI."
        )


def literal(root: Path | None, file: str, name: str, class_type: str) -> Any:
    """The literal assigned to ``name`` in ``root/file``, either directly or as the argument of a call.

    Parsed once for each version of the file. Raises :class:`NeedsInstallationError`, which names ``class_type``.
    """
    if root is None:
        raise NeedsInstallationError(class_type, "no folder was named")
    path = next((found for found in (root / file, root / "ComfyUI" / file) if found.is_file()), root / file)
    try:
        state = path.stat()
        if state.st_size > _MAX_BYTES:
            raise NeedsInstallationError(class_type, f"{path} is too large to be that file")
        return _parsed(path, name, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise NeedsInstallationError(class_type, f"{path} cannot be read ({error.strerror})") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError, LookupError) as error:
        reason = f"{path} does not contain it in the form of ComfyUI 0.3.64 to 0.33.0"
        raise NeedsInstallationError(class_type, reason) from error


@functools.lru_cache(maxsize=8)
def _parsed(path: Path, name: str, _changed: int, _size: int) -> Any:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return ast.literal_eval(_plain(node.value))
    raise LookupError(name)


def _plain(value: ast.expr) -> ast.expr:
    """``value``, or if it is a call, the list that is its argument."""
    calls = (node for node in ast.walk(value) if isinstance(node, ast.Call))
    return next((arg for call in calls for arg in call.args[:1] if isinstance(arg, ast.List)), value)


def is_vector(value: object, length: int) -> bool:
    """Whether ``value`` is a list of that many finite numbers."""
    return (
        isinstance(value, list)
        and len(value) == length
        and all(isinstance(item, int | float) and abs(item) < float("inf") for item in value)
    )
