"""What a program may give to ``Discomfort.run`` by mistake: each is an error that names it, before anything is sent."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest
from unit.orchestration.fake_worker import FakeWorker
from unit.orchestration.test_running_lists import ADD

from discomfort import Discomfort
from discomfort.exceptions import ConfigurationError, PortError


@pytest.fixture
def discomfort(worker: FakeWorker) -> Discomfort:
    """On a worker without a server."""
    worker._settings = type("Settings", (), {"warm_nodes": 300})()  # type: ignore[attr-defined]
    return Discomfort(worker)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("workflows", "error", "text"),
    [
        (b"{}", TypeError, "not bytes"),
        ({"a.json", "b.json"}, TypeError, "not set"),
        (frozenset(), TypeError, "not frozenset"),
        (io.StringIO("{}"), TypeError, "not StringIO"),
        ("a fox in the snow " * 300, FileNotFoundError, "neither JSON text nor an existing file"),
        ([ADD, b"{}"], TypeError, r"workflows\[1\]"),
        (object(), TypeError, "not object"),
    ],
)
async def test_workflows(
    discomfort: Discomfort, worker: FakeWorker, workflows: Any, error: type[Exception], text: str
) -> None:
    """A list has an order, and its items are paths, texts or objects."""
    with pytest.raises(error, match=text):
        await discomfort.run(workflows, {"a": 1})
    assert worker.sent == []


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"on_progress": 5}, TypeError, "on_progress"),
        ({"timeout": float("nan")}, ValueError, "timeout .* NaN"),
        ({"timeout": "1"}, TypeError, "timeout"),
        ({"context": {}}, TypeError, "context is a WorkflowContext"),
        ({"iterations": 1.0}, TypeError, "iterations"),
        ({"iterations": True}, TypeError, "iterations"),
        ({"iterations": 0}, ValueError, "iterations"),
        ({"inputs": [("a", 1)]}, TypeError, "inputs"),
        ({"inputs": {5: 1}}, TypeError, "unique_id"),
        ({"inputs": {" ": 1}}, ValueError, "unique_id"),
        ({"inputs": {"a": 1, " a": 2}}, ValueError, "'a' twice"),
        ({"extra_data": 5}, ValueError, "extra_data"),
    ],
)
async def test_arguments(
    discomfort: Discomfort, worker: FakeWorker, arguments: Mapping[str, Any], error: type[Exception], text: str
) -> None:
    """Each is named."""
    with pytest.raises(error, match=text):
        await discomfort.run(ADD, **{"inputs": {"a": 1}, **arguments})
    assert worker.sent == []


@pytest.mark.parametrize("rules", [5, {5: "val"}, {"INT": None}, {"INT": "value"}])
async def test_rules(discomfort: Discomfort, worker: FakeWorker, rules: Any) -> None:
    """A program may replace them; the error names the one that is wrong."""
    discomfort.Tools.pass_by_rules = rules
    with pytest.raises(ConfigurationError, match="pass_by_rules|INT"):
        await discomfort.run(ADD, {"a": 1})
    assert worker.sent == []


async def test_endless_numbers(discomfort: Discomfort, worker: FakeWorker) -> None:
    """Python itself refuses to write them as text."""
    with pytest.raises(PortError, match="takes INT, given a number"):
        await discomfort.run(ADD, {"a": 1 << 20_000})
    assert worker.sent == []
