"""What all tests need of the process that they run in, and what tests of several folders share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LONGEST = "test_mirrored_sweep.py"


def pytest_configure() -> None:
    """Give signals their usual meaning.

    A shell leaves SIGINT ignored in what it starts in the background, and nohup SIGHUP; the programs that tests start
    would inherit that, and people start theirs otherwise.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """The file that opens a ContractGate; it is opened at the end of the test whatever happened."""
    path = tmp_path / "open"
    yield path
    path.touch()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes longest first, so that no process is left with it at the end while the others have nothing."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.path.name == LONGEST:
        return 0
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    return {"matrix": 1, "faults": 2}.get(folder, 3)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Have each process run the tests of a file in a row, for the sake of its fixtures.

    The tests of the longest file are shared out one by one: it would take longer than all others together.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return nodeid if path.endswith(LONGEST) else path

    return Files(config, log)
