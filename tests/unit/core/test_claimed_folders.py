"""Folders that belong to a process: whose they are, and what is removed of dead ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from discomfort import _json
from discomfort._system.claimed_folders import ClaimedFolder, abandoned, is_claimed, make_root, remove_abandoned
from discomfort._system.ownership import owner_mark

ROOT = Path(__file__).parents[3]
DEAD = "999999999-00000000-0000-0000-0000-000000000000.1"


def of_dead_process(path: Path) -> Path:
    """A folder as a process leaves it that was killed."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from discomfort._system.claimed_folders import ClaimedFolder\n"
        "ClaimedFolder.make(Path(sys.argv[1])); os._exit(9)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=False).returncode == 9
    (path / "inner").mkdir()
    (path / "inner" / "value").write_text("x")
    return path


def test_living_folder_is_claimed(tmp_path: Path) -> None:
    """By this process, until it removes it."""
    claim = ClaimedFolder.make(tmp_path / "a")
    assert is_claimed(claim.path)
    assert abandoned(tmp_path) == []
    assert not remove_abandoned(claim.path)
    with pytest.raises(FileExistsError):
        ClaimedFolder.make(tmp_path / "a")
    claim.remove()
    claim.remove()
    assert list(tmp_path.iterdir()) == []
    assert not is_claimed(tmp_path / "a")


def test_folder_of_a_dead_process_is_abandoned(tmp_path: Path) -> None:
    """It can be removed, or taken over empty."""
    first, second = of_dead_process(tmp_path / "a"), of_dead_process(tmp_path / "b")
    assert abandoned(tmp_path) == [first, second]
    assert not is_claimed(first)
    assert remove_abandoned(first)
    claim = ClaimedFolder.make(second)
    assert [path.name for path in second.iterdir()] == ["owner"]
    claim.remove()


def test_lock_alone_or_mark_alone_is_not_enough(tmp_path: Path) -> None:
    """A folder whose process lives without the lock stays, and so does one with a lock and a dead process's mark."""
    claim = ClaimedFolder.make(tmp_path / "a")
    owner = claim.path / "owner"
    owner.write_bytes(owner.read_bytes().replace(owner_mark().encode(), DEAD.encode()))
    assert abandoned(tmp_path) == []
    claim.leave_to_parent()  # closes the lock
    assert abandoned(tmp_path) == [claim.path]
    owner.write_bytes(owner.read_bytes().replace(DEAD.encode(), owner_mark().encode()))
    assert abandoned(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"mark": "1-2"}', b"\xff" * 5000])
def test_folders_that_are_not_ours_stay(tmp_path: Path, content: bytes) -> None:
    """Without such a file, with another one, and links."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "owner").write_bytes(content)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "file").write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    dead = of_dead_process(tmp_path / "elsewhere" / "dead")
    (tmp_path / "link").symlink_to(dead, target_is_directory=True)
    (tmp_path / "root").symlink_to(dead.parent, target_is_directory=True)
    assert abandoned(tmp_path) == abandoned(tmp_path / "root") == []
    assert abandoned(dead.parent) == [dead]
    for name in ("mine", "bare", "link"):
        assert not remove_abandoned(tmp_path / name)
        with pytest.raises(FileExistsError):
            ClaimedFolder.make(tmp_path / name)
    assert (dead / "inner" / "value").exists()


def test_half_made_and_half_removed_folders_go(tmp_path: Path) -> None:
    """Those of dead processes; not those of living ones, and not what merely begins with a dot."""
    claim = ClaimedFolder.make(tmp_path / "a")
    namespace = "".join(filter(str.isdigit, _json.loads((claim.path / "owner").read_bytes())["namespace"])) or "0"
    names = {
        f".{namespace}-{DEAD}-0123abcd": True,
        f".{namespace}-{owner_mark()}-0123abcd": False,
        f".1-{DEAD}-0123abcd": False,
        ".hidden": False,
        f".{namespace}-{DEAD}": False,
    }
    for name in names:
        (tmp_path / name).mkdir()
    assert [path.name for path in abandoned(tmp_path)] == [name for name, is_dead in names.items() if is_dead]
    for name, is_dead in names.items():
        assert remove_abandoned(tmp_path / name) is is_dead
        assert (tmp_path / name).exists() is not is_dead
    claim.remove()


def test_other_container_is_judged_by_its_lock(tmp_path: Path) -> None:
    """A pid of another namespace means another process here."""
    claim = ClaimedFolder.make(tmp_path / "a")
    facts = {"mark": DEAD, "namespace": "pid:[1]"}
    (claim.path / "owner").write_bytes(_json.dumps(facts))
    assert abandoned(tmp_path) == []
    (claim.path / "owner").write_bytes(_json.dumps({**facts, "mark": owner_mark()}))
    claim.leave_to_parent()
    assert abandoned(tmp_path) == [claim.path]


def test_failed_making_leaves_nothing(tmp_path: Path) -> None:
    """In a place that does not exist, and beside a file of that name."""
    with pytest.raises(FileNotFoundError):
        ClaimedFolder.make(tmp_path / "none" / "a")
    (tmp_path / "a").write_text("mine")
    with pytest.raises(FileExistsError):
        ClaimedFolder.make(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_root_is_private(tmp_path: Path) -> None:
    """Made so, and made so again; a link or a file in its place is an error."""
    make_root(tmp_path / "root")
    (tmp_path / "root").chmod(0o777)
    make_root(tmp_path / "root")
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(tmp_path / "root", target_is_directory=True)
    with pytest.raises(NotADirectoryError):
        make_root(tmp_path / "link")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        make_root(tmp_path / "file")
    assert abandoned(tmp_path / "none") == []
