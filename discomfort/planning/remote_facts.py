"""Facts about model files on the hosts that a workflow names: size, digest, and whether they are gated.

Only asked for with ``online=True``. The requests are HEAD, without credentials; the addresses come from the workflow.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit

import aiohttp

from discomfort._system.http_sessions import open_session, reason_of
from discomfort.planning.needs import FileDigest, ModelNeed

_DEADLINE = 20.0
"""Seconds for one file, redirects included."""
_AT_ONCE = 4
_MOST_REDIRECTS = 5
_SHA256 = re.compile(r'(?:W/)?"?([0-9a-f]{64})"?')


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What a host says about a file; ``problem`` is why it says nothing."""

    size: int | None = None
    digest: FileDigest | None = None
    is_gated: bool | None = None
    problem: str = ""


async def look_up(models: Sequence[ModelNeed]) -> tuple[tuple[ModelNeed, ...], list[str]]:
    """The models, the missing ones with what their hosts say, and what could not be found out.

    Takes 20 s at most for each four of them. Safe to cancel.
    """
    wanted = list(dict.fromkeys(model.url for model in models if model.is_missing and model.url is not None))
    turns = asyncio.Semaphore(_AT_ONCE)
    async with open_session(connections=_AT_ONCE) as session:

        async def ask(url: str) -> RemoteFile:
            async with turns:
                return await _asked(session, url)

        answers = await asyncio.gather(*map(ask, wanted))
    found = dict(zip(wanted, answers, strict=True))
    unknown = [f"size of {_named(url)}: {answer.problem}" for url, answer in found.items() if answer.problem]
    return tuple(_completed(model, found.get(model.url or "")) for model in models), unknown


async def _asked(session: aiohttp.ClientSession, url: str) -> RemoteFile:
    try:
        async with asyncio.timeout(_DEADLINE):
            return await _followed(session, url)
    except TimeoutError:
        return RemoteFile(problem=f"no answer within {_DEADLINE:.0f} s")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return RemoteFile(problem=reason_of(error)[:300])


async def _followed(session: aiohttp.ClientSession, url: str) -> RemoteFile:
    """The answer at the end of the redirects; Hugging Face says size and digest in the first one already."""
    digest: FileDigest | None = None
    for _ in range(_MOST_REDIRECTS):
        async with session.head(url, allow_redirects=False) as response:
            headers, status = response.headers, response.status
        digest = digest or _digest(headers.get("X-Linked-ETag"))
        size = _size(headers.get("X-Linked-Size"))
        if size is not None and status < 400:
            return RemoteFile(size, digest, is_gated=False)
        if status in (401, 403):
            return RemoteFile(size, digest, is_gated=True)
        if status == 200:
            return RemoteFile(_size(headers.get("Content-Length")), digest, is_gated=False)
        if status not in (301, 302, 303, 307, 308) or "Location" not in headers:
            return RemoteFile(problem=f"the host answers {status}")
        target = urljoin(url, headers["Location"])
        if urlsplit(target).scheme not in ({"https"} if url.startswith("https:") else {"http", "https"}):
            return RemoteFile(problem="the host redirects to an address that is not https")
        url = target
    return RemoteFile(problem=f"more than {_MOST_REDIRECTS} redirects")


def _completed(model: ModelNeed, file: RemoteFile | None) -> ModelNeed:
    if file is None or not model.is_missing:
        return model
    return replace(model, size=file.size, digest=model.digest or file.digest, is_gated=file.is_gated)


def _named(url: str) -> str:
    """An address without its query, which may hold a secret."""
    return url.partition("?")[0][:300]


def _size(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 19 else None


def _digest(tag: str | None) -> FileDigest | None:
    found = _SHA256.fullmatch(tag.strip()) if tag is not None else None
    return FileDigest("sha256", found[1]) if found else None
