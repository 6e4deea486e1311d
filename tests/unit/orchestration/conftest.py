"""Fixtures for runs without a server."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from standins import COUNTS
from unit.orchestration.fake_worker import FakeWorker

from discomfort._system import shared_memory
from discomfort.connector.payloads import own_extra_data
from discomfort.context import folders
from discomfort.context.context import WorkflowContext
from discomfort.context.exchange import VARIABLE, ServerPlaces
from discomfort.orchestration.list_run import RunOrder
from discomfort.orchestration.orchestrator import ListRuns
from discomfort.orchestration.results import Results
from discomfort.orchestration.steps import listed
from discomfort.workflow.pass_by import BUILT_IN_RULES

Run = Callable[..., Awaitable[Results]]


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folders of contexts, in which the nodes find values, as in a server's environment."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.chdir(tmp_path)
    name = folders.user_folder()
    told = ServerPlaces(str(shared_memory.FOLDER / name), str(tmp_path / name), "0" * 32)
    monkeypatch.setenv(VARIABLE, told.as_text())
    COUNTS.clear()


@pytest.fixture
def worker(places: None) -> FakeWorker:
    return FakeWorker()


@pytest.fixture
def context(places: None) -> Iterator[WorkflowContext]:
    with WorkflowContext() as made:
        yield made


@pytest.fixture
def run(worker: FakeWorker) -> Run:
    return runner(worker)


def runner(worker: FakeWorker, warm_nodes: int = 300) -> Run:
    """``Discomfort.run`` on a fake worker."""
    runs = ListRuns(worker, warm_nodes)

    async def run(
        workflows: Any, inputs: Any = None, iterations: int = 1, use_ram: bool = True,
        context: WorkflowContext | None = None, *, on_progress: Any = None, timeout: float | None = None,
        extra_data: Any = None, rules: Any = None, allow_paid: Any = None, api_key: Any = None,
    ) -> Results:  # fmt: skip
        extra = own_extra_data(extra_data)
        order = RunOrder(listed(workflows), inputs or {}, iterations, use_ram, on_progress, timeout, extra)
        return await runs.perform(order, context, rules or BUILT_IN_RULES)

    return run
