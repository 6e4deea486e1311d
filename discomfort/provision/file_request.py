"""A single HTTP request for a file, or for the rest of it: redirects, tokens, and what each answer means."""

from __future__ import annotations

import email.utils
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

import aiohttp
from yarl import URL

from discomfort._system.http_sessions import AddressRefused, reason_of
from discomfort.exceptions import DownloadError, DownloadRefusedError, DownloadStalledError
from discomfort.provision.addresses import names_private_address, origin, shown
from discomfort.provision.host_tokens import where_to_set

_MOST_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 531)})
_LONGEST_LINE = 300
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_WHOLE = re.compile(r"bytes \*/(\d+)")
_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_LINKED_HASH = re.compile(r'"?([0-9a-f]{64})"?')


class TryAgain(Exception):
    """The attempt failed for a reason that may pass; ``error`` is what to raise if it does not.

    ``after`` is how long the server asks to wait, in seconds.
    """

    def __init__(self, error: DownloadError, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.after = error, after


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """A response with the bytes of a file from ``start`` on; ``total`` is the size of the whole file, if it is told.

    ``has_end`` is whether its end can be told from a broken connection. ``linked_sha256`` is what Hugging Face says of
    the file that it redirects to.
    """

    response: aiohttp.ClientResponse
    start: int
    total: int | None
    validator: str
    has_end: bool
    linked_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class FileRequest:
    """A file at ``url``. ``token`` goes to the host of that address only, over the same scheme and port."""

    name: str
    url: URL
    token: str | None
    allows_private: bool

    def __repr__(self) -> str:
        return f"<FileRequest of {self.name} at {shown(self.url)}>"

    @asynccontextmanager
    async def opened(
        self, session: aiohttp.ClientSession, start: int, validator: str, timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[FileAnswer]:
        """The answer for the bytes from ``start`` on, or from 0 if the file is another one by now.

        Raises TryAgain, DownloadError. Errors of the connection inside the block are raised as they are.
        """
        url, seen, linked = self.url, set[URL](), None
        while True:
            if url in seen or len(seen) == _MOST_REDIRECTS:
                raise self._error("the redirects of its address do not end", url)
            seen.add(url)
            response = await self._send(session, url, start, validator, timeout)
            try:
                linked = linked or _linked(response)
                if response.status not in _REDIRECTS:
                    yield self._understood(response, url, start, linked)
                    return
                url = self._next(url, response)
            finally:
                response.close()

    async def _send(
        self, session: aiohttp.ClientSession, url: URL, start: int, validator: str, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        if not self.allows_private and names_private_address(url):
            raise self._private(url, f"{url.host} is not an address of the internet")
        # A compressed answer would have no byte ranges of the file.
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if validator:
                headers["If-Range"] = validator
        if self.token is not None and origin(url) == origin(self.url):
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            return await session.get(url, headers=headers, timeout=timeout, allow_redirects=False)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            self.explain(error, url)

    def _next(self, url: URL, response: aiohttp.ClientResponse) -> URL:
        location = response.headers.get("Location", "")
        try:
            target = url.join(URL(location, encoded=True)).with_fragment(None)
            is_known = target.scheme in {"http", "https"} and bool(target.host)
        except ValueError:
            is_known = False
        if not location or not is_known:
            told = location.partition("?")[0][:_LONGEST_LINE]
            raise self._error(f"it redirects to {told!r}, which is not fetched", url)
        if url.scheme == "https" and target.scheme == "http":
            raise self._error(f"it redirects to {shown(target)}, which is not encrypted", url)
        return target.with_user(None)

    def _understood(self, response: aiohttp.ClientResponse, url: URL, start: int, linked: str | None) -> FileAnswer:
        status = response.status
        if status not in {200, 206}:
            self._refused(response, url, start)
        if response.headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
            raise self._error("the server compresses it, so its bytes cannot be checked", url, status)
        if response.content_type in _PAGES:
            raise self._error(
                "there is a web page at its address and not a file", url, status,
                remedy="Use the address of the file itself. Sites show such a page to those who have to sign in",
            )  # fmt: skip
        length = response.content_length
        total, begin = length, 0
        if status == 206:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            begin = int(found[1]) if found else -1
            if found is None or begin != start or (found[3] != "*" and int(found[2]) + 1 != int(found[3])):
                raise TryAgain(self._error("the server answered with another part than was asked for", url, status))
            total = int(found[2]) + 1
        has_end = length is not None or "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        return FileAnswer(response, begin, total, _validator(response.headers), has_end, linked)

    def _refused(self, response: aiohttp.ClientResponse, url: URL, start: int) -> NoReturn:
        status = response.status
        if status in {401, 403}:
            raise self._no_access(url, status)
        if status == 416 and start:
            whole = _WHOLE.fullmatch(response.headers.get("Content-Range", ""))
            raise RangeRefused(int(whole[1]) if whole else None)
        error = self._error(f"the server answered {status} {response.reason or ''}".rstrip(), url, status)
        if status in _BUSY:
            raise TryAgain(error, retry_after(response.headers.get("Retry-After", ""), datetime.now(UTC)))
        if status in {404, 410}:
            error = self._error("there is nothing at its address any more", url, status)
        raise error

    def _no_access(self, url: URL, status: int) -> DownloadRefusedError:
        host = (self.url.host or "").lower()
        if origin(url) != origin(self.url):
            problem, remedy = f"{url.host}, to which its address redirects, refuses it", "Try again later"
        elif self.token is None:
            problem = f"{host} gives it only to those who sign in"
            remedy = f"If its page asks for it, accept the licence there; then {where_to_set(host)}"
        else:
            problem = f"{host} refuses it to the owner of the token"
            remedy = "Accept the licence on its page, with the account of the token; and check that the token may read"
        return DownloadRefusedError(problem, name=self.name, url=shown(url), status=status, remedy=remedy)

    def explain(self, error: Exception, url: URL | None = None) -> NoReturn:
        """Raise what a broken connection means: TryAgain, or DownloadError if another attempt cannot help."""
        at = self.url if url is None else url
        inner = getattr(error, "os_error", None)
        if isinstance(inner, AddressRefused):
            raise self._private(at, str(inner)) from error
        if isinstance(error, aiohttp.InvalidURL | ValueError) or isinstance(inner, ssl.SSLCertVerificationError):
            raise self._error(reason_of(error), at) from error
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            raise self._error(f"the server's certificate is not accepted: {error.certificate_error}", at) from error
        if isinstance(error, TimeoutError):
            stalled = DownloadStalledError("nothing arrived for too long", name=self.name, url=shown(at))
            raise TryAgain(stalled) from error
        raise TryAgain(self._error(reason_of(error), at)) from error

    def _private(self, url: URL, problem: str) -> DownloadError:
        return self._error(
            f"{problem}, and files of a private network are not fetched", url,
            remedy="If you trust this address, pass allow_private=True (--allow-private)",
        )  # fmt: skip

    def _error(self, problem: str, url: URL, status: int | None = None, *, remedy: str = "") -> DownloadError:
        return DownloadError(problem, name=self.name, url=shown(url), status=status, remedy=remedy)


class RangeRefused(Exception):
    """The file has no bytes from the asked place on; it has ``total`` bytes, if the server says so."""

    def __init__(self, total: int | None) -> None:
        super().__init__(f"the file ends at {total}")
        self.total = total


def retry_after(value: str, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` header asks to wait; ``None`` if it says nothing that can be read."""
    if value.strip().isdigit():
        return float(value.strip()[:9])
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


def _validator(headers: Mapping[str, str]) -> str:
    """What can stand in ``If-Range``: a strong ETag, else the time of the last change; empty if there is neither."""
    tag = headers.get("ETag", "")
    if tag.startswith('"') and len(tag) < _LONGEST_LINE:
        return tag
    return headers.get("Last-Modified", "")[:_LONGEST_LINE]


def _linked(response: aiohttp.ClientResponse) -> str | None:
    found = _LINKED_HASH.fullmatch(response.headers.get("X-Linked-ETag", ""))
    return found[1] if found and response.status in _REDIRECTS else None
