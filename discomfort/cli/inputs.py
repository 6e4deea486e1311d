"""Inputs that the command line names, read and checked before a server is started for them."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from discomfort._json import JsonObject
from discomfort.exceptions import ConfigurationError, DiscomfortError, PayloadError
from discomfort.redaction import split_credentials
from discomfort.workflow.detect import Kind, payload_from_file, unwrap

STDIN = "-"
_MAX_FILE = 256 * 1024 * 1024
"""Largest file in bytes in which a workflow is searched: a picture may be large, a video is a mistake."""
# RFC 9110, 5.6.2: a field name is a token; 5.5: a value holds no control characters.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class UsageError(DiscomfortError, ValueError):
    """The command line asks for something that cannot be done; exit code 2."""


@dataclass(frozen=True, slots=True)
class Source:
    """One WORKFLOW argument: its name as given, its kind and graph; or the error why it cannot be read."""

    name: str
    kind: Kind = "workflow"
    payload: JsonObject = field(default_factory=dict, repr=False)
    error: Exception | None = None

    @property
    def label(self) -> str:
        """A short name for progress displays."""
        return "stdin" if self.name == STDIN else Path(self.name).name


def read_sources(names: Sequence[str]) -> list[Source]:
    """Read every WORKFLOW argument, in order; one that cannot be read has its ``error``."""
    sources = []
    for index, name in enumerate(names):
        try:
            if name == STDIN and STDIN in names[:index]:
                raise UsageError("standard input can be read only once")
            sources.append(read_source(name))
        except (DiscomfortError, OSError) as error:
            sources.append(Source(name, error=error))
    return sources


def read_source(name: str) -> Source:
    """Read a workflow or prompt from a JSON file, from a PNG that contains one, or from standard input (``-``).

    Raises OSError if it cannot be read, PayloadError if it contains neither.
    """
    if name == STDIN:
        data = sys.stdin.buffer.read(_MAX_FILE + 1)
    else:
        with Path(name).open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        raise PayloadError(
            f"larger than {_MAX_FILE // 1024**2} MiB: neither a workflow nor a picture that contains one"
        )
    kind, payload = unwrap(payload_from_file(data))
    return Source(name, kind, payload)


def read_headers(texts: Sequence[str]) -> Mapping[str, str]:
    """The ``--header`` options: ``Name: value``, or ``@FILE`` with one per line. No error ever shows a value."""
    lines: list[str] = []
    for text in texts:
        if text.startswith("@"):
            lines += [line for line in Path(text[1:]).read_text("utf-8").splitlines() if line.strip()]
        else:
            lines.append(text)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _HEADER_NAME.fullmatch(name.strip()) or _CONTROL.search(value):
            raise UsageError("--header: expected 'Name: value' (the given text is not shown, since it may be a secret)")
        headers[name.strip()] = value.strip()
    return headers


def read_pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` texts by name. Raises UsageError for one without a name, or for a name that is given twice."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name or not value:
            raise UsageError(f"{option} {text!r}: expected NAME=VALUE; NAME is the unique_id of a port")
        if name in found:
            raise UsageError(f"{option} {name}: given twice")
        found[name] = value
    return found


def check_timeout(seconds: float | None) -> float | None:
    """A number of seconds above zero, or none. Raises UsageError."""
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"--timeout {seconds:g}: must be more than 0 seconds")
    return seconds


def check_target(
    engine: str | None, attach: str | None, headers: Sequence[str] = (), proxy: str | None = None
) -> str | None:
    """The requested ``engine`` setting (``None``: as configured). Raises UsageError for a contradiction."""
    if headers and attach is None:
        raise UsageError("--header needs --attach, or URLs for --pool: a server started here needs no headers")
    if proxy is not None and attach is None:
        raise UsageError("--proxy needs --attach, or URLs for --pool: a server started here is on this machine")
    if attach is not None and engine is not None:
        raise UsageError(
            f"--engine {engine} starts a server, --attach or a URL of --pool uses a running one: give only one of them"
        )
    return None if engine is None else str(engine)


def check_url(url: str) -> str:
    """A server's address as given, of http or https and with a host. Raises UsageError; no credential is shown."""
    scheme, separator, rest = url.partition("://")
    shown = split_credentials(rest if separator else url)[0]
    try:
        parts = urlsplit(shown)
        is_good = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_good = False
    if not is_good or (separator and scheme not in ("http", "https")):
        named = f"{scheme}{separator}" * bool(separator) + shown.partition("://")[2]
        raise UsageError(f"{named!r} is not a server's address, such as http://127.0.0.1:8188")
    return url


def check_files(paths: Sequence[Path]) -> None:
    """Check that every ``--input`` is readable, and that no two have the same name. Raises OSError or UsageError."""
    names: dict[str, Path] = {}
    for path in paths:
        with path.open("rb"):
            pass
        if names.setdefault(path.name, path).absolute() != path.absolute():
            raise UsageError(f"--input {path}: another --input has the same file name, {names[path.name]}")


def check_directory(directory: Path) -> None:
    """Check that the folder is writable, or can be created, before anything is started. Raises ConfigurationError."""
    existing = directory.absolute()
    while not existing.exists() and existing.parent != existing:
        existing = existing.parent
    if not existing.is_dir():
        raise ConfigurationError("is not a folder", key="--output", value=str(existing))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigurationError("the folder is not writable", key="--output", value=str(existing))
