"""A sweep that is killed at any moment ends with each result once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from discomfort._system import locks
from discomfort.exceptions import SweepError
from discomfort.sweeps.row_journal import RowJournal
from discomfort.sweeps.sweep_folder import SweepFolder

TESTS = Path(__file__).parents[2]
EXPECTED = [
    ".sweep", ".sweep/journal.jsonl", ".sweep/lock", "results.csv", "results.jsonl",
    *(f"seed={seed}{number}.png" for seed in range(2) for number in ("", "_2")),
]  # fmt: skip


@pytest.mark.skipif(not locks.AVAILABLE, reason="needs fork and SIGKILL")
def test_killed_at_every_step(tmp_path: Path) -> None:
    """Every file that is opened, made, linked, renamed or removed: after it, only what was running is made again."""
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("crash_program.py")), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(told) > 30, "there are fewer steps than rows have"
    for each in told:
        assert each["killed"] == (0 if each is told[-1] else -9), each
        assert each["again"] == 0, each
        assert sorted(each["files"]) == sorted(EXPECTED), each
        twice = [seed for seed, count in Counter(each["calls"]).items() if count > 1]
        assert set(each["calls"]) == {"0", "1"}
        assert max(Counter(each["calls"]).values()) <= 2
        # Only the one that was under way.
        assert twice in ([], each["before"][-1:]), each


def test_journal_that_was_cut_anywhere(tmp_path: Path) -> None:
    """The lines that are complete count, and the next record begins a line of its own."""
    whole = tmp_path / "whole"
    journal = RowJournal(whole)
    for number in range(3):
        journal.append({"key": f"k{number}", "text": "é\n\u2028"})
    journal.close()
    data = whole.read_bytes()
    ends = [index + 1 for index, byte in enumerate(data) if byte == 10]

    for length in range(len(data) + 1):
        cut = tmp_path / "cut"
        cut.write_bytes(data[:length])
        journal = RowJournal(cut)
        complete = max(0, sum(end <= length for end in ends) - 1)
        assert list(journal.records) == [f"k{number}" for number in range(complete)]
        journal.append({"key": "new"})
        journal.close()
        again = RowJournal(cut)
        assert list(again.records) == [*(f"k{number}" for number in range(complete)), "new"]
        again.close()


def test_line_that_cannot_be_read_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The others count."""
    (tmp_path / "j").write_bytes(b'{"key": "a"}\n\xff\n[]\n{"key": "b"}\n')
    journal = RowJournal(tmp_path / "j")
    journal.close()
    assert list(journal.records) == ["a", "b"]
    assert "lines 2, 3 cannot be read" in caplog.text


def test_a_journal_of_garbage_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file of thousands of wrong lines does not fill the log."""
    (tmp_path / "j").write_bytes(b"wrong\n" * 5000)
    journal = RowJournal(tmp_path / "j")
    journal.close()
    assert len(caplog.records) == 1
    assert "lines 1, 2, 3, 4, 5, and 4995 more cannot be read" in caplog.text


@pytest.mark.parametrize(
    "files",
    [
        5, None, [5], [{}], [{"file": 5}], [{"file": "../a.png"}], [{"file": "/etc/passwd"}], [{"file": ""}],
        [{"file": "a.png", "staged": 5}],
    ],
)  # fmt: skip
def test_record_whose_files_are_none(tmp_path: Path, files: object) -> None:
    """Its row is done again; it does not count as done without files, and a name that leaves the folder is not used."""
    folder = SweepFolder.open(tmp_path)
    folder.close()
    journal = tmp_path / ".sweep" / "journal.jsonl"
    record = {"key": "a", "status": "done", "name": "a", "files": files}
    with journal.open("a") as stream:
        stream.write(json.dumps(record) + "\n" + json.dumps({"key": "b", "status": "done", "name": "b"}) + "\n")

    folder = SweepFolder.open(tmp_path)

    assert folder.done("a") is folder.done("b") is None
    assert folder.names_taken(()) == []
    folder.close()


def test_journal_that_is_no_file(tmp_path: Path) -> None:
    """A pipe is refused, and not waited for."""
    os.mkfifo(tmp_path / "j")
    with pytest.raises(OSError, match="is not a file"):
        RowJournal(tmp_path / "j")


def test_journal_of_a_newer_version(tmp_path: Path) -> None:
    """It is refused, since its records may mean something else."""
    (tmp_path / "j").write_text('{"journal": "discomfort sweep", "version": 2}\n')
    with pytest.raises(SweepError, match="newer version"):
        RowJournal(tmp_path / "j")
