"""Uploads for callers that do not await."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from unit.client.fake_comfy import FakeComfy

from discomfort.client.upload import upload_blocking
from discomfort.exceptions import UploadError


async def test_the_name_for_nodes_comes_back(server: FakeComfy, tmp_path: Path) -> None:
    """With its subfolder, as LoadImage takes it."""
    source = tmp_path / "a.png"
    await asyncio.to_thread(source.write_bytes, b"x")

    name = await asyncio.to_thread(upload_blocking, server.url, {}, source, "input", "sub", False)

    assert name == "sub/a.png"
    assert server.files == {"a.png": b"x"}


def test_folders_that_http_does_not_reach(tmp_path: Path) -> None:
    """And files that are not there."""
    with pytest.raises(UploadError, match="models"):
        upload_blocking("http://127.0.0.1:1", {}, tmp_path, "models", "", overwrite=False)
    with pytest.raises(FileNotFoundError):
        upload_blocking("http://127.0.0.1:1", {}, tmp_path / "none", "input", "", overwrite=False)
