"""What all tests need of the process that they run in, and what tests of several folders share."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

LONGEST = "test_mirrored_sweep.py"
BUSIEST = "browser"
"""The folder of tests that use all of a processor; most others wait for processes most of the time."""
BETWEEN = 3
"""Files of others between two of that folder."""


def pytest_configure() -> None:
    """Give signals their usual meaning, and property tests the time that they take.

    A shell leaves SIGINT ignored in what it starts in the background, and nohup SIGHUP; the programs that tests start
    would inherit that, and people start theirs otherwise.
    """
    # How long an example takes says more about the machine than about the code.
    settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")
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
    """Order the files for several processes that share few processors.

    The longest comes first: one process then has it, and the others take everything else. The busiest are spread, so
    that they are not all at work at once.
    """
    files = [list(group) for _, group in itertools.groupby(items, key=lambda item: item.path)]
    longest = [file for file in files if file[0].path.name == LONGEST]
    others = [file for file in files if file not in longest and file[0].path.parent.name != BUSIEST]
    busiest = iter([file for file in files if file not in longest and file not in others])
    ordered = list(longest)
    for number, file in enumerate(others):
        if number % BETWEEN == 0:
            ordered += itertools.islice(busiest, 1)
        ordered.append(file)
    items[:] = itertools.chain(*ordered, *busiest)
