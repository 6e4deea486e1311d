"""Files into a server's folders: whole, contained, without a trace of what failed, and out again."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discomfort.exceptions import StateError, UploadError
from discomfort.files import FileStore, Journal
from discomfort.files import store as store_module


def _tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_file_is_copied_under_its_own_name(store: FileStore, source: Path, tmp_path: Path) -> None:
    """The full path comes back; contents and time of change are the source's, the file is another one."""
    target = store.put(str(source))

    assert target == str(tmp_path / "in" / "cat.png")
    copy = Path(target)
    assert copy.read_bytes() == source.read_bytes()
    assert copy.stat().st_mtime_ns == source.stat().st_mtime_ns
    assert copy.stat().st_ino != source.stat().st_ino
    assert _tree(tmp_path / "in") == ["cat.png"]


def test_folders_are_created(store: FileStore, source: Path, tmp_path: Path) -> None:
    """The folder of a type and subfolders need not exist."""
    target = store.put(source, "models", "loras/mine/./")

    assert target == str(tmp_path / "models" / "loras" / "mine" / "cat.png")
    assert Path(target).exists()


@pytest.mark.parametrize("name", ["missing.png", "", "nul\0.png", "cat.png/x"])
def test_a_missing_source_is_the_builtin_error(store: FileStore, source: Path, name: str) -> None:
    """FileNotFoundError, or its sibling for a path through a file."""
    with pytest.raises((FileNotFoundError, NotADirectoryError)):
        store.put(str(source.parent / name) if name else "")


def test_only_regular_files_are_copied(store: FileStore, tmp_path: Path) -> None:
    """A folder and a pipe are refused at once; a pipe is not waited for."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(UploadError, match="is a folder"):
        store.put(tmp_path)
    with pytest.raises(UploadError, match="not a regular file"):
        store.put(tmp_path / "pipe")


def test_an_existing_target_is_kept_unless_told(store: FileStore, source: Path) -> None:
    """FileExistsError without overwrite, replacement with it."""
    target = Path(store.put(source))
    target.write_bytes(b"old")

    with pytest.raises(FileExistsError, match="overwrite=True"):
        store.put(source)
    assert target.read_bytes() == b"old"
    assert store.put(source, overwrite=True) == str(target)
    assert target.read_bytes() == source.read_bytes()


def test_a_dangling_link_counts_as_existing(store: FileStore, source: Path, tmp_path: Path) -> None:
    """Nothing is written through a link; overwriting replaces the link itself."""
    (tmp_path / "in" / "cat.png").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileExistsError):
        store.put(source)
    store.put(source, overwrite=True)
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "in" / "cat.png").is_symlink()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_source_in_place_is_left_alone(
    store: FileStore, journal: Journal, tmp_path: Path, overwrite: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not copied onto itself, and never deleted as ephemeral."""
    here = tmp_path / "in" / "mine.png"
    here.write_bytes(b"mine")

    assert store.put(here, overwrite=overwrite, is_ephemeral=True) == str(here)
    assert store.delete_ephemeral() == []
    assert here.read_bytes() == b"mine"
    assert "will not be deleted" in caplog.text


@pytest.mark.parametrize(
    ("folder_type", "subfolder", "text"),
    [
        ("custom_nodes", None, "unknown folder type 'custom_nodes'; use one of 'input', 'models'"),
        ("models", None, "'models' needs a subfolder"),
        ("models", "", "'models' needs a subfolder"),
        ("models", "./.", "'models' needs a subfolder"),
        ("input", "..", "contains '..'"),
        ("input", "a/../../b", "contains '..'"),
        ("input", "/etc", "is absolute"),
        ("input", "a\0b", "control character"),
        ("input", "a\nb", "control character"),
        ("input", "a\\..\\b", "path separator"),
        ("input", "C:", "drive letter"),
        ("input", "c:x/y", "drive letter"),
        ("input", "CON", "device"),
        ("input", "a/nul.txt", "device"),
        ("input", "com1 .x", "device"),
        ("input", "lpt9. ", "device"),
        ("input", "a./b", "dot or a space"),
        ("input", "a /b", "dot or a space"),
        ("input", "\udc80", "not valid UTF-8"),
        ("input", b"raw", "not a string"),
    ],
)
def test_places_that_files_may_not_go_to(
    store: FileStore, source: Path, tmp_path: Path, folder_type: str, subfolder: Any, text: str
) -> None:
    """Each is an UploadError (a ValueError), and nothing is created."""
    before = _tree(tmp_path)

    with pytest.raises(UploadError) as caught:
        store.put(source, folder_type, os.fspath(subfolder) if subfolder else subfolder)

    assert text in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert _tree(tmp_path) == before


