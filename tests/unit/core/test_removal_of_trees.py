"""A folder that somebody still writes to for a moment is removed all the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from discomfort._system.removal import remove_tree


def test_what_is_written_meanwhile_goes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a process that was killed, and ends only now."""
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    rmtree, rounds = shutil.rmtree, list[Path]()

    def disturbed(path: Path, **options: bool) -> None:
        rmtree(path, **options)
        rounds.append(path)
        if len(rounds) < 3:
            (folder / "late").mkdir(parents=True)

    monkeypatch.setattr(shutil, "rmtree", disturbed)
    remove_tree(folder)

    assert len(rounds) == 3
    assert not folder.exists()
    remove_tree(folder)
