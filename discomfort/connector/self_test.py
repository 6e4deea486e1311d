"""The self-test: a small workflow through conversion, execution and result."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from discomfort._json import JsonObject
from discomfort.workflow.detect import parse_payload

SELF_TEST_TIMEOUT = 120.0
"""Seconds for the whole self-test: a cold GPU server may import for long before its first node runs."""


def self_test_payload(path: Path | None, *, browser: bool) -> JsonObject:
    """The configured test payload, else the bundled workflow: one small empty image, previewed, nothing saved.

    Without ``browser`` it is the bundled prompt of the same graph, so that a lazy browser is not started.
    Raises FileNotFoundError for a configured file that does not exist, PayloadError for one that is not a payload.
    """
    if path is not None:
        if not path.is_file():
            raise FileNotFoundError(f"TEST_PAYLOAD_FILE {path} does not exist")
        return parse_payload(path.read_bytes())
    name = "self_test.json" if browser else "self_test_prompt.json"
    return parse_payload(importlib.resources.files("discomfort").joinpath("resources", name).read_bytes())
