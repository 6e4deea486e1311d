"""Ephemeral files go when they should, and nothing goes that is not ours."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from discomfort.exceptions import StateError
from discomfort.files import FileStore, Journal, JournalEntry
from discomfort.files import store as store_module
from discomfort.files.journal_entries import Outcome


def _tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_ephemeral_files_and_their_folders_go(store: FileStore, journal: Journal, source: Path, tmp_path: Path) -> None:
    """Files, then the folders that were made for them and are empty; others stay; the list is empty afterwards."""
    (tmp_path / "in" / "old").mkdir()
    store.put(source, subfolder="old/a", is_ephemeral=True)
    store.put(source, subfolder="new/b/c", is_ephemeral=True)
    store.put(source, subfolder="kept/x", is_ephemeral=True)
    store.put(source, subfolder="kept")

    removed = store.delete_ephemeral()

    assert _tree(tmp_path / "in") == ["kept", "kept/cat.png", "old"]
    assert tmp_path / "in" / "new" / "b" / "c" / "cat.png" in removed
    assert journal.entries == ()
    assert store.delete_ephemeral() == []


def test_missing_ephemeral_files_are_fine(store: FileStore, source: Path) -> None:
    """Somebody was faster."""
    Path(store.put(source, is_ephemeral=True)).unlink()

    assert store.delete_ephemeral() == []


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"edited"),
        lambda path: (path.unlink(), path.write_bytes(b"another")),
        os.utime,
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
    ],
)
def test_a_file_that_is_no_longer_ours_stays(
    store: FileStore, source: Path, change: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    """Edited, replaced, touched, or something else under its name: left alone with a warning."""
    target = Path(store.put(source, is_ephemeral=True))
    change(target)

    assert store.delete_ephemeral() == []
    assert target.is_symlink() or target.exists()
    assert "changed or replaced" in caplog.text


def test_a_folder_swapped_for_a_link_is_not_entered(store: FileStore, source: Path, tmp_path: Path) -> None:
    """Deleting does not follow links put there since, not even to the very same file."""
    target = Path(store.put(source, subfolder="sub", is_ephemeral=True))
    (tmp_path / "out").mkdir()
    moved = target.rename(tmp_path / "out" / "cat.png")
    target.parent.rmdir()
    target.parent.symlink_to(tmp_path / "out")

    assert store.delete_ephemeral() == []
    assert moved.exists()


def test_a_lasting_file_replaces_an_ephemeral_one_for_good(store: FileStore, journal: Journal, source: Path) -> None:
    """What was put last decides."""
    store.put(source, is_ephemeral=True)
    target = Path(store.put(source, overwrite=True))

    assert journal.entries == ()
    assert store.delete_ephemeral() == []
    assert target.exists()


def test_errors_while_deleting_do_not_stop_the_rest(
    store: FileStore, journal: Journal, source: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One file that cannot be deleted is logged and stays on the list; the others go."""
    first = Path(store.put(source, subfolder="a", is_ephemeral=True))
    second = Path(store.put(source, subfolder="b", is_ephemeral=True))
    real = store_module.remove_entry

    def stubborn(entry: Any) -> Any:
        if entry.path.name == "cat.png" and entry.path.parent.name == "b":
            raise PermissionError(errno.EACCES, "no")
        return real(entry)

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(store_module, "remove_entry", stubborn)
        store.delete_ephemeral()

    assert not first.exists()
    assert second.exists()
    assert "cannot delete the ephemeral file" in caplog.text
    assert [entry.path for entry in journal.entries] == [second]
    assert store.delete_ephemeral() == [second]


@pytest.mark.parametrize("step", ["copy_contents", "_publish"])
@pytest.mark.parametrize("is_ephemeral", [False, True])
def test_a_failed_copy_leaves_nothing(
    store: FileStore,
    journal: Journal,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    is_ephemeral: bool,
) -> None:
    """A full disk: no partial file, no folder, no entry; the error has its number and names both places."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module, step, full)

    with pytest.raises(OSError, match="No space left") as caught:
        store.put(source, subfolder="a/b", is_ephemeral=is_ephemeral)

    assert caught.value.errno == errno.ENOSPC
    assert str(source) in str(caught.value)
    assert caught.value.filename == str(tmp_path / "in" / "a" / "b" / "cat.png")
    assert _tree(tmp_path / "in") == []
    assert journal.entries == ()


def test_a_failed_replacement_keeps_the_earlier_entry(
    store: FileStore, journal: Journal, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ephemeral file that was to be replaced is still there, and still ephemeral."""
    target = Path(store.put(source, is_ephemeral=True))
    before = journal.entries

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "_publish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.put(source, overwrite=True, is_ephemeral=True)

    assert journal.entries == before
    assert store.delete_ephemeral() == [target]


