"""Tells the status of a pool to other processes of this user: one line of JSON to whoever connects to its socket.

The socket lies in a folder that only this user can open, and that the process claims: if it is killed, its watchdog
removes the folder, or the next pool does. What goes wrong here is logged and does the pool no harm.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from discomfort import _json
from discomfort._system import claimed_folders, local_sockets
from discomfort._system.claimed_folders import ClaimedFolder
from discomfort._system.concurrency import finish, in_own_thread
from discomfort.context import folders
from discomfort.pool.pool_status import PoolStatus
from discomfort.redaction import redact, split_credentials

_log = logging.getLogger("discomfort.pool")

_FOLDER = "pools"
_SOCKET = "status"
_ANSWER = 5.0
"""Seconds that a reader may take."""
_ASK = 2.0
"""Seconds within which a pool whose event loop is not blocked has answered."""
_LONGEST = 1 << 24


class StatusSocket:
    """The socket of one pool, from :meth:`open` to :meth:`close`."""

    def __init__(self, status: Callable[[], PoolStatus]) -> None:
        self._status = status
        self._folder: ClaimedFolder | None = None
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to tell. Never raises, but for a cancellation; then :meth:`close` is needed all the same."""
        try:
            listening = await finish(in_own_thread(self._claim))
            self._server = await asyncio.start_unix_server(self._tell, sock=listening)
        except Exception as error:  # noqa: BLE001 - the pool is of use without it
            _log.debug("discomfort pool status cannot show this pool: %s", error)

    async def close(self) -> None:
        """Tell nothing any more, and remove the folder. Safe to call twice; never raises."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await in_own_thread(self.close_now)

    def close_now(self) -> None:
        """Remove the folder, without an event loop."""
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.remove()

    def _claim(self) -> socket.socket:
        root = pools_root()
        folders.remove_leftovers(root)
        self._folder = folders.make_home(root, secrets.token_hex(8))
        return local_sockets.listen(self._folder.path, _SOCKET)

    async def _tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_ANSWER):
                writer.write(_json.dumps(described(self._status())) + b"\n")
                await writer.drain()
        except Exception as error:  # noqa: BLE001 - the pool goes on
            _log.debug("the status of the pool could not be told: %s", error)
        finally:
            writer.close()


@dataclass(frozen=True, slots=True)
class ToldPool:
    """What one pool tells: the process, its program, and its status as :meth:`PoolStatus.to_dict` has it.

    ``problem`` says why there is no status.
    """

    pid: int = 0
    program: str = ""
    status: Mapping[str, Any] | None = None
    problem: str = ""


def running_pools() -> list[ToldPool]:
    """All pools of this user on this machine. Blocking. What killed processes have left is removed."""
    root = pools_root()
    folders.remove_leftovers(root)
    return [_ask(path) for path in sorted(folders.files_in(root)) if claimed_folders.is_claimed(path)]


def described(status: PoolStatus) -> dict[str, Any]:
    """What is told: no texts of prompts, no values, no credentials."""
    told = status.to_dict()
    for server in told["servers"]:
        server["url"] = split_credentials(server["url"])[0] if server["url"] else ""
        server["reason"] = redact(server["reason"])
    return {"pid": os.getpid(), "program": Path(sys.argv[0] if sys.argv else "").name, "status": told}


def pools_root() -> Path:
    """The folder of this user's pools; it need not exist."""
    return folders.disk_root(_FOLDER)


def _ask(path: Path) -> ToldPool:
    try:
        answer = _json.loads(local_sockets.read_all(path, _SOCKET, seconds=_ASK, limit=_LONGEST))
        return ToldPool(int(answer["pid"]), str(answer["program"]), dict(answer["status"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.debug("%s: %s", path, error)
        late = isinstance(error, TimeoutError)
        return ToldPool(problem=f"does not answer within {_ASK:g} s" if late else f"cannot be asked: {error}")
