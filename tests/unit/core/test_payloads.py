"""What a caller may give as a payload, and what is said about anything else."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from discomfort.connector.payloads import load_payload
from discomfort.exceptions import PayloadError

PROMPT: dict[str, Any] = {"1": {"class_type": "EmptyImage", "inputs": {}}}


async def test_every_form_of_a_prompt(tmp_path: Path) -> None:
    """The object, a mapping that is no dict, text, a path as text or as Path."""
    path = tmp_path / "prompt.json"
    path.write_text(json.dumps(PROMPT))
    for payload in (PROMPT, MappingProxyType(PROMPT), f"\ufeff {json.dumps(PROMPT)}", str(path), path):
        assert await load_payload(payload) == ("prompt", PROMPT)


@pytest.mark.parametrize("payload", [3, None, b"{}", ["a"]])
async def test_what_is_no_payload(payload: Any) -> None:
    """The kind that was given is named."""
    with pytest.raises(PayloadError, match=type(payload).__name__):
        await load_payload(payload)


@pytest.mark.parametrize("payload", ["nowhere.json", "a\0b", "/"])
async def test_files_that_are_not_there(payload: str) -> None:
    """The path is named, and that it was taken for one."""
    with pytest.raises(FileNotFoundError, match="no payload file"):
        await load_payload(payload)
