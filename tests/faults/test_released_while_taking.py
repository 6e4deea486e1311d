"""release_now() in one thread, in the middle of what another one takes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from contract.engines import EngineUnderTest
from faults.traces import Trace

from discomfort.config import load_settings
from discomfort.connector import resources
from discomfort.connector.resources import Resources
from discomfort.exceptions import StateError

PLACES: dict[str, tuple[Any, str, Callable[[Resources], object]]] = {
    "watchdog": (resources.Watchdog, "start", Resources.prepare),
    "recovery": (resources.Journal, "recover", Resources.prepare),
    "browser's folder": (resources, "private_directory", Resources.prepare),
    "engine": (resources, "resolve_engine", Resources.prepare),
    "files": (resources, "FileStore", Resources.prepare),
    "port": (resources, "lease_port", Resources.take_port),
    "converter": (resources, "Converter", Resources.get_converter),
    "server": (resources.Supervisor, "start", Resources._launch_server),
}


def kill_within(patch: pytest.MonkeyPatch, owner: Any, name: str, parts: Resources) -> list[threading.Thread]:
    """When ``name`` was called, and before its caller has what it returns, another thread kills ``parts``."""
    killers: list[threading.Thread] = []
    original: Callable[..., Any] = getattr(owner, name)

    def taken(*args: Any, **options: Any) -> Any:
        part = original(*args, **options)
        killers.append(threading.Thread(target=parts.kill_now))
        killers[0].start()
        # One that does not wait for us gets the time to come through: then it has missed the part.
        killers[0].join(0.3)
        return part

    patch.setattr(owner, name, taken)
    return killers


@pytest.mark.parametrize("place", PLACES)
async def test_release_within_a_taking(
    place: str, emulator: EngineUnderTest, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken in that moment is given back, and the one who took it learns why."""
    owner, name, take = PLACES[place]
    # A private folder instead of the emulator's given one: a thing more that can be left.
    settings = {key: value for key, value in emulator.settings.items() if key != "emulator_directory"}
    parts = Resources(load_settings(None, **settings))
    if take is not Resources.prepare:
        parts.prepare()
    with monkeypatch.context() as patch:
        killers = kill_within(patch, owner, name, parts)
        with pytest.raises(StateError):
            take(parts)
    assert len(killers) == 1
    killers[0].join()
    held = (parts.watchdog, parts.journal, parts.engine, parts.files, parts.lease, parts.supervisor, parts.converter)
    assert held == (None,) * len(held)
    assert await trace.settle() == []
    assert list(resources.journal_directory().glob("*.jsonl*")) == []
