"""Claims of this process: their followers, and the removal of the folders of a killed one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from discomfort._system import claims, removal
from discomfort._system.claimed_folders import ClaimedFolder
from discomfort._system.claims import FolderClaim
from discomfort._system.removal import OWNER_FILE, remove_claimed


class Follower:
    """Notes what it is told about the folders in ``root``."""

    def __init__(self, root: Path) -> None:
        self.root, self.told, self.present = root, list[str](), dict[Path, FolderClaim]()

    def claimed(self, claim: FolderClaim) -> None:
        if self.root in claim.path.parents:
            self.told.append(f"+{claim.path.name} {'there' if claim.path.exists() else 'to come'}")
            self.present[claim.path] = claim

    def released(self, claim: FolderClaim) -> None:
        if self.root in claim.path.parents:
            self.told.append(f"-{claim.path.name} {'there' if claim.path.exists() else 'gone'}")


class Broken(Follower):
    """Cannot be told anything."""

    def claimed(self, claim: FolderClaim) -> None:
        raise RuntimeError("no pipe")

    released = claimed


def removed(claim: FolderClaim, *, owner: str | None = None) -> None:
    """Do for a claim what the watchdog does."""
    root, parts = claim.path.parents[claim.parents], list(claim.path.parts[-1 - claim.parents :])
    remove_claimed(str(root), parts, claim.hidden.name, claim.owner if owner is None else owner)


def test_followers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They hear of older claims at once, of new ones before the folder is there, and of its end after it."""
    first = ClaimedFolder.make(tmp_path / "first")
    follower, broken = Follower(tmp_path), Broken(tmp_path)
    claims.follow(broken)
    claims.follow(follower)
    try:
        second = ClaimedFolder.make(tmp_path / "second")
        with pytest.raises(FileExistsError):
            ClaimedFolder.make(tmp_path / "second")
        first.remove()
        first.remove()
    finally:
        claims.unfollow(follower)
        claims.unfollow(follower)
        claims.unfollow(broken)
    second.remove()

    assert follower.told == [
        "+first there", "+second to come", "+second there", "-second there", "-first gone",
    ]  # fmt: skip
    assert "second is not watched" in caplog.text


def test_forked_child_has_no_claims(tmp_path: Path) -> None:
    """A follower in it hears of nothing, nor does one of its parent's."""
    claim, follower = ClaimedFolder.make(tmp_path / "parents"), Follower(tmp_path)
    claims.follow(follower)
    pid = os.fork()
    if not pid:
        own = Follower(tmp_path)
        claims.follow(own)
        follower.told.clear()
        ClaimedFolder.make(tmp_path / "childs").remove()
        os._exit(len(follower.told) * 10 + len(own.told))
    _, status = os.waitpid(pid, 0)
    claims.unfollow(follower)
    claim.remove()
    assert os.waitstatus_to_exitcode(status) == 2


@pytest.fixture
def claim(tmp_path: Path) -> FolderClaim:
    """A folder with a value, as a killed process leaves it: nobody has its lock."""
    path = tmp_path / "user" / "contexts" / "one"
    made = FolderClaim(path, path.with_name(".hidden"), '{"mark": "1-2"}', parents=2)
    path.mkdir(parents=True)
    (path / OWNER_FILE).write_text(made.owner)
    (path / "value").write_text("x")
    return made


def test_claimed_folder_is_removed(claim: FolderClaim, tmp_path: Path) -> None:
    """With the folders above it; again does nothing."""
    removed(claim)
    with pytest.raises(FileNotFoundError):
        removed(claim)
    assert list(tmp_path.iterdir()) == []


def test_hidden_folder_is_removed(claim: FolderClaim, tmp_path: Path) -> None:
    """As it is there if the process was killed while it made or removed it."""
    claim.path.rename(claim.hidden)
    (claim.hidden / OWNER_FILE).unlink()
    removed(claim)
    assert list(tmp_path.iterdir()) == []


def test_folder_of_another_process_stays(claim: FolderClaim) -> None:
    """A newer one of the same name, even of the same process."""
    with pytest.raises(OSError, match="not empty"):
        removed(claim, owner='{"mark": "1-3"}')
    assert (claim.path / "value").read_text() == "x"


def test_locked_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process lives, whatever the text says."""
    monkeypatch.setattr(removal, "_UNLOCKED", 0.0)
    living, follower = ClaimedFolder.make(tmp_path / "living"), Follower(tmp_path)
    claims.follow(follower)
    claims.unfollow(follower)
    removed(follower.present[living.path])
    assert living.path.is_dir()
    living.remove()


def test_shared_parents_stay(claim: FolderClaim) -> None:
    """Others use them."""
    other = claim.path.with_name("other")
    other.mkdir()
    with pytest.raises(OSError, match="not empty"):
        removed(claim)
    assert list(claim.path.parent.iterdir()) == [other]


def test_links_are_not_followed(claim: FolderClaim, tmp_path: Path) -> None:
    """Neither in the place of the folder, nor above it."""
    kept = tmp_path / "kept"
    claim.path.rename(kept)
    claim.path.symlink_to(kept)
    with pytest.raises(OSError, match="not empty"):
        removed(claim)
    assert (kept / "value").exists()
    claim.path.unlink()
    claim.path.parent.rmdir()
    kept.rename(tmp_path / "one")
    claim.path.parent.symlink_to(tmp_path)
    with pytest.raises(NotADirectoryError):
        removed(claim)
    assert (tmp_path / "one" / "value").exists()
