"""Uploads over HTTP for callers that do not await."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from discomfort.client.rest import RestClient
from discomfort.exceptions import ServerConnectionError, UploadError

HTTP_FOLDERS = ("input", "output", "temp")
"""What ``POST /upload/image`` takes as ``type``; any other is answered with 500."""
_TIMEOUT = 3600.0


def upload_blocking(
    url: str, headers: Mapping[str, str], source: Path, folder_type: str, subfolder: str, overwrite: bool
) -> str:
    """Upload ``source`` and return the name that nodes such as ``LoadImage`` take, ``subfolder/name``.

    Works in a thread with an event loop of its own, so that it may be called beside a running loop. The server stores
    a file of equal name and other content under a new name, unless ``overwrite``: use what is returned.

    Raises FileNotFoundError, UploadError (a folder that HTTP does not reach), ServerConnectionError,
    ServerResponseError.
    """
    if folder_type not in HTTP_FOLDERS:
        raise UploadError(f"folder_type {folder_type!r}: over HTTP there are {', '.join(HTTP_FOLDERS)}")
    if not source.is_file():
        raise FileNotFoundError(f"{source} is not a file")
    result: list[str] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            result.append(asyncio.run(_upload(url, headers, source, folder_type, subfolder, overwrite)))
        except BaseException as error:  # noqa: BLE001 - handed over to the calling thread
            failure.append(error)

    thread = threading.Thread(target=work, name="discomfort-upload", daemon=True)
    thread.start()
    thread.join(_TIMEOUT)
    if failure:
        raise failure[0]
    if not result:
        raise ServerConnectionError(f"the upload took longer than {_TIMEOUT:g} s", url=url)
    return result[0]


async def _upload(
    url: str, headers: Mapping[str, str], source: Path, folder_type: str, subfolder: str, overwrite: bool
) -> str:
    async with aiohttp.ClientSession() as session:
        stored = await RestClient(session, url, headers).upload(source, folder_type, subfolder, overwrite)
    name, folder = str(stored["name"]), str(stored.get("subfolder") or "")
    return f"{folder}/{name}" if folder else name
