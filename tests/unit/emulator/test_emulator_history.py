"""The records of finished prompts: order, limits, and failures of the disk."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from comfyui_emulator.execution import history
from comfyui_emulator.execution.history import HISTORY_LIMIT, RECENT_BYTES, RECENT_RECORDS, History
from comfyui_emulator.execution.queue import PromptQueue

COUNT = 5 * RECENT_RECORDS


@pytest.fixture(name="filled")
def _filled() -> Iterator[History]:
    with closing(History()) as made:
        fill(made)
        yield made


def fill(made: History, first: int = 0, last: int = COUNT) -> None:
    """Records by number."""
    for number in range(first, last):
        made.put(f"id {number}", f"[{number}]")


def names(made: History) -> list[str]:
    """All ids, oldest first."""
    return [name for name, _ in made.page(0, len(made))]


def numbered(first: int = 0, last: int = COUNT) -> list[str]:
    """Ids by number."""
    return [f"id {number}" for number in range(first, last)]


def test_records_come_back_wherever_they_are(filled: History) -> None:
    """Every record is found by its id, and all are listed in order of arrival."""
    assert 0 < filled.in_memory < 2 * RECENT_RECORDS < len(filled) == COUNT
    assert [filled.get(name) for name in numbered()] == [f"[{number}]" for number in range(COUNT)]
    assert filled.page(0, COUNT) == [(f"id {number}", f"[{number}]") for number in range(COUNT)]
    assert filled.get("unknown") is None


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (0, 0), (3, 900), (COUNT - RECENT_RECORDS, COUNT), (COUNT, COUNT + 5), (COUNT - 1, COUNT)],
)
def test_a_page_crosses_from_disk_to_memory(filled: History, start: int, end: int) -> None:
    """A page has the records of its positions, on disk or in memory."""
    assert [name for name, _ in filled.page(start, end)] == numbered()[start:end]


def test_an_id_that_is_there_keeps_its_place(filled: History) -> None:
    """A record under a known id replaces the former in place, on disk and in memory."""
    for number in (0, COUNT - 1):
        filled.put(f"id {number}", '"new"')
        assert filled.get(f"id {number}") == '"new"'

    assert names(filled) == numbered()
    assert len(filled) == COUNT


def test_records_are_deleted_on_both_sides(filled: History) -> None:
    """Deleted records are gone, unknown ids are not an error, and the rest keep their order."""
    for name in ("id 0", f"id {COUNT - 1}", "unknown", "id 0"):
        filled.delete(name)

    assert names(filled) == numbered()[1:-1]
    assert filled.get("id 0") is None
    assert len(filled) == COUNT - 2


def test_a_cleared_history_begins_anew(filled: History) -> None:
    """Nothing is left, in memory or on disk, and later records are kept as usual."""
    filled.clear()
    assert (len(filled), filled.in_memory, filled.page(0, 9), filled.get("id 0")) == (0, 0, [], None)

    fill(filled)
    assert names(filled) == numbered()


def test_the_oldest_records_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its limit the history drops the oldest, and never has more than a few hundred in memory."""
    assert HISTORY_LIMIT == 10_001
    monkeypatch.setattr(history, "HISTORY_LIMIT", 1000)
    most = 0
    with closing(History()) as made:
        for number in range(3000):
            fill(made, number, number + 1)
            most = max(most, made.in_memory)

        assert names(made) == numbered(2000, 3000)
    assert most <= 2 * RECENT_RECORDS