def test_the_watchdog_hears_of_a_file_before_it_is_visible(store: FileStore, journal: Journal, source: Path) -> None:
    """And after it is gone; a hook that raises ends the upload without a trace."""
    heard: list[tuple[str, str, bool]] = []
    journal.on_add = lambda entry: heard.append(("add", entry.path.name, entry.path.exists()))
    journal.on_remove = lambda entry: heard.append(("remove", entry.path.name, entry.path.exists()))

    store.put(source, is_ephemeral=True)
    store.delete_ephemeral()

    names = [(what, name, seen) for what, name, seen in heard if name == "cat.png"]
    assert names == [("add", "cat.png", False), ("remove", "cat.png", False)]

    def refuse(_: object) -> None:
        raise RuntimeError("the watchdog is gone")

    journal.on_add, journal.on_remove = refuse, None
    with pytest.raises(RuntimeError, match="watchdog"):
        store.put(source, is_ephemeral=True)
    assert journal.entries == ()


def test_a_forked_process_deletes_nothing(store: FileStore, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files belong to the process that put them."""
    target = Path(store.put(source, is_ephemeral=True))

    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        assert store.delete_ephemeral() == []
        with pytest.raises(StateError, match="forked"):
            store.put(source, overwrite=True)
    assert target.exists()
    assert store.delete_ephemeral() == [target]


# --- taken back one by one -------------------------------------------------------------------------------------------


def test_one_file_is_discarded(store: FileStore, journal: Journal, source: Path) -> None:
    """It, its entry and what the watchdog knows of it go; the others stay, and the next of its name is fine."""
    heard: list[str] = []
    journal.on_remove = lambda entry: heard.append(entry.path.name)
    first, second = (
        store.put(source, "input", "a", is_ephemeral=True),
        store.put(source, "input", "b", is_ephemeral=True),
    )
    heard.clear()

    assert store.discard(first)
    assert not store.discard(first)
    assert not Path(first).exists()
    assert Path(second).exists()
    assert heard == [Path(first).name]
    assert store.put(source, "input", "a", is_ephemeral=True) == first
    assert len(store.delete_ephemeral()) == 4


def test_what_is_not_ours_is_not_discarded(store: FileStore, source: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A lasting file, an unknown path, and one that was changed since."""
    lasting = store.put(source, "input", "kept")
    assert not store.discard(lasting)
    assert not store.discard(Path(lasting).with_name("nothing.png"))
    changed = Path(store.put(source, "input", "changed", is_ephemeral=True))
    changed.write_bytes(b"somebody else's now")
    assert not store.discard(changed)
    assert "changed or replaced" in caplog.text
    assert changed.exists()
    assert Path(lasting).exists()


def test_uploads_from_many_threads(store: FileStore, journal: Journal, source: Path, tmp_path: Path) -> None:
    """Put and discarded at once, into one folder: each file is there when it should be, and nothing is left."""

    def work(thread: int) -> None:
        for number in range(20):
            own = tmp_path / f"{thread}-{number}.png"
            own.write_bytes(source.read_bytes())
            path = Path(store.put(own, "input", "batch", is_ephemeral=True))
            assert path.read_bytes() == own.read_bytes()
            assert store.discard(path)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert [entry.kind for entry in journal.entries] == ["folder"] * len(journal.entries)
    store.delete_ephemeral()
    assert journal.entries == ()


@pytest.mark.parametrize("moment", ["before", "published"])
def test_closing_while_a_file_is_copied(
    store: FileStore, journal: Journal, source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, moment: str
) -> None:
    """The copy is not left, wherever it stood when everything was released; whoever copies is told."""
    publish = store_module._publish

    def close_meanwhile(*arguments: Any) -> None:
        if moment == "published":
            publish(*arguments)
        store.close()
        journal.close()
        if moment == "before":
            publish(*arguments)

    monkeypatch.setattr(store_module, "_publish", close_meanwhile)
    with pytest.raises(StateError, match="shut down"):
        store.put(source, "input", is_ephemeral=True)
    assert [path for path in tmp_path.rglob(source.name) if path != source] == []
    assert not journal.path.exists()
    with pytest.raises(StateError, match="shut down"):
        store.put_content(b"late", "late.png")


@pytest.mark.parametrize("subfolder", ["", "new"])
def test_a_late_copy_leaves_no_journal(
    store: FileStore, journal: Journal, source: Path, monkeypatch: pytest.MonkeyPatch, subfolder: str
) -> None:
    """The store is closed before the copy is listed, the journal after: nothing is left, also no folder and no line."""
    copy, publish = store_module.copy_contents, store_module._publish

    def close_store(*fds: int) -> None:
        monkeypatch.setattr(store_module, "copy_contents", copy)
        copy(*fds)
        store.close()

    def close_journal(*arguments: Any) -> None:
        publish(*arguments)
        journal.close()
        assert journal.path.exists()

    monkeypatch.setattr(store_module, "copy_contents", close_store)
    monkeypatch.setattr(store_module, "_publish", close_journal)
    with pytest.raises(StateError, match="shut down"):
        store.put(source, subfolder=subfolder, is_ephemeral=True)

    assert _tree(source.parent / "in") == []
    assert journal.entries == ()
    assert _tree(journal.directory) == []


def test_a_late_lasting_copy_leaves_no_journal(
    store: FileStore, journal: Journal, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays, as asked for; the line about its partial file does not."""
    publish = store_module._publish

    def close_meanwhile(*arguments: Any) -> None:
        publish(*arguments)
        journal.close()
        assert journal.path.exists()

    monkeypatch.setattr(store_module, "_publish", close_meanwhile)
    target = Path(store.put(source))

    assert target.read_bytes() == source.read_bytes()
    assert journal.entries == ()
    assert _tree(journal.directory) == []


@pytest.mark.parametrize("moment", ["unlisted", "listed"])
def test_a_copy_that_appears_while_everything_is_deleted(
    store: FileStore, journal: Journal, source: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Closing knows the copy not yet, or not as visible, and finds its folders in use: all of them go with the copy."""
    real, copy, publish = store_module.remove_entry, store_module.copy_contents, store_module._publish
    looked, published = threading.Event(), threading.Event()
    closing: list[Future[list[Path]]] = []

    def slow(entry: JournalEntry) -> Outcome:
        if entry.kind == "partial":
            looked.set()
            published.wait()
        return real(entry)

    def close() -> None:
        closing.append(pool.submit(store.close))
        looked.wait()

    def copy_contents(*fds: int) -> None:
        copy(*fds)
        if moment == "unlisted":
            close()

    def publish_meanwhile(*arguments: Any) -> None:
        if moment == "listed":
            close()
        publish(*arguments)
        published.set()
        assert closing[0].result() == []

    monkeypatch.setattr(store_module, "remove_entry", slow)
    monkeypatch.setattr(store_module, "copy_contents", copy_contents)
    monkeypatch.setattr(store_module, "_publish", publish_meanwhile)
    with ThreadPoolExecutor(1) as pool, pytest.raises(StateError, match="shut down"):
        store.put(source, subfolder="new/deep", is_ephemeral=True)

    assert _tree(source.parent / "in") == []
    assert journal.entries == ()


def test_closing_while_a_source_is_found_in_place(
    store: FileStore, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the caller's own file and no copy of ours: it stays."""
    here, real = tmp_path / "in" / "mine.png", store_module.stat_in
    here.write_bytes(b"mine")

    def close_meanwhile(name: str, fd: int) -> os.stat_result | None:
        store.close()
        return real(name, fd)

    monkeypatch.setattr(store_module, "stat_in", close_meanwhile)
    assert store.put(here, is_ephemeral=True) == str(here)
    assert here.read_bytes() == b"mine"


def test_what_others_put_under_the_name_of_a_late_copy_stays(
    store: FileStore, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing had deleted the copy; the name was free again, and is not ours any more."""
    publish, theirs = store_module._publish, tmp_path / "in" / source.name

    def close_meanwhile(*arguments: Any) -> None:
        publish(*arguments)
        assert store.close() == [theirs]
        theirs.write_bytes(b"theirs")

    monkeypatch.setattr(store_module, "_publish", close_meanwhile)
    with pytest.raises(StateError, match="shut down"):
        store.put(source, is_ephemeral=True)
    assert theirs.read_bytes() == b"theirs"