@pytest.mark.parametrize("name", ["con.png", "a\\b.png", "C:x.png", "trailing.", "new\nline.png"])
def test_names_that_are_not_plain_everywhere(store: FileStore, tmp_path: Path, name: str) -> None:
    """The source's own name is checked too."""
    (tmp_path / name).write_bytes(b"x")

    with pytest.raises(UploadError, match="file name"):
        store.put(tmp_path / name)


def test_links_that_lead_out_are_refused(store: FileStore, source: Path, tmp_path: Path) -> None:
    """A link to a folder outside stops the upload, one that stays inside is followed."""
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "real").mkdir()
    (tmp_path / "in" / "leak").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "alias").symlink_to("real")

    with pytest.raises(UploadError, match="leads out of"):
        store.put(source, subfolder="leak")
    with pytest.raises(UploadError, match="leads out of"):
        store.put(source, subfolder="leak/deeper")
    store.put(source, subfolder="alias")
    assert _tree(tmp_path / "out") == []
    assert (tmp_path / "in" / "real" / "cat.png").exists()


def test_a_root_that_is_a_link_is_fine(journal: Journal, source: Path, tmp_path: Path) -> None:
    """Whoever configured the folder may keep it elsewhere; ephemeral files there are deleted too."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    store = FileStore({"input": tmp_path / "link"}, journal)

    assert store.put(source, is_ephemeral=True) == str(tmp_path / "link" / "cat.png")
    assert store.delete_ephemeral() == [tmp_path / "disk" / "cat.png"]
    assert _tree(tmp_path / "disk") == []


@given(st.text(st.sampled_from("./\\ab\0: ~C"), max_size=12) | st.text(max_size=8))
@settings(deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_subfolder_leaves_the_root(store: FileStore, source: Path, tmp_path: Path, subfolder: str) -> None:
    """Whatever the text: the copy is inside the folder, or there is an error and no copy."""
    root = (tmp_path / "in").resolve()
    outside = {path for path in tmp_path.rglob("*") if not path.is_relative_to(root) and "journal" not in path.parts}
    try:
        target = Path(store.put(source, subfolder=subfolder, overwrite=True))
    except UploadError:
        target = root / "refused"

    assert target.resolve().is_relative_to(root)
    now = {path for path in tmp_path.rglob("*") if not path.is_relative_to(root) and "journal" not in path.parts}
    assert now == outside


def test_a_subfolder_through_a_file_is_the_systems_error(store: FileStore, source: Path) -> None:
    """OSError stays OSError."""
    store.put(source)

    with pytest.raises(NotADirectoryError, match=r"cat\.png"):
        store.put(source, subfolder="cat.png/x")


def test_a_folder_under_the_name_is_not_replaced(store: FileStore, source: Path, tmp_path: Path) -> None:
    """Neither with nor without overwrite."""
    (tmp_path / "in" / "cat.png").mkdir()

    with pytest.raises(FileExistsError):
        store.put(source)
    with pytest.raises(IsADirectoryError):
        store.put(source, overwrite=True)
    assert _tree(tmp_path / "in") == ["cat.png"]


def test_of_many_putting_the_same_name_one_wins(store: FileStore, tmp_path: Path) -> None:
    """Threads race; exactly one file appears, whole, and everyone else is told."""
    results: list[object] = []
    barrier = threading.Barrier(8)

    def put(number: int) -> None:
        folder = tmp_path / f"from{number}"
        folder.mkdir()
        (folder / "same.bin").write_bytes(bytes([number]) * 200_000)
        barrier.wait()
        try:
            results.append(store.put(folder / "same.bin", subfolder="race"))
        except FileExistsError as error:
            results.append(error)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(isinstance(result, str) for result in results) == 1
    assert len(results) == 8
    content = (tmp_path / "in" / "race" / "same.bin").read_bytes()
    assert content == content[:1] * 200_000
    assert _tree(tmp_path / "in" / "race") == ["same.bin"]


def test_of_two_processes_putting_the_same_name_one_wins(store: FileStore, source: Path, tmp_path: Path) -> None:
    """The same between processes."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom discomfort.files import FileStore, Journal\n"
        "store = FileStore({'input': Path(sys.argv[1])}, Journal(Path(sys.argv[2])))\n"
        "sys.stdin.readline()\n"
        "try:\n    store.put(sys.argv[3])\n    print('put')\nexcept FileExistsError:\n    print('exists')\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "in"), str(tmp_path / "journal"), str(source)]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    answers = sorted(child.communicate(timeout=60)[0].strip() for child in children)

    assert answers == ["exists", "put"]
    assert _tree(tmp_path / "in") == ["cat.png"]


