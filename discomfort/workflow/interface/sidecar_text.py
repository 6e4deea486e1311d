"""Parses the text of a sidecar: YAML, JSON or TOML. Reading the file is the caller's."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from discomfort._json import JsonObject
from discomfort.exceptions import PayloadError
from discomfort.workflow.interface.plain_yaml import plain_yaml
from discomfort.workflow.json_values import describe


def parse_sidecar(text: str, suffix: str) -> JsonObject:
    """The object in the text of a sidecar; ``suffix`` is that of its file: ``.yaml``, ``.yml``, ``.json`` or ``.toml``.

    A text of comments alone is an object without keys. Raises PayloadError if it is empty or not such text, if a key
    occurs twice, or if PyYAML is missing.
    """
    text, kind = text.removeprefix("\ufeff"), suffix.lower()
    if not text.strip():
        raise PayloadError("the sidecar is empty: write inputs or outputs, or remove it")
    try:
        found = _parsed(text, kind)
    except RecursionError:
        raise PayloadError(f"the sidecar is not {kind.lstrip('.').upper()}: it is nested too deeply") from None
    except ValueError as error:
        if isinstance(error, PayloadError):
            raise
        raise PayloadError(f"the sidecar is not {kind.lstrip('.').upper()}: {error}") from error
    if not isinstance(found, dict):
        raise PayloadError(f"the sidecar is {describe(found)}: write an object with inputs and outputs")
    return {str(key): value for key, value in found.items()}


def _parsed(text: str, kind: str) -> Any:
    if kind == ".json":
        return json.loads(text, object_pairs_hook=_once)
    if kind == ".toml":
        return tomllib.loads(text)
    if kind in (".yaml", ".yml"):
        found = plain_yaml(text)
        return {} if found is None else found
    raise PayloadError(f"a sidecar ends with .yaml, .json or .toml, not {kind!r}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} occurs twice: keep one of them")
        found[key] = value
    return found
