"""What all tests need of the process that they run in, and what tests of several folders share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
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


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Say which tests one of several processes runs in a row, and put the longest file first.

    The tests of a folder with a shared server stay together: it is released after the last of them. So do those of any
    other file, for the sake of its fixtures. The marks come before pytest-xdist reads them, the order after all others.
    """
    for item in items:
        folder = item.path.parent.name
        is_shared = folder in {"contract", "matrix"} and item.path.name != LONGEST
        item.add_marker(pytest.mark.xdist_group(folder if is_shared else item.path.relative_to(TESTS).as_posix()))
    yield
    items.sort(key=lambda item: item.path.name != LONGEST)
