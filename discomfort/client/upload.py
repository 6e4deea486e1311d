"""Uploads over HTTP that return the value that nodes take; awaitable, and blocking for callers that cannot await."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from discomfort._system.http_sessions import DIRECT, Route, open_session
from discomfort._system.loop_thread import LoopThread
from discomfort.client.content import UploadSource
from discomfort.client.rest import RestClient
from discomfort.exceptions import UploadError

HTTP_FOLDERS = ("input", "output", "temp")
"""The values that ``POST /upload/image`` accepts as ``type``; ComfyUI answers others with 500."""


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

    Does not block the event loop and keeps only one piece of the content in memory. Safe to cancel. ``name`` is
    required for all but paths. Without ``overwrite``, the server stores a file whose name is taken under a new name, so
    use the returned value.

    Raises UploadError (a folder that HTTP cannot reach), and as :meth:`RestClient.upload`.
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
    *,
    route: Route = DIRECT,
) -> str:
    """:func:`upload` for callers that cannot await. **Blocks the calling thread for the whole transfer.**

    In a coroutine this blocks the event loop, and with it the socket of every run; a server in the same loop could not
    answer. Await :func:`upload` there, or call this in a thread. It needs no running loop: it works in a thread with a
    loop of its own, which ends when the caller is interrupted.

    Raises FileNotFoundError, and as :func:`upload`.
    """
    _check_folder(folder_type)
    if isinstance(source, Path) and not source.is_file():
        raise FileNotFoundError(f"{source} is not a file")

    async def send() -> str:
        async with open_session(route=route) as session:
            rest = RestClient(session, url, headers)
            return await upload(rest, source, folder_type, subfolder, overwrite)

    thread = LoopThread("discomfort-upload")
    try:
        return thread.call(send())
    finally:
        thread.close()


def _check_folder(folder_type: str) -> None:
    if folder_type not in HTTP_FOLDERS:
        raise UploadError(f"folder_type {folder_type!r}: uploads over HTTP can use only {', '.join(HTTP_FOLDERS)}")
