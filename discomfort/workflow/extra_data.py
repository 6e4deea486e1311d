"""Checks the extra data of a prompt: what ComfyUI accepts, and what fails later in it or its clients. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from discomfort._json import JsonObject
from discomfort.exceptions import PayloadError
from discomfort.workflow.json_values import describe


def check_extra_data(extra_data: Mapping[str, Any] | None) -> JsonObject:
    """The extra data to send, in a new object that shares its values. Raises PayloadError.

    A ``client_id`` is left out: one that is not text would end ComfyUI's process. ``extra_pnginfo`` and its
    ``workflow`` must be objects, and are left out if they are null: since 0.6.0 the list of jobs, which the frontend
    shows, answers 500 to everybody as long as it contains a prompt where they are anything else.
    """
    if extra_data is None:
        return {}
    kept = _object(extra_data, "extra_data")
    kept.pop("client_id", None)
    if kept.get("extra_pnginfo") is None:
        kept.pop("extra_pnginfo", None)
        return kept
    saved = _object(kept["extra_pnginfo"], "extra_data['extra_pnginfo']")
    if saved.get("workflow") is None:
        saved.pop("workflow", None)
    else:
        _object(saved["workflow"], "extra_data['extra_pnginfo']['workflow']")
    return {**kept, "extra_pnginfo": saved}


def _object(value: object, name: str) -> JsonObject:
    if not isinstance(value, Mapping):
        raise PayloadError(f"{name} must be an object, found {describe(value)}")
    return dict(value)
