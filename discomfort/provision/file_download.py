"""One file, from its address to its name: attempts that go on where the last one ended, and the checks at the end."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Literal

from discomfort._system.concurrency import in_thread
from discomfort._system.locks import FileLock
from discomfort.exceptions import (
    DamagedDownloadError,
    DiskFullError,
    DownloadError,
    DownloadStalledError,
    FileConflictError,
)
from discomfort.provision.addresses import shown
from discomfort.provision.disk_room import DiskRoom
from discomfort.provision.file_digests import has_digest
from discomfort.provision.file_receiver import DownloadLimits, FileGoal, FileReceiver, Tell
from discomfort.provision.file_request import TryAgain
from discomfort.provision.partial_file import PartialFile, lock_path, part_path
from discomfort.provision.text_answers import text_in_place

_LOCK_POLL = 0.1
_LONGEST_PAUSE = 60.0


class FileDownload:
    """Fetches one file. ``tell`` gets each stage; ``deadline`` is the loop's time after which nobody waits."""

    def __init__(
        self,
        goal: FileGoal,
        receiver: FileReceiver,
        room: DiskRoom,
        limits: DownloadLimits,
        tell: Tell,
        *,
        deadline: float | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._goal, self._receiver, self._room, self._limits, self._tell = goal, receiver, room, limits, tell
        self._deadline, self._sleep = deadline, sleep

    async def run(self) -> Literal["fetched", "present"]:
        """Fetch it, unless it is there. The folder of the target must exist.

        What has arrived stays for the next attempt, unless it is damaged or the disk is full. Cancellation and errors
        leave the lock free. Raises DownloadError, FileConflictError, DiskFullError, OSError.
        """
        target = self._goal.target
        async with self._locked():
            if await self._is_there():
                return "present"
            part = PartialFile(target, self._goal.digest)
            try:
                await in_thread(part.open)
                await self._receive(part)
                await self._publish(part)
            except (DiskFullError, DamagedDownloadError) as error:
                # A disk that became full stops the server too, so the room is given back, and this file has to begin
                # again. Where the reserve is left, as a check found in time, what has arrived stays.
                if isinstance(error, DamagedDownloadError) or error.__cause__ is not None:
                    await in_thread(part.discard)
                raise
            finally:
                part.discard_if_empty()
                part.close()
                self._room.release(target)
            self._tell("done", part.size, part.size)
            return "fetched"

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        """Holds the lock of the target. While another process has it, waits as long as that one's file grows."""
        target, patience = self._goal.target, self._limits.stall * 4
        size, since = -1, time.monotonic()
        with ExitStack() as stack:
            while True:
                lock = FileLock.take(lock_path(target))
                if lock is not None:
                    stack.callback(lock.release, remove=True)
                    break
                arrived = _size_of(part_path(target))
                self._tell("waiting", arrived, self._goal.size)
                if arrived != size:
                    size, since = arrived, time.monotonic()
                elif time.monotonic() - since > patience:
                    problem = f"another process fetches it, and nothing arrived for {patience:g} s"
                    raise DownloadStalledError(problem, name=self._goal.request.name)
                await self._sleep(_LOCK_POLL)
            yield

    async def _is_there(self) -> bool:
        path = _first_of(self._goal.target, self._goal.places)
        if path is None:
            return False
        self._tell("checking", 0, self._goal.size)
        await self._compare(path)
        return True

    async def _compare(self, path: Path) -> None:
        goal = self._goal
        size = _size_of(path)
        if problem := _not_a_file(path):
            pass
        elif goal.size is not None and size != goal.size:
            problem = f"it has {size:,} bytes, the wanted file has {goal.size:,}"
        elif goal.digest is not None and not await in_thread(partial(has_digest, path, goal.digest)):
            problem = f"its {goal.digest.algorithm} is not that of the wanted file"
        else:
            return
        raise FileConflictError(
            f"another file has this name, and is left as it is: {problem}", path=path,
            remedy="Rename or remove it if you do not need it, and try again",
        )  # fmt: skip

    async def _receive(self, part: PartialFile) -> None:
        """Attempts, until everything has arrived and is right."""
        failures, has_started_over = 0, False
        while True:
            before = part.size
            try:
                await self._receiver.attempt(part)
            except TryAgain as failed:
                # A byte for each attempt would be one for each pause, without end.
                has_moved = part.size - before >= self._limits.slowest * self._limits.stall
                failures = 1 if has_moved else failures + 1
                if part.times_dropped > self._limits.tries:
                    # A host that never continues sends the same beginning again and again.
                    raise failed.error from failed
                await self._pause(failed, failures)
                continue
            problem = await self._problem(part)
            if problem is not None or not part.algorithm:
                await self._refuse_text(part)
            if problem is None:
                return
            if has_started_over or not self._receiver.is_mixed:
                await in_thread(part.discard)
                request = self._goal.request
                raise DamagedDownloadError(problem, name=request.name, url=shown(request.url))
            # Its beginning may be of another version of the file, so it is fetched as a whole, once.
            has_started_over = True
            await in_thread(part.start_over)

    async def _problem(self, part: PartialFile) -> str | None:
        """What is wrong with a file that has arrived as a whole."""
        total = self._receiver.total
        self._tell("checking", part.size, total)
        if total is not None and part.size != total:
            return f"{part.size:,} bytes arrived, the wanted file has {total:,}"
        if not await in_thread(part.has_wanted_digest):
            return f"its {part.algorithm} is not that of the wanted file"
        return None

    async def _refuse_text(self, part: PartialFile) -> None:
        """Raise DownloadError if the host sent a page, or another text, in place of a model."""
        what = text_in_place(self._goal.target.name, await in_thread(part.beginning))
        if not what:
            return
        await in_thread(part.discard)
        request = self._goal.request
        raise DownloadError(
            f"there is {what} at its address and not a model", name=request.name, url=shown(request.url),
            remedy="Use the address of the file itself. Some hosts send a text to those who have to sign in",
        )  # fmt: skip

    async def _publish(self, part: PartialFile) -> None:
        try:
            await in_thread(part.publish)
        except FileExistsError:
            # Another program put a file there meanwhile, which does not know our lock.
            await self._compare(self._goal.target)
            await in_thread(part.discard)

    async def _pause(self, failed: TryAgain, failures: int) -> None:
        if failures >= self._limits.tries:
            raise failed.error
        pause = min(_LONGEST_PAUSE, self._limits.first_pause * 2.0 ** (failures - 1))
        if failed.after is not None:
            pause = max(pause, failed.after)
        left = self._limits.longest_wait
        remedy = "Try again later"
        if self._deadline is not None and (rest := self._deadline - asyncio.get_running_loop().time()) < left:
            left, remedy = rest, "Try again later, or with a longer timeout"
        if pause > left:
            error = failed.error
            raise DownloadError(
                f"{error.problem}, and the next attempt has to wait {pause:.0f} s", name=error.name, url=error.url,
                status=error.status, remedy=remedy,
            ) from error  # fmt: skip
        self._tell("waiting", 0, self._receiver.total)
        await self._sleep(pause)


def _first_of(target: Path, places: tuple[Path, ...]) -> Path | None:
    """Where the name is taken: at the target by whatever is there, elsewhere only by a file, which the server finds."""
    if os.path.lexists(target):
        return target
    return next((path for path in places if path.is_file()), None)


def _not_a_file(path: Path) -> str:
    """What has the name, if it is not a file; to read a pipe could take forever."""
    if path.is_file():
        return ""
    return "it is not a file" if path.exists() else "it is a link that leads nowhere"


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
