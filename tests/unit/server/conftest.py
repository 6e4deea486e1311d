"""Real child processes, and what cleans up after them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unit.server.children import CHILD

from discomfort._system.server_command import ServerCommand
from discomfort.server.supervisor import Supervisor
from discomfort.server.watchdog import Watchdog


@pytest.fixture
def child(tmp_path: Path) -> Callable[..., ServerCommand]:
    """Make the command of a child with the given switches."""
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    return lambda *switches: ServerCommand((sys.executable, "-I", "-S", str(script), *map(str, switches)), tmp_path)


@pytest.fixture
def start(child: Callable[..., ServerCommand]) -> Iterator[Callable[..., Supervisor]]:
    """Start a child under a supervisor; what still runs at the end is killed."""
    started: list[Supervisor] = []

    def begin(*switches: object, watchdog: Watchdog | None = None) -> Supervisor:
        supervisor = Supervisor.start(child(*switches), watchdog=watchdog)
        started.append(supervisor)
        return supervisor

    yield begin
    for supervisor in started:
        supervisor.kill_now()


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    """A watchdog, closed at the end."""
    dog = Watchdog.start()
    yield dog
    dog.close()
