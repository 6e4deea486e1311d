"""What all tests need of the process that they run in, and what tests of several folders share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

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
    """Put the longest file first: one of several processes then has it, and the others take everything else."""
    items.sort(key=lambda item: item.path.name != LONGEST)
