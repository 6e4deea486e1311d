"""The connector of a command: started or attached, and released at the end."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from discomfort.cli.inputs import UsageError, check_target, read_headers
from discomfort.cli.pool_choice import PoolChoice
from discomfort.cli.progress_bars import Display
from discomfort.cli.terminal import LogHandler, Terminal

if TYPE_CHECKING:
    from discomfort.config import SettingArguments
    from discomfort.connector import ComfyConnector
    from discomfort.pool.pool import ComfyPool

_log = logging.getLogger("discomfort.cli")


@dataclass(frozen=True, slots=True)
class ServerTarget:
    """The server that a command uses: one to start, or (``attach``) one that is running.

    ``headers`` are sent with every request to an attached server, ``proxy`` is the way to it; both may contain secrets,
    so ``repr`` omits them. With ``loads_nodes``, a server that is started has the nodes of ports.
    """

    config: Path | None = None
    engine: str | None = None
    attach: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxy: str | None = field(default=None, repr=False)
    loads_nodes: bool = False


def read_target(
    config: Path | None,
    engine: str | None,
    attach: str | None,
    headers: Sequence[str] | None,
    proxy: str | None,
    pool: PoolChoice | None = None,
) -> ServerTarget:
    """The server that a command's options name. Raises UsageError for a contradiction, OSError for a header file.

    ``headers`` and ``proxy`` may be those of a pool's servers.
    """
    given = list(headers or [])
    if pool is not None and attach is not None:
        raise UsageError("--attach uses one server, --pool several: give all their URLs to --pool")
    running = ", ".join(pool.urls) if pool is not None and pool.urls else attach
    return ServerTarget(config, check_target(engine, running, given, proxy), attach, read_headers(given), proxy)


class Holder:
    """Holds the live connector for a forced end."""

    def __init__(self) -> None:
        self.connector: ComfyConnector | None = None
        self.pool: ComfyPool | None = None

    def release_now(self) -> None:
        """Kill the server and the browser and delete ephemeral files, at once. Callable from any thread."""
        if self.pool is not None:
            self.pool.release_now()
        connector = self.connector or _starting()
        if connector is not None:
            connector.release_now()


async def open_connector(target: ServerTarget) -> ComfyConnector:
    """Start or attach. Raises what ``ComfyConnector.create`` and ``attach`` raise."""
    # Here and not above: importing the connector takes longer than `--help` or a usage error may.
    from discomfort.connector import ComfyConnector

    settings = cast("SettingArguments", {} if target.engine is None else {"engine": target.engine})
    if target.attach is not None:
        return await ComfyConnector.attach(
            target.attach, headers=target.headers, proxy=target.proxy, config_path=target.config, **settings
        )
    return await ComfyConnector._create(target.config, settings, loads_nodes=target.loads_nodes)


@contextlib.asynccontextmanager
async def connected(
    target: ServerTarget, terminal: Terminal, display: Display, holder: Holder, log: LogHandler
) -> AsyncIterator[ComfyConnector]:
    """A ready connector for the block; afterwards it is shut down completely, whatever happened."""
    display.phase("connecting" if target.attach else "starting the server")
    connector = await open_connector(target)
    holder.connector = connector
    try:
        if not log.engine_announced:
            where = f" ({connector.server_address})" if target.attach else ""
            terminal.note(f"engine: {connector.engine}{where}")
        yield connector
    finally:
        display.phase("shutting down")
        await connector.kill_api()
        holder.connector = None


def _starting() -> ComfyConnector | None:
    """The connector that is still starting, which no caller has received yet."""
    import sys

    # Not imported here: where nothing has imported it, there is none.
    module = sys.modules.get("discomfort.connector")
    return None if module is None else module.ComfyConnector.current()
