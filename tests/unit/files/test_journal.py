"""What a dead process left is found and deleted, and nothing else is."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discomfort._system import process_table
from discomfort._system.locks import FileLock, try_lock
from discomfort.files import FileStore, Journal, JournalEntry
from discomfort.files import journal as journal_module
from discomfort.files.journal_entries import read_entries, remove_entry

DEAD = "4194304999-dead.1.jsonl"  # beyond the largest process id of Linux

CHILD = """
import sys
from pathlib import Path
from discomfort.files import FileStore, Journal
store = FileStore({"input": Path(sys.argv[1])}, Journal(Path(sys.argv[2])))
store.put(sys.argv[3], subfolder="made", is_ephemeral=True)
(Path(sys.argv[1]) / ".discomfort-00000000000000000000000000000000.part").touch()
print("put", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that uploads go to."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal of this process."""
    journal = Journal(tmp_path / "journal")
    yield journal
    journal.close()


def _file(folder: Path, name: str = "a.png") -> JournalEntry:
    path = folder / name
    path.write_bytes(b"content")
    status = path.stat()
    return JournalEntry("file", folder, path, status.st_ino, status.st_size, status.st_mtime_ns)


def _line(entry: JournalEntry, **changes: Any) -> str:
    record = {
        "op": "add",
        "kind": entry.kind,
        "root": str(entry.root),
        "path": str(entry.path),
        "inode": entry.inode,
        "size": entry.size,
        "mtime_ns": entry.mtime_ns,
    }
    return json.dumps(record | changes) + "\n"


def _left_behind(journal: Journal, *lines: str, name: str = DEAD) -> Path:
    journal.directory.mkdir(exist_ok=True, mode=0o700)
    path = journal.directory / name
    path.write_text("".join(lines), "utf-8", errors="surrogateescape")
    path.chmod(0o600)
    return path


def test_entries_are_on_disk_while_they_last(journal: Journal, folder: Path) -> None:
    """Nothing exists before the first entry; the file goes with the last."""
    assert not journal.directory.exists()

    entry = _file(folder)
    journal.add(entry)
    assert journal.entries == (entry,)
    assert journal.find(entry.path) == entry
    assert json.loads(journal.path.read_text())["path"] == str(entry.path)
    assert journal.path.stat().st_mode & 0o077 == 0

    journal.drop(entry.path)
    journal.drop(entry.path)
    journal.close()
    journal.close()
    assert journal.entries == ()
    assert not journal.path.exists()


def test_a_journal_with_entries_stays_when_closed(journal: Journal, folder: Path) -> None:
    """What could not be deleted is for the next start."""
    journal.add(_file(folder))

    journal.close()

    assert journal.path.exists()


def test_the_default_place_is_the_users_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the platform has it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    assert Journal().directory == tmp_path / "discomfort" / "journal"


def test_what_a_killed_process_left_is_deleted(journal: Journal, folder: Path, tmp_path: Path) -> None:
    """While it lives its journal is untouched; after SIGKILL file, folder and journal go, and only those."""
    (tmp_path / "cat.png").write_bytes(b"cat")
    (folder / "other.png").write_bytes(b"other")
    command = [sys.executable, "-c", CHILD, str(folder), str(journal.directory), str(tmp_path / "cat.png")]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "put\n"

    assert journal.recover() == []
    assert (folder / "made" / "cat.png").exists()

    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    assert journal.recover() == [folder / "made" / "cat.png", folder / "made"]
    assert sorted(path.name for path in folder.iterdir()) == [
        ".discomfort-00000000000000000000000000000000.part",
        "other.png",
    ]
    assert not list(journal.directory.glob("*.jsonl"))
    assert journal.recover() == []


def test_a_copy_that_was_cut_off_is_deleted(journal: Journal, folder: Path) -> None:
    """Partial files are known by their name alone, since that is random; no other name is accepted for them."""
    partial, other = folder / f".discomfort-{'0f' * 16}.part", folder / "mine.part"
    for path in (partial, other):
        path.write_bytes(b"half")
    lines = [_line(JournalEntry("partial", folder, path)) for path in (partial, other)]
    _left_behind(journal, *lines)

    assert journal.recover() == [partial]
    assert other.exists()


def test_dropped_entries_are_not_touched(journal: Journal, folder: Path) -> None:
    """The last word on a path counts."""
    entry = _file(folder)
    _left_behind(journal, _line(entry), json.dumps({"op": "drop", "path": str(entry.path)}) + "\n")

    assert journal.recover() == []
    assert entry.path.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"inode": 1},
        {"size": 3},
        {"mtime_ns": 0},
        {"root": "/"},
        {"root": "relative"},
        {"root": "/nonexistent"},
        {"root": 3},
        {"kind": "folder"},
        {"kind": "partial"},
        {"kind": "everything"},
        {"op": "remove"},
        {"inode": "1"},
        {"inode": True},
        {"inode": None},
        {"path": "a.png"},
        {"path": "/etc/passwd"},
        {"path": "\0"},
    ],
)
def test_lines_that_do_not_fit_delete_nothing(journal: Journal, folder: Path, changes: dict[str, Any]) -> None:
    """Whatever differs from the file that is there: it stays."""
    entry = _file(folder)
    _left_behind(journal, _line(entry, **changes))

    assert journal.recover() == []
    assert entry.path.exists()


