"""What a caller may give as a payload, and what is said about anything else."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from discomfort import ComfyConnector
from discomfort.config import load_settings
from discomfort.connector.payloads import load_payload, taken
from discomfort.exceptions import PayloadError

PROMPT: dict[str, Any] = {"1": {"class_type": "EmptyImage", "inputs": {}}}


async def test_every_form_of_a_prompt(tmp_path: Path) -> None:
    """The object, a mapping that is not a dict, text, a path as text or as Path."""
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
    with pytest.raises(FileNotFoundError, match="neither JSON text nor an existing file"):
        await load_payload(payload)


def test_payload_is_taken_as_it_is_now() -> None:
    """A copy at every depth, whatever kind of mapping it is; text and paths are what they are."""
    given: dict[str, Any] = {"1": {"class_type": "A", "inputs": {"x": [1, {"y": 2}]}}}
    for payload in (given, MappingProxyType(given)):
        copy = taken(payload)
        assert copy == given
        assert copy["1"]["inputs"]["x"][1] is not given["1"]["inputs"]["x"][1]
    assert taken("a.json") == "a.json"


def test_payload_that_contains_itself() -> None:
    """JSON cannot hold it, and that is said before anything waits."""
    given: dict[str, Any] = {}
    given["1"] = given
    with pytest.raises(PayloadError, match="contains itself"):
        taken(given)


async def test_what_contains_itself_is_no_payload() -> None:
    """Neither as a prompt nor as extra data, whatever kind of mapping it is; nothing is started for it."""
    loop: dict[str, Any] = {"a": []}
    loop["a"].append(loop)
    connector = ComfyConnector(load_settings(engine="emulator"))
    calls = [
        connector.run_workflow(loop, False),
        connector.run_workflow(PROMPT, False, extra_data=loop),
        connector.run_workflow(PROMPT, False, extra_data=MappingProxyType(loop)),
        connector._execute_prompt_and_wait(loop),
    ]
    for call in calls:
        with pytest.raises(PayloadError, match="contains itself"):
            await call
    assert connector.state == "uninit"
