"""What a context leaves alone in its process: signals, logging, exit hooks; and what contexts share."""

from __future__ import annotations

import atexit
import json
import logging
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from discomfort import WorkflowContext
from discomfort.context.capacity import MemoryRoom
from discomfort.context.codecs import encode
from discomfort.context.storage import Storage

HANDLED = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def test_signal_handlers_stay() -> None:
    """D11: contexts replace no handler, neither while they live nor at their end."""
    before = [signal.getsignal(number) for number in HANDLED]
    contexts = [WorkflowContext() for _ in range(3)]
    during = [signal.getsignal(number) for number in HANDLED]
    for context in contexts:
        context.save("n", 1)
        context.shutdown()
    assert [signal.getsignal(number) for number in HANDLED] == during == before


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="only there it is known")
def test_exit_hooks_do_not_pile_up() -> None:
    """D11: there is one for the process, however many contexts it makes."""
    with WorkflowContext():
        before = atexit._ncallbacks()
        for _ in range(5):
            WorkflowContext().shutdown()
        assert atexit._ncallbacks() == before


def test_logging_is_the_programs(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """D34, D30: no handler, no level, no word on stderr; nothing to warn of when an id is used again."""
    names = ["", "discomfort", "discomfort.context"]
    before = [(list(logging.getLogger(name).handlers), logging.getLogger(name).level) for name in names]
    with caplog.at_level(logging.INFO):
        for value in (1, np.zeros(70_000)):
            with WorkflowContext(run_id="again") as context:
                context.save("x", value)
                context.load("x")
                context.export_data("x", "x.pkl", overwrite=True)
    found = [(list(logging.getLogger(name).handlers), logging.getLogger(name).level) for name in names[1:]]
    assert found == before[1:]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert capfd.readouterr() == ("", "")


def test_lock_is_not_in_the_way_of_the_end() -> None:
    """D30: the folder is gone after the end, with its lock, and is not there again because somebody looked."""
    with WorkflowContext(run_id="looked-at") as context:
        context.save("x", np.zeros(70_000), use_ram=False)
        home = Path((context.get_storage_info("x") or {})["path"]).parent
        assert (home / "receipts.json").exists()
    with pytest.raises(FileNotFoundError):
        WorkflowContext(run_id="looked-at", create=False)
    assert not home.exists()


def test_contexts_share_what_is_free(tmp_path: Path) -> None:
    """D36: what one has taken, the other does not count on, whatever its own limit."""
    root = tmp_path / "memory"
    root.mkdir()
    taken: list[int] = []

    def free() -> int:
        return (100 << 20) - sum(taken)

    room = MemoryRoom(1 << 40, root, lambda: 1 << 40, free)
    first = Storage.create(tmp_path / "disk" / "contexts", "first", room)
    second = Storage.create(tmp_path / "disk" / "contexts", "second", room)
    value = encode(np.zeros(2 << 20, np.float64))
    try:
        places = []
        for index in range(12):
            record = (first, second)[index % 2].write(value, use_ram=True)
            taken += [record.size] if record.storage == "ram" else []
            places.append(record.storage)
    finally:
        first.close()
        second.close()
    assert {"ram", "disk"} == set(places)
    assert places == sorted(places, reverse=True)
    assert sum(taken) <= 100 << 20


def test_index_is_documented(tmp_path: Path) -> None:
    """C6: it is called ``receipts.json``, and is JSON that a person can read, with its format."""
    with WorkflowContext() as context:
        context.save("seed", 42)
        context.save("x", np.zeros(70_000), use_ram=False)
        path = Path((context.get_storage_info("x") or {})["path"]).parent / "receipts.json"
        told = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(told, dict)
    assert "format" in told
    assert {"seed", "x"} <= set(json.dumps(told).replace('"', " ").split())
