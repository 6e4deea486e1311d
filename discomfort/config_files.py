"""Configuration files: which one counts, and its JSON, in which comments and trailing commas are allowed."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from discomfort import _json
from discomfort.exceptions import ConfigurationError

CONTEXT_CONFIG_ENV = "DISCOMFORT_WORKFLOW_CONTEXT"
"""The environment variable that names the file of contexts."""
RULES_ENV = "DISCOMFORT_PASS_BY_RULES"
"""The one that names the file of pass-by rules."""
_MAX_BYTES = 1 << 20
_COMMENTS = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_COMMAS = re.compile(r'"(?:\\.|[^"\\\n])*"|,(?=\s*[}\]])')


def chosen_file(argument: str | os.PathLike[str] | None, variable: str, name: str) -> Path | None:
    """The file that counts: ``argument``, else the one that the environment variable names, else the first that exists
    of ``name`` in the working directory and in the folder of a cloned repository. ``None`` if there is none.
    """
    named = argument if argument is not None else os.environ.get(variable) or None
    if named is not None:
        return Path.cwd() / Path(named).expanduser()
    places = [Path.cwd(), *_clone()]
    return next((place / name for place in places if (place / name).is_file()), None)


def read_object(path: Path, key: str = "config_path") -> dict[str, Any]:
    """The JSON object in a file. Comments (``//`` and ``/* */``) and trailing commas are skipped.

    Raises FileNotFoundError, and ConfigurationError for ``key`` if it is not a file with such an object.
    """
    source = str(path)
    if not path.exists():
        raise FileNotFoundError(f"configuration file {path.absolute()} does not exist")
    if not path.is_file():
        raise ConfigurationError("is not a file", key=key, value=source)
    if path.stat().st_size > _MAX_BYTES:
        raise ConfigurationError("is larger than 1 MiB: not a configuration file", key=key, value=source)
    try:
        found = _parsed(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"is not JSON: {error}", key=key, value=source) from error
    if not isinstance(found, dict):
        raise ConfigurationError(f"must contain a JSON object, not a {type(found).__name__}", key=key, value=source)
    return found


def nearest_known(key: str, known: Iterable[str], *, prefix: str = "") -> str:
    """The end of a sentence about an unknown key: the nearest known one, or all of them."""
    names = list(known)
    match = difflib.get_close_matches(key.upper(), names, n=1, cutoff=0.5)
    return f"; the nearest known key is {prefix}{match[0]}" if match else f"; known keys are {', '.join(names)}"


def _parsed(data: bytes) -> Any:
    try:
        return _json.loads(data)
    except ValueError:
        return _json.loads(plain_json(data.decode()))


def plain_json(text: str) -> str:
    """JSON without comments and trailing commas; every other character keeps its line and column."""
    without = _COMMENTS.sub(lambda match: match[0] if match[0][0] == '"' else _blank(match[0]), text)
    return _COMMAS.sub(lambda match: match[0] if match[0][0] == '"' else " ", without)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _clone() -> list[Path]:
    """The root of the repository that this package lies in; empty for an installed package."""
    root = Path(__file__).parents[1]
    return [root] if (root / "pyproject.toml").is_file() and (root / "__init__.py").is_file() else []
