"""What a program may do to ``Discomfort.run`` by mistake: each is an error that names it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest
from unit.orchestration.conftest import Run
from unit.orchestration.fake_worker import FakeWorker, picture
from unit.orchestration.test_running_lists import ADD, INVERT

from discomfort import Discomfort, WorkflowContext
from discomfort.config import Settings
from discomfort.exceptions import ConfigurationError, PortError, StateError


@pytest.fixture
def discomfort(worker: FakeWorker) -> Discomfort:
    """On a worker without a server."""
    worker._settings = Settings()  # type: ignore[attr-defined]
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
        ({"timeout": -1}, ValueError, "timeout is a number of seconds from 0 on, not -1"),
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


async def test_context_that_ends_meanwhile(run: Run, worker: FakeWorker) -> None:
    """In another process, so that nobody tells: the error says that, not that files are gone."""
    context = WorkflowContext()

    async def end(_: Any) -> None:
        context._storage._index.forget()
        raise FileNotFoundError(2, "No such file or directory", "value")

    worker.before = end
    with pytest.raises(StateError, match="was shut down") as caught:
        await run(INVERT, {"test_input": picture()}, context=context)
    assert isinstance(caught.value.__context__, FileNotFoundError)


async def test_errors_of_the_system(run: Run, worker: FakeWorker) -> None:
    """They say once where they arose."""

    async def fail(_: Any) -> None:
        raise OSError(28, "No space left on device")

    worker.before = fail
    with pytest.raises(OSError, match="No space left") as caught:
        await run(ADD, {"a": 1})
    assert caught.value.__notes__ == ["in workflows[0], iteration 1"]
