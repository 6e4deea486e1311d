"""One attempt at a file: a request for what is missing, and the writing of what it brings."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import aiohttp

from discomfort._system.concurrency import finish, in_thread, to_thread
from discomfort._system.process_table import boot_id
from discomfort.exceptions import DamagedDownloadError, DownloadError, DownloadStalledError
from discomfort.planning.needs import FileDigest
from discomfort.provision.addresses import shown
from discomfort.provision.disk_room import DiskRoom, readable
from discomfort.provision.file_request import FileAnswer, FileRequest, RangeRefused, TryAgain
from discomfort.provision.partial_file import FileVersion, PartialFile

Stage = Literal["waiting", "receiving", "checking", "done"]
Tell = Callable[[Stage, int, int | None], None]

_BLOCK, _BLOCK_SECONDS = 2 << 20, 1.0
_CONNECT_SECONDS = 30.0
_UNTOLD_PIECE = 64 << 20
"""Bytes after which the disk is looked at again, while a file of unknown size arrives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadLimits:
    """How patient a download is. Times are in seconds.

    It has stalled when less than ``slowest`` bytes per second arrive over ``stall``. After ``tries`` attempts in a row
    that bring less than that, it is given up; the pauses between them begin with ``first_pause`` and double. A server
    that asks for more than ``longest_wait`` is not waited for.
    """

    stall: float = 30.0
    slowest: int = 1024
    tries: int = 5
    first_pause: float = 1.0
    longest_wait: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FileGoal:
    """What is fetched to where: ``target``, or nothing if one of ``places`` has it already."""

    request: FileRequest
    target: Path
    places: tuple[Path, ...] = ()
    size: int | None = None
    digest: FileDigest | None = None


