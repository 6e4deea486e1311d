"""Payloads: a workflow or prompt as an object, as text, or in a file."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from discomfort._json import JsonObject, copied
from discomfort._system.concurrency import to_thread
from discomfort.exceptions import PayloadError
from discomfort.workflow.detect import Kind, parse_payload, payload_from_file, unwrap
from discomfort.workflow.edited_workflow import EditedWorkflow
from discomfort.workflow.extra_data import check_extra_data

Payload = Mapping[str, Any] | str | os.PathLike[str]
"""A workflow or prompt: the object, JSON text, or the path of a JSON file or of a PNG that ComfyUI saved."""


def taken(payload: Payload) -> Payload:
    """The payload as it is now; an object is copied, since its owner may change it while a call waits.

    What an editor has set in it stays known. Raises PayloadError for an object that contains itself.
    """
    if isinstance(payload, EditedWorkflow):
        return payload.copy()
    return own_copy(payload) if isinstance(payload, Mapping) else payload


def own_copy(given: Mapping[str, Any]) -> JsonObject:
    """A copy of ``given``. Raises PayloadError for an object that contains itself."""
    try:
        copy: JsonObject = copied(given if isinstance(given, dict) else dict(given))
    except RecursionError:
        raise PayloadError("the payload contains itself, or is nested too deeply for JSON") from None
    return copy


def own_extra_data(given: Mapping[str, Any] | None) -> JsonObject:
    """A copy of a caller's extra data, as far as it is sent. Raises PayloadError for another shape."""
    return own_copy(check_extra_data(given))


async def load_payload(payload: Payload) -> tuple[Kind, JsonObject]:
    """The kind of a payload and its graph, from an object, JSON text, or a JSON or PNG file.

    An object comes from :func:`taken`. Files are read and parsed in a thread. Raises PayloadError, FileNotFoundError.
    """
    if isinstance(payload, Mapping):
        return unwrap(payload if isinstance(payload, dict) else dict(payload))
    return unwrap(await to_thread(read_object_of, payload))


def payload_name(payload: Payload) -> str:
    """The name of a payload's file; empty for an object or JSON text."""
    if isinstance(payload, Mapping) or (isinstance(payload, str) and _is_json(payload)):
        return ""
    return Path(payload).name


def read_object_of(payload: Payload) -> JsonObject:
    """The JSON object of a payload, whatever is in it: a copy of an object, or read from JSON text or a file.

    Raises PayloadError, FileNotFoundError.
    """
    if isinstance(payload, Mapping):
        return own_copy(payload)
    if isinstance(payload, str) and _is_json(payload):
        return parse_payload(payload)
    if isinstance(payload, (str, os.PathLike)):
        return _read_payload(Path(payload))
    raise PayloadError(f"a payload is an object, JSON text or a path, not {type(payload).__name__}")


def _is_json(text: str) -> bool:
    return text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[")


def _read_payload(path: Path) -> JsonObject:
    if "\0" in str(path) or not _is_file(path):
        raise FileNotFoundError(f"the payload is neither JSON text nor an existing file: {str(path)[:300]!r}")
    return payload_from_file(path.read_bytes())


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        # Some other text, such as a prompt's.
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False