def test_without_hard_links_the_name_is_claimed(
    store: FileStore, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File systems without hard links are served too, and still nothing is overwritten."""

    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)

    target = Path(store.put(source))

    assert target.read_bytes() == source.read_bytes()
    with pytest.raises(FileExistsError):
        store.put(source)
    assert _tree(tmp_path / "in") == ["cat.png"]


def test_a_folder_that_vanishes_meanwhile_is_made_again(
    store: FileStore, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process cleared the empty folder between our entering and our writing."""
    real = store_module.copy_contents
    calls = []

    def vanish(*fds: int) -> None:
        calls.append(fds)
        if len(calls) == 1:
            raise FileNotFoundError(errno.ENOENT, "gone")
        real(*fds)

    monkeypatch.setattr(store_module, "copy_contents", vanish)

    assert Path(store.put(source, subfolder="a")).read_bytes() == source.read_bytes()
    monkeypatch.setattr(store_module, "copy_contents", lambda *_: vanish_always())

    def vanish_always() -> None:
        raise FileNotFoundError(errno.ENOENT, "gone")

    with pytest.raises(FileNotFoundError):
        store.put(source, subfolder="b")
    assert _tree(tmp_path / "in") == ["a", "a/cat.png"]


def test_the_store_shows_its_state(store: FileStore, source: Path) -> None:
    """Its repr is for diagnostics."""
    store.put(source, is_ephemeral=True)

    assert repr(store) == "<FileStore of input, models with 1 ephemeral entries>"


# --- content ---------------------------------------------------------------------------------------------------------


class Unread(io.BytesIO):
    """Content that nobody may ask for."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise AssertionError("the content was read")


def test_content_for_a_closed_store(store: FileStore, tmp_path: Path) -> None:
    """It is refused before it is read, and no folder is made for it."""
    store.close()

    with pytest.raises(StateError, match="shut down"):
        store.put_content(Unread(b"x"), "a.png", "models", "loras")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("name", ["", "..", "a/b.png", "a\\b.png", "con.png", "C:x.png", "trailing.", "new\nline.png"])
def test_content_with_a_bad_name(store: FileStore, tmp_path: Path, name: str) -> None:
    """It is refused before it is read, and no folder is made for it."""
    with pytest.raises(UploadError, match="file name"):
        store.put_content(Unread(b"x"), name, "models", "loras")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("kind", [bytes, io.BytesIO])
def test_content_waits_where_its_target_is(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Callable[[bytes], bytes | io.BytesIO]
) -> None:
    """The system's folder for temporary files, which may be small, is not used; the target's may be missing yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))

    target = store.put_content(kind(b"content"), "a.bin", "models", "loras")

    assert Path(target).read_bytes() == b"content"
    assert _tree(tmp_path / "models") == ["loras", "loras/a.bin"]