class FileReceiver:
    """Fetches what is missing of one file to its partial file. ``tell`` gets the bytes that have arrived.

    ``total`` is the size of the whole file, as soon as it is known. ``is_mixed`` says that bytes of several answers, or
    of an earlier process, are together.
    """

    total: int | None
    is_mixed: bool

    def __init__(
        self, goal: FileGoal, session: aiohttp.ClientSession, room: DiskRoom, limits: DownloadLimits, tell: Tell
    ) -> None:
        self._goal, self._session, self._room, self._limits, self._tell = goal, session, room, limits, tell
        self._source = hashlib.sha256(str(goal.request.url).encode()).hexdigest()
        self.total = goal.size
        self.is_mixed = False

    async def attempt(self, part: PartialFile) -> None:
        """One request, until its last byte. What arrived before an error is kept.

        Raises TryAgain, DownloadError, DiskFullError, OSError.
        """
        await self._keep_or_drop(part)
        if self.total is not None and part.size == self.total:
            return
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=self._limits.stall)
        validator = part.version.validator if part.version else ""
        request = self._goal.request
        try:
            async with request.opened(self._session, part.size, validator, timeout) as answer:
                await self._take(answer, part)
        except RangeRefused as refused:
            if refused.total != part.size:
                await in_thread(part.start_over)
                raise TryAgain(self._error("the server has no bytes after those that are here")) from refused
            self.total = part.size
        except (aiohttp.ClientError, TimeoutError) as error:
            request.explain(error)

    async def _keep_or_drop(self, part: PartialFile) -> None:
        """Drop what is here unless the rest can be added to it."""
        version, digest = part.version, self._goal.digest
        is_ours = version is not None and version.source == self._source
        is_safe = version is not None and bool(version.validator) and version.boot == boot_id()
        is_part = self.total is None or part.size <= self.total
        if part.size and not (is_ours and is_part and (is_safe or digest is not None)):
            await in_thread(part.start_over)

    async def _take(self, answer: FileAnswer, part: PartialFile) -> None:
        known = part.version.total if part.version else None
        if answer.start and None not in (known, answer.total) and known != answer.total:
            await in_thread(part.start_over)
            self.total = self._goal.size
            raise TryAgain(self._error("the server answered with a part of another file"))
        self._learn(answer, part)
        if answer.start == 0 and part.size:
            await in_thread(part.start_over)
        self.is_mixed = bool(part.size)
        missing = 0 if self.total is None else self.total - part.size
        await in_thread(lambda: self._room.claim(self._goal.target, missing))
        await in_thread(lambda: part.note(FileVersion(self._source, answer.validator, boot_id(), self.total)))
        async with aclosing(self._blocks(answer.response, part.size)) as blocks:
            await self._write(blocks, part)
        if self.total is None:
            self.total = part.size
        elif part.size < self.total:
            raise TryAgain(self._error(f"the connection ended after {part.size:,} of {self.total:,} bytes"))

    def _learn(self, answer: FileAnswer, part: PartialFile) -> None:
        """Take over what the answer says of the file; refuse one that is another file, or whose end cannot be told."""
        goal = self._goal
        if not part.algorithm and answer.linked_sha256:
            part.expect(FileDigest("sha256", answer.linked_sha256))
        if answer.total is not None and goal.size is not None and answer.total != goal.size:
            raise self._damaged(f"the server offers {answer.total:,} bytes, the wanted file has {goal.size:,}")
        if answer.total is None and goal.size is None and goal.digest is None and not answer.has_end:
            raise self._error("neither the server nor the workflow tells its size, so a cut could not be noticed")
        self.total = answer.total if answer.total is not None else goal.size

    async def _write(self, blocks: AsyncGenerator[list[bytes]], part: PartialFile) -> None:
        """Write each block in a thread, while the next one arrives: three blocks are in memory at most."""
        writing: asyncio.Task[None] | None = None
        looked = part.size
        try:
            async for block in blocks:
                if writing is not None:
                    begun, writing = writing, None
                    await finish(begun)
                if self.total is None and part.size - looked > _UNTOLD_PIECE:
                    looked = part.size
                    await in_thread(lambda: self._room.claim(self._goal.target, 1))
                writing = asyncio.create_task(_append(part, block))
        finally:
            if writing is not None:
                await finish(writing)

    async def _blocks(self, response: aiohttp.ClientResponse, arrived: int) -> AsyncGenerator[list[bytes]]:
        """The body in blocks of some megabytes. Raises TryAgain if too little arrives, DamagedDownloadError if more.

        A connection that breaks, and a cancellation, lose no byte that arrived before.
        """
        pace = _Pace(self._limits, arrived)
        block, size, since = list[bytes](), 0, time.monotonic()
        try:
            # A chunk as it was received: the other calls of aiohttp copy it.
            while (data := (await response.content.readchunk())[0]) or not response.content.at_eof():
                block.append(data)
                size, arrived = size + len(data), arrived + len(data)
                if self.total is not None and arrived > self.total:
                    block.clear()
                    raise self._damaged(f"more bytes arrive than the {self.total:,} of the wanted file")
                self._check(pace, arrived)
                # By time too: a slow one would lose much when it is killed.
                if size >= _BLOCK or time.monotonic() - since > _BLOCK_SECONDS:
                    self._tell("receiving", arrived, self.total)
                    full, block, size, since = block, [], 0, time.monotonic()
                    yield full
        except (aiohttp.ClientError, TimeoutError, TryAgain, asyncio.CancelledError):
            yield [*block, *_unread(response.content)]
            raise
        if block:
            self._tell("receiving", arrived, self.total)
            yield block

    def _check(self, pace: _Pace, arrived: int) -> None:
        problem, request = pace.problem(arrived), self._goal.request
        if problem is not None:
            raise TryAgain(DownloadStalledError(problem, name=request.name, url=shown(request.url)))

    def _damaged(self, problem: str) -> DamagedDownloadError:
        request = self._goal.request
        return DamagedDownloadError(problem, name=request.name, url=shown(request.url))

    def _error(self, problem: str) -> DownloadError:
        request = self._goal.request
        return DownloadError(problem, name=request.name, url=shown(request.url))


class _Pace:
    """Whether bytes arrive fast enough: a server that sends one each half minute would never be silent."""

    def __init__(self, limits: DownloadLimits, arrived: int) -> None:
        self._limits = limits
        self._since, self._before = time.monotonic(), arrived

    def problem(self, arrived: int) -> str | None:
        now = time.monotonic()
        seconds, count = now - self._since, arrived - self._before
        if seconds <= self._limits.stall:
            return None
        self._since, self._before = now, arrived
        if count >= self._limits.slowest * seconds:
            return None
        return f"only {readable(count)} arrived in {seconds:.0f} s"


def _unread(content: aiohttp.StreamReader) -> list[bytes]:
    """What arrived before the connection broke. aiohttp raises before it hands it over, and has no call for it."""
    return list(getattr(content, "_buffer", ()))


async def _append(part: PartialFile, block: list[bytes]) -> None:
    await to_thread(part.append, block)