def test_large_records_do_not_stay_in_memory() -> None:
    """Memory is bounded in bytes, too."""
    with closing(History()) as made:
        large = [str(number) * (RECENT_BYTES // 4) for number in range(10)]
        for number, record in enumerate(large):
            made.put(str(number), record)

        assert made.in_memory < 8
        assert [record for _, record in made.page(0, 10)] == large


@pytest.mark.parametrize("name", ["", "a/b", "ö \0", "\ud800 half a character"])
def test_ids_are_any_text(name: str) -> None:
    """An id that a client chose is found again, even if it is not valid Unicode."""
    with closing(History()) as made:
        made.put(name, "[]")
        fill(made)

        assert made.get(name) == "[]"
        assert names(made) == [name, *numbered()]


def small(pages: int) -> Callable[[], sqlite3.Connection]:
    """A database on a disk that soon fills up."""

    def connect() -> sqlite3.Connection:
        made = history.connect()
        made.execute(f"PRAGMA max_page_count = {pages}")
        return made

    return connect


def test_a_full_disk_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Records that do not fit on the disk stay in memory, in order; one warning says why."""
    with closing(History(small(8))) as made, caplog.at_level(logging.WARNING):
        fill(made)

        assert names(made) == numbered()
        assert made.get("id 0") == "[0]"
    assert [record.message for record in caplog.records] == [
        "the history stays in memory, because no temporary database accepts it: database or disk is full"
    ]


def test_a_disk_that_is_full_later_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The part that is already on the disk stays readable."""
    with closing(History(small(40))) as made, caplog.at_level(logging.WARNING):
        for number in range(COUNT):
            made.put(f"id {number}", f"[{number}]" + " " * 200)

        assert RECENT_RECORDS < made.in_memory < COUNT
        assert names(made) == numbered()
    assert len(caplog.records) == 1


def unwritable() -> Any:
    """SQLite's error if no temporary folder is writable."""
    raise sqlite3.OperationalError("unable to open database file")


def test_without_a_temporary_folder_all_is_in_memory(caplog: pytest.LogCaptureFixture) -> None:
    """Without a folder the history stays in memory, with the usual limit."""
    with closing(History(unwritable)) as made, caplog.at_level(logging.WARNING):
        fill(made)

        assert made.in_memory == COUNT
        assert names(made) == numbered()
    assert "unable to open database file" in caplog.text


@pytest.mark.parametrize("use", ["get", "page", "put", "delete"])
def test_a_database_that_fails_is_left(use: str, caplog: pytest.LogCaptureFixture) -> None:
    """If the database fails later, only records that cannot be read are lost, and the newest never."""
    made: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        made.append(history.connect())
        return made[-1]

    with closing(History(connect)) as damaged, caplog.at_level(logging.WARNING):
        fill(damaged)
        made[0].execute("DROP TABLE records")
        kept = damaged.in_memory
        {
            "get": lambda: damaged.get("id 0"),
            "page": lambda: damaged.page(0, COUNT),
            "put": lambda: damaged.put("new", "[]"),
            "delete": lambda: damaged.delete("id 0"),
        }[use]()

        assert names(damaged) == [*numbered()[-kept:], *(["new"] if use == "put" else [])]
        fill(damaged, COUNT, 2 * COUNT)
        assert names(damaged)[-COUNT:] == numbered(COUNT, 2 * COUNT)
        assert damaged.in_memory < 2 * COUNT
    assert f"{COUNT - kept} records of the history are lost" in caplog.text


def test_a_database_that_takes_no_change_is_read_into_memory(caplog: pytest.LogCaptureFixture) -> None:
    """If only changes fail, every record is rescued, and the change is made."""
    made: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        made.append(history.connect())
        return made[-1]

    with closing(History(connect)) as stuck, caplog.at_level(logging.WARNING):
        fill(stuck)
        made[0].execute("PRAGMA query_only = ON")
        stuck.put("id 0", '"new"')

        assert stuck.in_memory == COUNT
        assert stuck.get("id 0") == '"new"'
        assert names(stuck) == numbered()
    assert "in memory again" in caplog.text


def test_a_damaged_file_gives_what_it_can(tmp_path: Path) -> None:
    """If the file is overwritten, the readable records and the newest are kept."""
    path = tmp_path / "spool.db"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None)

    with closing(History(connect)) as made:
        for number in range(COUNT):
            made.put(f"id {number}", f"[{number}]" + " " * 2000)
        kept = made.in_memory
        content = bytearray(path.read_bytes())
        content[8192:] = b"\xff" * (len(content) - 8192)
        path.write_bytes(content)
        for _ in range(2):
            found = names(made)

        assert found[-kept:] == numbered()[-kept:]
        assert len(made) == len(found)


def test_pages_of_the_queue_are_counted_as_in_comfyui(filled: History) -> None:
    """Limits and offsets, negative ones and those beyond the end."""
    import json

    queue = PromptQueue(lambda: None)
    queue.history.close()
    queue.history = filled

    def asked(limit: int | None, offset: int) -> list[str]:
        return list(json.loads(queue.pages(limit, offset)))

    assert asked(None, -1) == numbered()
    assert asked(3, -1) == numbered()[-3:]
    assert asked(2, 700) == numbered()[700:702]
    assert asked(None, COUNT - 2) == numbered()[-2:]
    assert asked(0, -1) == []
    assert asked(0, 4) == asked(-3, 4) == numbered()[4:5]
    assert asked(5, COUNT) == []
    assert asked(COUNT + 9, -1) == numbered()
