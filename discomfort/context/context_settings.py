"""Settings of contexts: the file ``workflow_context.json``, and the argument ``max_ram_gb``.

The file is the one that ``config_path`` names, else ``$DISCOMFORT_WORKFLOW_CONTEXT``, else ``workflow_context.json`` in
the working directory, else the one in a cloned repository. It is a JSON object, which may have comments, with any of
these keys:

===================== ============ =====================================================================================
key                   default      meaning
===================== ============ =====================================================================================
``MAX_RAM_PERCENT``   not set      most memory for the values of one context, in percent of what is available then
``MAX_RAM_GB``        2            the same in 10⁹ bytes; does not count if a percentage is set
``CONTEXTS_DIR_NAME`` ``contexts`` name of the folder on disk, in the user's part of the temporary folder
``TENSORS``           ``auto``     what stored tensors become: ``torch``, ``numpy``, or torch's where it can be imported
===================== ============ =====================================================================================
"""

from __future__ import annotations

import logging
import math
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from discomfort._system import memory
from discomfort.config_files import CONTEXT_CONFIG_ENV, chosen_file, nearest_known, read_object
from discomfort.exceptions import ConfigurationError

_log = logging.getLogger("discomfort.context")

FILENAME = "workflow_context.json"
_KEYS = ("MAX_RAM_PERCENT", "MAX_RAM_GB", "CONTEXTS_DIR_NAME", "TENSORS")
_BUILT_IN_GB = 2.0
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """The settings of one context. ``source`` is the file that they are from, if there is one."""

    max_ram_percent: float | None = None
    max_ram_gb: float | None = None
    contexts_dir_name: str = "contexts"
    tensors: Literal["auto", "torch", "numpy"] = "auto"
    source: Path | None = None

    def ram_limit(self, argument: float | None = None) -> int:
        """The most bytes of memory that a context may use: ``argument`` in 10⁹ bytes, else percent, else fixed size.

        A percentage that is not above 0 and at most 100 is logged, and does not count. Raises ConfigurationError.
        """
        if argument is not None:
            return _bytes_of(argument, "max_ram_gb", "argument")
        if self.max_ram_percent is not None:
            if 0 < self.max_ram_percent <= 100:
                return int(memory.available() * self.max_ram_percent / 100)
            _log.warning(
                "MAX_RAM_PERCENT=%s (from %s) is not between 0 and 100; the fixed size counts instead",
                self.max_ram_percent,
                self.source,
            )
        return _bytes_of(_BUILT_IN_GB if self.max_ram_gb is None else self.max_ram_gb, "MAX_RAM_GB", str(self.source))


def load_context_settings(config_path: str | os.PathLike[str] | None = None) -> ContextSettings:
    """Read the settings.

    Raises:
        FileNotFoundError: the named file does not exist.
        ConfigurationError: it is not a JSON object, a key is unknown (the nearest known one is named), or a value is
            wrong; key, value and file are named.
    """
    path = chosen_file(config_path, CONTEXT_CONFIG_ENV, FILENAME)
    if path is None:
        _log.debug("no %s: contexts have the built-in settings", FILENAME)
        return ContextSettings()
    _log.info("contexts are configured by %s", path)
    values: dict[str, Any] = {}
    for key, value in read_object(path).items():
        if key.upper() not in _KEYS:
            raise ConfigurationError(f"unknown key{nearest_known(key, _KEYS)}", key=key, value=value, source=str(path))
        if value is not None:
            values[key.lower()] = _checked(key.upper(), value, str(path))
    return ContextSettings(**values, source=path)


def settings_look() -> tuple[object, ...]:
    """What decides the settings and folders of a context without arguments: equal as long as they are the same."""
    path = chosen_file(None, CONTEXT_CONFIG_ENV, FILENAME)
    try:
        status = None if path is None else path.stat()
    except OSError:
        status = None
    facts = () if status is None else (status.st_ino, status.st_size, status.st_mtime_ns)
    return (tempfile.gettempdir(), path, *facts)


def check_run_id(run_id: object) -> str:
    """The id of a context, which is part of a path. Raises ValueError, TypeError."""
    if not isinstance(run_id, str):
        raise TypeError(f"run_id must be a text, not {type(run_id).__name__}")
    if not _NAME.fullmatch(run_id):
        raise ValueError(
            f"run_id {run_id[:80]!r} is not a name: 1 to 64 letters, digits and any of '._-', not a dot first"
        )
    return run_id


def _checked(key: str, value: object, source: str) -> object:
    if key == "CONTEXTS_DIR_NAME":
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise ConfigurationError(
                "must be a plain name of letters, digits and any of '._-'", key=key, value=value, source=source
            )
    elif key == "TENSORS":
        if value not in ("auto", "torch", "numpy"):
            raise ConfigurationError("must be 'auto', 'torch' or 'numpy'", key=key, value=value, source=source)
    elif key == "MAX_RAM_GB":
        _bytes_of(value, key, source)
    else:
        _check_number(value, key, source)
    return value


def _check_number(value: object, key: str, source: str | None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigurationError("must be a number", key=key, value=value, source=source)
    return value


def _bytes_of(value: object, key: str, source: str | None) -> int:
    number = _check_number(value, key, source)
    if not 0 <= number <= 1e9:
        raise ConfigurationError("must be a number of gigabytes, 0 or more", key=key, value=value, source=source)
    return int(number * 1e9)