def test_paths_that_leave_their_root_delete_nothing(journal: Journal, folder: Path, tmp_path: Path) -> None:
    """By ``..`` or by a link, also with the right inode."""
    outside = _file(tmp_path, "outside.png")
    (folder / "link").symlink_to(tmp_path)
    (tmp_path / "alias").symlink_to(folder)
    inside = _file(folder)
    lines = [
        _line(outside, root=str(folder), path=f"{folder}/../outside.png"),
        _line(outside, root=str(folder), path=f"{folder}/link/outside.png"),
        _line(outside, root=f"{folder}/..", path=f"{folder}/../outside.png"),
        _line(inside, root=str(tmp_path / "alias"), path=str(tmp_path / "alias" / "a.png")),
        _line(inside, root=str(folder), path=str(folder)),
        _line(JournalEntry("folder", folder, folder, folder.stat().st_ino)),
    ]
    _left_behind(journal, *lines)

    assert journal.recover() == []
    assert outside.path.exists()
    assert inside.path.exists()


def test_damaged_lines_are_skipped_with_a_warning(
    journal: Journal, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Torn, foreign and absurd lines do not keep the good ones from being followed."""
    entry = _file(folder)
    junk = [
        '{"op": "add"',
        "[]\n",
        "null\n",
        "\udcff\udcfe\n",
        "[" * 100_000 + "\n",
        '{"op": "add", "path": 3}\n',
        "\n",
    ]
    path = _left_behind(journal, "\n", *junk[:1], "\n", *junk[1:], _line(entry))

    assert journal.recover() == [entry.path]
    assert "6 damaged lines" in caplog.text
    assert not path.exists()


@given(
    st.lists(
        st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")), max_size=6
    )
)
@settings(deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_survived(journal: Journal, folder: Path, lines: list[bytes]) -> None:
    """A journal of anything deletes nothing and raises nothing."""
    kept = _file(folder)
    _left_behind(journal).write_bytes(b"\n".join(lines))

    assert journal.recover() == []
    assert kept.path.exists()


def test_foreign_journals_are_ignored(journal: Journal, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files that others could have written, links and other names are left alone."""
    entry = _file(folder)
    open_to_all = _left_behind(journal, _line(entry))
    open_to_all.chmod(0o666)
    assert journal.recover() == []
    assert "others may have written" in caplog.text
    open_to_all.unlink()

    target = _left_behind(journal, _line(entry), name="notes.txt")
    (journal.directory / DEAD).symlink_to(target)
    assert journal.recover() == []
    assert "cannot read the journal" in caplog.text
    assert entry.path.exists()


def test_the_lock_of_a_process_that_we_do_not_see_protects_its_journal(journal: Journal, folder: Path) -> None:
    """Its process id means nothing here, but the kernel knows that it lives."""
    entry = _file(folder)
    path = _left_behind(journal, _line(entry))
    script = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "1\n"

    assert journal.recover() == []
    holder.communicate("\n", timeout=60)
    assert journal.recover() == [entry.path]


def test_a_reused_process_id_is_not_taken_for_the_process(journal: Journal, folder: Path) -> None:
    """Id and start must both match: our own id with another start is a dead process."""
    entry = _file(folder)
    _left_behind(journal, _line(entry), name=f"{os.getpid()}-dead.1.jsonl")

    assert journal.recover() == [entry.path]


def test_a_journal_whose_files_can_not_be_deleted_stays(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The next start tries again."""
    entry = _file(folder)
    path = _left_behind(journal, _line(entry))

    def refuse(_: JournalEntry) -> None:
        raise PermissionError(13, "no")

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "remove_entry", refuse)
        assert journal.recover() == []
    assert "cannot delete" in caplog.text
    assert path.exists()
    assert journal.recover() == [entry.path]


def test_a_second_recovery_leaves_it_to_the_first(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Waiting for the other one has a limit."""
    entry = _file(folder)
    _left_behind(journal, _line(entry))
    monkeypatch.setattr(journal_module, "_RECOVERY_WAIT", 0)

    lock = FileLock.take(journal.directory / "recover.lock")
    assert lock is not None
    with caplog.at_level(logging.WARNING):
        assert journal.recover() == []
    lock.release()
    assert "still cleaning up" in caplog.text
    assert journal.recover() == [entry.path]


def test_two_recoveries_at_once_delete_each_file_once(journal: Journal, folder: Path) -> None:
    """Between processes: together they delete everything, and neither fails."""
    for number in range(20):
        _left_behind(journal, _line(_file(folder, f"{number}.png")), name=f"41943049{number:02}-dead.1.jsonl")
    script = (
        "import sys\nfrom pathlib import Path\nfrom discomfort.files import Journal\n"
        "sys.stdin.readline()\nprint(len(Journal(Path(sys.argv[1])).recover()))\n"
    )
    command = [sys.executable, "-c", script, str(journal.directory)]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    counts = [int(child.communicate("\n", timeout=60)[0]) for child in children]

    assert sum(counts) == 20
    assert list(folder.iterdir()) == []


def test_recovery_without_a_directory_or_rights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No directory is nothing to do; one that cannot be used is a warning."""
    assert Journal(tmp_path / "none").recover() == []

    (tmp_path / "bad" / "recover.lock").mkdir(parents=True)
    assert Journal(tmp_path / "bad").recover() == []
    assert "cannot delete" in caplog.text


def test_a_file_system_without_locks_is_served(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Process id and start still protect the journal."""

    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)

    journal.add(_file(folder))
    assert "cannot lock" in caplog.text
    assert len(journal.entries) == 1


def test_ended_processes_have_no_start() -> None:
    """A process that nobody waited for yet counts as gone; ours has a start, wherever it is read from."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert journal_module._start_of(child.pid) == ""
    child.wait()
    assert journal_module._start_of(child.pid) == ""
    assert journal_module._start_of(os.getpid())


def test_without_proc_the_start_is_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other systems tell when a process began."""

    def no_proc(_: str) -> bytes:
        raise FileNotFoundError(2, "no /proc")

    monkeypatch.setattr(process_table, "_read", no_proc)

    assert float(journal_module._start_of(os.getpid())) > 0


def test_an_inherited_journal_is_closed_without_a_trace(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forked process gives up its descriptor and leaves the file."""
    entry = _file(folder)
    journal.add(entry)
    journal.drop(entry.path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        assert not journal.is_ours
        journal.close()
    assert journal.path.exists()
    journal.path.unlink()


def test_uploads_do_not_stand_in_the_journal_for_good(journal: Journal, folder: Path, tmp_path: Path) -> None:
    """A lasting upload is listed only while it is being copied."""
    (tmp_path / "cat.png").write_bytes(b"cat")

    FileStore({"input": folder}, journal).put(tmp_path / "cat.png")

    assert journal.entries == ()
    _left_behind(journal, journal.path.read_text())
    assert journal.recover() == []
    assert (folder / "cat.png").exists()


def test_entries_of_nowhere_are_kept(folder: Path) -> None:
    """A folder on the way that is gone or a file by now."""
    entry = _file(folder)

    assert remove_entry(JournalEntry("file", folder, folder / "gone" / "a.png", 1, 1, 1)) == "missing"
    assert remove_entry(JournalEntry("file", folder, entry.path / "below", 1, 1, 1)) == "missing"
    assert remove_entry(JournalEntry("file", folder, folder / "b.png", 1, 1, 1)) == "missing"
    assert entry.path.exists()


def test_private_folders_of_dead_processes_go_whole(journal: Journal, tmp_path: Path) -> None:
    """By name, owner and mode: a folder that others may enter, one of another name, and a link stay."""
    names = ["discomfort-abcdef12", "discomfort-0123456789ab", "discomfort-ABCDEF12", "discomfort-shared00"]
    folders = [tmp_path / name for name in names]
    for path in folders:
        path.mkdir(mode=0o700)
        (path / "deep").mkdir()
        (path / "deep" / "file").write_bytes(b"x")
    folders[3].chmod(0o755)
    link = tmp_path / "discomfort-link0000"
    link.symlink_to(folders[3])
    _left_behind(journal, *(_line(JournalEntry("private", tmp_path, path)) for path in (*folders, link)))

    assert sorted(journal.recover()) == sorted(folders[:2])
    assert [path.exists() for path in folders] == [False, False, True, True]
    assert link.is_symlink()


def test_private_folders_are_not_the_stores(journal: Journal, store: FileStore, tmp_path: Path) -> None:
    """Deleting the uploads leaves them: they end with the server and the browser."""
    path = tmp_path / "discomfort-abcdef12"
    path.mkdir(mode=0o700)
    journal.add(JournalEntry("private", tmp_path, path))

    store.delete_ephemeral()

    assert path.exists()
    journal.drop(path)


# --- journals that do not grow ---------------------------------------------------------------------------------------


def test_dropped_entries_are_taken_out(journal: Journal, folder: Path) -> None:
    """However many files come and go, the journal stays small, is locked, and lists what is there."""
    kept = _file(folder, "kept.png")
    journal.add(kept)
    sizes = []
    for number in range(5_000):
        entry = JournalEntry("file", folder, folder / f"{number}.png", 1, 2, 3)
        journal.add(entry)
        journal.drop(entry.path)
        sizes.append(journal.path.stat().st_size)

    assert max(sizes) < 300_000
    assert journal.entries == (kept,)
    with journal.path.open("rb") as file:
        assert not try_lock(file.fileno(), shared=True)
    assert [path.name for path in journal.directory.iterdir()] == [journal.path.name]


@pytest.mark.parametrize("moment", ["open", "write", "fsync", "replace"])
def test_compaction_that_fails_or_is_cut_off(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Whatever fails in it, the journal goes on, and lists everything; nothing is left beside it."""
    entries = [JournalEntry("file", folder, folder / f"{number}.png", 1, 2, 3) for number in range(400)]
    for entry in entries:
        journal.add(entry)
    fails = {
        "open": (journal_module.os, "open"),
        "write": (journal_module, "_write_line"),
        "fsync": (journal_module.os, "fsync"),
        "replace": (journal_module.Path, "replace"),
    }
    target, name = fails[moment]
    with monkeypatch.context() as patch:
        patch.setattr(target, name, _no_space)
        journal._compact()
    journal.add(_file(folder, "later.png"))

    assert [path.name for path in journal.directory.iterdir()] == [journal.path.name]
    lines = [json.loads(line) for line in journal.path.read_bytes().splitlines() if line]
    assert [Path(line["path"]).name for line in lines] == [*(entry.path.name for entry in entries), "later.png"]


def _no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "no space left")


def test_half_a_compaction_of_a_dead_process_is_removed(journal: Journal, folder: Path) -> None:
    """It died while it wrote its journal anew: the journal itself is whole, and counts."""
    entry = _file(folder)
    path = _left_behind(journal, _line(entry))
    half = path.with_name(path.name + ".compact")
    half.write_bytes(b"\n{")

    assert journal.recover() == [entry.path]
    assert not half.exists()


def test_large_journals_are_recovered(journal: Journal, folder: Path) -> None:
    """One beyond 64 MiB, with a line that has no end, is read all the same."""
    entry = _file(folder)
    path = _left_behind(journal, _line(entry))
    with path.open("ab") as file:
        file.write(b"\n" + b"x" * (65 << 20) + b"\n")

    assert journal.recover() == [entry.path]
    assert not path.exists()


def test_many_threads_at_once(journal: Journal, folder: Path) -> None:
    """Adding and dropping from eight threads, with compactions in between, loses nothing."""

    def work(thread: int) -> None:
        for number in range(300):
            entry = JournalEntry("file", folder, folder / f"{thread}-{number}.png", 1, 2, 3)
            journal.add(entry)
            if number % 10:
                journal.drop(entry.path)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))

    expected = {f"{thread}-{number}.png" for thread in range(8) for number in range(0, 300, 10)}
    assert {entry.path.name for entry in journal.entries} == expected
    fd = os.open(journal.path, os.O_RDONLY)
    try:
        assert {entry.path.name for entry in read_entries(journal.path, fd)} == expected
    finally:
        os.close(fd)
