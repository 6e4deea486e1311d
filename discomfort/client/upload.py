"""Uploads over HTTP whose result is what nodes take; for callers that await, and for those that do not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from discomfort._system.http_sessions import open_session
from discomfort._system.loop_thread import LoopThread
from discomfort.client.content import UploadSource
from discomfort.client.rest import RestClient
from discomfort.exceptions import UploadError

HTTP_FOLDERS = ("input", "output", "temp")
"""What ``POST /upload/image`` takes as ``type``; any other is answered with 500."""


async def upload(
    rest: RestClient,
    source: UploadSource,
    folder_type: str = "input",
    subfolder: str = "",
    overwrite: bool = False,
    *,
    name: str | None = None,
) -> str:
    """Upload a path, bytes or a binary file object, and return what nodes take, ``subfolder/name``.

    Does not block the event loop and holds no more than a piece of the content in memory. Safe to cancel. ``name`` is
    needed for all but paths. The server stores a file of equal name and other content under a new name, unless
    ``overwrite``: use what is returned.

    Raises UploadError (a folder that HTTP does not reach), and as :meth:`RestClient.upload`.
    """
    _check_folder(folder_type)
    stored = await rest.upload(source, folder_type, subfolder, overwrite, name=name)
    stored_name, folder = str(stored["name"]), str(stored.get("subfolder") or "")
    return f"{folder}/{stored_name}" if folder else stored_name


def upload_blocking(
    url: str,
    headers: Mapping[str, str],
    source: UploadSource,
    folder_type: str,
    subfolder: str,
    overwrite: bool,
) -> str:
    """:func:`upload` for callers that cannot await. **Blocks the calling thread for the whole transfer.**

    In a coroutine that holds up the event loop, every run's socket included, and waits the upload's whole time for a
    server that lives in that same loop: await :func:`upload` there, or call this in a thread. It needs no running loop:
    it works in a thread with a loop of its own, which ends when the caller is interrupted.

    Raises FileNotFoundError, and as :func:`upload`.
    """
    _check_folder(folder_type)
    if isinstance(source, Path) and not source.is_file():
        raise FileNotFoundError(f"{source} is not a file")

    async def send() -> str:
        async with open_session() as session:
            rest = RestClient(session, url, headers)
            return await upload(rest, source, folder_type, subfolder, overwrite)

    thread = LoopThread("discomfort-upload")
    try:
        return thread.call(send())
    finally:
        thread.close()


def _check_folder(folder_type: str) -> None:
    if folder_type not in HTTP_FOLDERS:
        raise UploadError(f"folder_type {folder_type!r}: over HTTP there are {', '.join(HTTP_FOLDERS)}")
