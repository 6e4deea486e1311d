"""Owners of journals: several journals of one process, forked children, and a recovery that meets a live owner."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from discomfort._system.locks import try_lock
from discomfort.exceptions import StateError
from discomfort.files import FileStore, Journal, JournalEntry
from discomfort.files import journal as journal_module
from discomfort.files import store as store_module
from discomfort.files.journal_entries import read_entries

DEAD = "4194304999-dead.1.jsonl"  # beyond the largest process id of Linux

TWO_JOURNALS = """
import signal, sys
from pathlib import Path
from discomfort.files import FileStore, Journal
journals = []
for name in ("a", "b"):
    journals.append(Journal(Path(sys.argv[2])))
    FileStore({"input": Path(sys.argv[1])}, journals[-1]).put_content(b"x", name, is_ephemeral=True)
print("put", flush=True)
while True:
    signal.pause()
"""

FORKED = """
import os, signal, sys
from pathlib import Path
from discomfort.files import FileStore, Journal
store = FileStore({"input": Path(sys.argv[1])}, Journal(Path(sys.argv[2])))
store.put_content(b"x", "a", is_ephemeral=True)
if os.fork() == 0:
    print(os.getpid(), flush=True)
while True:
    signal.pause()
"""

FORKED_UNDER_LOCK = """
import os, signal, sys, threading, warnings
from pathlib import Path
from discomfort.exceptions import StateError
from discomfort.files import FileStore, Journal
warnings.simplefilter("ignore")
journal = Journal(Path(sys.argv[2]))
store = FileStore({"input": Path(sys.argv[1])}, journal)
path = store.put_content(b"x", "a", is_ephemeral=True)
held, forked = threading.Event(), threading.Event()

def hold():
    with journal._lock:
        held.set()
        forked.wait()

thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(60)  # ends a child that waits for a thread that it does not have
    try:
        listed = [entry.path for entry in journal.entries]
        nothing = store.close()
        journal.drop(Path(path))
    except StateError:
        journal.close()
        os._exit(7 if listed == [Path(path)] and nothing == [] else 8)
    finally:
        os._exit(9)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
forked.set()
thread.join()
print(code, Path(path).exists(), journal.path.exists(), flush=True)
store.close()
journal.close()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that uploads go to."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@contextmanager
def running(script: str, folder: Path, journal: Journal) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that runs the script, with the first line that it printed; killed at the end."""
    command = [sys.executable, "-c", script, str(folder), str(journal.directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def entry_of(folder: Path, name: str) -> JournalEntry:
    """The entry of a file that is made for it."""
    path = folder / name
    path.write_bytes(b"content")
    status = path.stat()
    return JournalEntry("file", folder, path, status.st_ino, status.st_size, status.st_mtime_ns)


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock of a file."""
    with path.open("rb") as file:
        return not try_lock(file.fileno(), shared=True)


def test_two_journals_of_one_process(journal: Journal, folder: Path) -> None:
    """Each has a file of its own: closing the one leaves the other's file, its lock and what it lists."""
    other = Journal(journal.directory)
    kept = entry_of(folder, "kept")
    for each in (journal, other):
        each.add(entry_of(folder, "gone"))
        each.drop(folder / "gone")
    other.add(kept)
    journal.close()

    assert list(journal.directory.glob("*.jsonl")) == [other.path]
    assert is_locked(other.path)
    with other.path.open("rb") as file:
        assert list(read_entries(other.path, file.fileno())) == [kept]
    other.drop(kept.path)
    other.close()
    assert not other.path.exists()


def test_two_journals_of_a_killed_process(journal: Journal, folder: Path) -> None:
    """While it lives both are left alone; after SIGKILL what either lists is deleted, and both files go."""
    with running(TWO_JOURNALS, folder, journal) as (process, told):
        assert told == "put"
        assert len(list(journal.directory.glob("*.jsonl"))) == 2
        assert all(map(is_locked, journal.directory.glob("*.jsonl")))
        assert journal.recover() == []
        process.kill()
        process.wait()

    assert sorted(journal.recover()) == [folder / "a", folder / "b"]
    assert not list(journal.directory.glob("*.jsonl"))


