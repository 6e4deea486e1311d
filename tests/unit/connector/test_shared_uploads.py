"""Uploads that calls share: one file for equal content, deleted with the last call, whatever ends in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from discomfort.connector.file_upload import Upload
from discomfort.connector.shared_uploads import SharedUploads
from discomfort.exceptions import UploadError


class Folder:
    """An input folder: uploads wait at ``may_write``, deletions at ``may_delete``."""

    def __init__(self, *, is_owned: bool = True) -> None:
        self.files: list[str] = []
        self.log: list[str] = []
        self.may_write, self.may_delete = asyncio.Event(), asyncio.Event()
        self.may_write.set()
        self.may_delete.set()
        self.fails, self.is_owned = False, is_owned
        self.uploads = SharedUploads(self.upload, self.delete, self.has_file, are_ephemeral=is_owned)

    async def upload(self, source: Any, *, name: str, subfolder: str, ephemeral: bool) -> Upload:
        assert ephemeral is self.is_owned
        self.log.append("upload")
        await self.may_write.wait()
        if self.fails:
            raise UploadError("no room")
        assert name not in self.files
        self.files.append(name)
        return Upload(f"{subfolder}/{name}" if subfolder else name, Path("/input", name) if self.is_owned else None)

    async def delete(self, path: Path) -> None:
        self.log.append("delete")
        await self.may_delete.wait()
        self.files.remove(path.name)

    async def has_file(self, name: str, subfolder: str, folder: str) -> bool:
        return name in self.files


async def test_the_last_call_deletes() -> None:
    """Two calls with equal content have one file, others have their own."""
    folder = Folder()
    first = await folder.uploads.take(b"same", "a.png")
    second = await folder.uploads.take(b"same", "a.png")
    other = await folder.uploads.take(b"other", "a.png")
    assert first == second
    assert first.value.endswith("-a.png")
    assert len(folder.files) == 2
    await folder.uploads.leave(first)
    assert len(folder.files) == 2
    await folder.uploads.leave(second)
    await folder.uploads.leave(other)
    assert folder.files == []
    assert folder.log == ["upload", "upload", "delete", "delete"]


async def test_a_call_that_comes_during_the_deletion() -> None:
    """Waits for it, and uploads again."""
    folder = Folder()
    first = await folder.uploads.take(b"same", "a.png")
    folder.may_delete.clear()
    leaving = asyncio.create_task(folder.uploads.leave(first))
    await until(lambda: "delete" in folder.log)
    taking = asyncio.create_task(folder.uploads.take(b"same", "a.png"))
    # It would fail at a name that is there still.
    folder.may_delete.set()
    again = await taking
    await leaving
    assert again == first
    assert folder.log == ["upload", "delete", "upload"]
    assert len(folder.files) == 1
    await folder.uploads.leave(again)
    assert folder.files == []


async def test_a_cancelled_call_leaves_nothing() -> None:
    """Its copy is completed and then deleted; but not while another call needs it."""
    folder = Folder()
    folder.may_write.clear()
    alone = asyncio.create_task(folder.uploads.take(b"alone", "a.png"))
    shared = asyncio.create_task(folder.uploads.take(b"shared", "a.png"))
    kept = asyncio.create_task(folder.uploads.take(b"shared", "a.png"))
    await until(lambda: sorted(each.users for each in folder.uploads._shared.values()) == [1, 2])
    alone.cancel()
    shared.cancel()
    await asyncio.wait([alone, shared])
    folder.may_write.set()
    made = await kept
    await until(lambda: len(folder.files) == 1 and "delete" in folder.log)
    assert folder.files == [made.value]
    await folder.uploads.leave(made)
    assert folder.files == []


async def test_a_failed_upload_is_tried_again_by_the_next_call() -> None:
    """All that waited for it get its error."""
    folder = Folder()
    folder.fails = True
    for taking in (folder.uploads.take(b"x", "a"), folder.uploads.take(b"x", "a")):
        with pytest.raises(UploadError, match="no room"):
            await taking
    folder.fails = False
    made = await folder.uploads.take(b"x", "a")
    await folder.uploads.leave(made)
    assert folder.files == []


async def test_an_attached_server_gets_a_file_once(tmp_path: Path) -> None:
    """Nothing can be deleted there, so what is there is not sent again, whoever sent it."""
    folder = Folder(is_owned=False)
    path = tmp_path / "a.png"
    path.write_bytes(b"same")
    first = await folder.uploads.take(path, "a.png", "3d")
    await folder.uploads.leave(first)
    again = SharedUploads(folder.upload, folder.delete, folder.has_file, are_ephemeral=False)
    second = await again.take(b"same", "a.png", "3d")
    assert second.value == first.value == f"3d/{folder.files[0]}"
    assert folder.log == ["upload"]