def test_a_forked_child_does_not_keep_the_lock(journal: Journal, folder: Path) -> None:
    """The child lives on after its parent's SIGKILL: what the parent listed is deleted all the same."""
    with running(FORKED, folder, journal) as (parent, told):
        child = psutil.Process(int(told))
        try:
            assert journal.recover() == []
            assert list(map(is_locked, journal.directory.glob("*.jsonl"))) == [True]
            parent.send_signal(signal.SIGKILL)
            parent.wait()

            assert journal.recover() == [folder / "a"]
            assert child.is_running()
        finally:
            child.kill()
    assert not list(journal.directory.glob("*.jsonl"))


def test_a_child_forked_while_a_thread_writes(journal: Journal, folder: Path) -> None:
    """The thread that holds the journal is not in the child: there every call ends, and changes nothing on disk."""
    with running(FORKED_UNDER_LOCK, folder, journal) as (process, told):
        assert told == "7 True True"
        assert process.wait() == 0
    assert list(folder.iterdir()) == []
    assert not list(journal.directory.glob("*.jsonl"))


def test_a_journal_written_anew_in_that_instant(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner, whom we do not see, replaces it between our opening and our lock: its new file counts, not the old."""
    owner = Journal(journal.directory)
    owner._path = journal.directory / DEAD
    dropped, kept = entry_of(folder, "dropped"), entry_of(folder, "kept")
    for entry in (dropped, kept):
        owner.add(entry)
    tries = []

    def compact_first(fd: int, *, shared: bool = False) -> bool:
        monkeypatch.undo()
        owner.drop(dropped.path)
        owner._compact()
        tries.append(try_lock(fd, shared=shared))
        return tries[0]

    monkeypatch.setattr(journal_module, "try_lock", compact_first)
    assert journal.recover() == []
    assert tries == [True]
    assert dropped.path.exists()
    assert kept.path.exists()
    assert is_locked(owner.path)

    owner.close()
    assert journal.recover() == [kept.path]
    assert dropped.path.exists()


def test_what_is_dropped_after_the_end(journal: Journal, folder: Path) -> None:
    """A closed journal whose last entry is dropped leaves no file; while others are listed the file stays."""
    entries = [entry_of(folder, name) for name in ("a", "b")]
    for entry in entries:
        journal.add(entry)
    journal.close()
    assert journal.path.exists()

    journal.drop(entries[0].path)
    assert journal.path.exists()
    journal.drop(entries[1].path)
    assert not journal.path.exists()


@pytest.mark.parametrize("subfolder", [None, "made/deep"])
@pytest.mark.parametrize("step", ["stat_in", "copy_contents"])
def test_a_store_closed_while_it_copies(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str, subfolder: str | None
) -> None:
    """Whatever the copy lists after the store looked for entries goes with it: no file, no folder, no journal."""
    store = FileStore({"input": folder}, journal)
    real, publish = getattr(store_module, step), store_module._publish

    def close_first(*arguments: object) -> object:
        monkeypatch.setattr(store_module, step, real)  # What was deleted under the copy has it begin again.
        store.close()
        return real(*arguments)

    def close_journal(*arguments: object) -> None:
        publish(*arguments)  # type: ignore[arg-type]
        journal.close()

    monkeypatch.setattr(store_module, step, close_first)
    monkeypatch.setattr(store_module, "_publish", close_journal)
    with pytest.raises(StateError, match="shut down"):
        store.put_content(b"late", "a", subfolder=subfolder, is_ephemeral=True)

    assert list(folder.iterdir()) == []
    assert journal.entries == ()
    assert not journal.path.exists()
