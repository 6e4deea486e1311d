"""What a sweep strikes at while a call waits for it, and which ends of a call are documented for that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psutil
from aiohttp.http_websocket import WebSocketReader
from matrix.steps import LIMIT, Outcome, Place
from matrix.test_browser_faults import chromiums

from discomfort import ComfyConnector
from discomfort.exceptions import (
    BrowserError,
    DiscomfortError,
    ExecutionInterrupted,
    SelfTestError,
    ServerDiedError,
    ServerStartError,
    StateError,
)

Errors = tuple[type[DiscomfortError], ...]
Victim = Callable[[], ComfyConnector | None]

RECOVERY = 40.0
"""Seconds for a call that goes on after a blow: a browser or a server and a page are started in them, on a machine
that may be busy. What is struck for good must have ended within :data:`matrix.steps.LIMIT`."""


def kill_api(victim: Victim) -> Callable[[], Any]:
    """Another task of the program shuts the connector down."""

    async def blow() -> None:
        connector = victim()
        if connector is not None:
            await connector.kill_api()

    return blow


def restart_browser(victim: Victim) -> Callable[[], Any]:
    """Another task of the program restarts the browser; it may be told that there is none to restart."""

    async def blow() -> None:
        connector = victim()
        if connector is not None:
            try:
                await connector._restart_browser()
            except (StateError, BrowserError):
                return

    return blow


def kill_server(victim: Victim) -> Callable[[], bool]:
    """SIGKILL for the server."""

    def blow() -> bool:
        connector = victim()
        supervisor = connector._parts.supervisor if connector is not None else None
        return supervisor is not None and _kill(supervisor.pid)

    return blow


def kill_browser(_: Victim) -> Callable[[], bool]:
    """SIGKILL for all of Chromium."""

    def blow() -> bool:
        trees = [[*main.children(recursive=True), main] for main in chromiums()]
        return True in [_kill(process.pid) for tree in trees for process in tree]

    return blow


def kill_watchdog(victim: Victim) -> Callable[[], bool]:
    """SIGKILL for the watchdog."""

    def blow() -> bool:
        connector = victim()
        watchdog = connector._parts.watchdog if connector is not None else None
        return watchdog is not None and watchdog.running and _kill(watchdog.pid)

    return blow


def lose_socket(victim: Victim) -> Callable[[], bool]:
    """The connection of every WebSocket to the server breaks, without a close frame."""

    def blow() -> bool:
        connector = victim()
        found = _sockets(int(connector.server_address.rpartition(":")[2])) if connector is not None else []
        for transport in found:
            transport.abort()
        return bool(found)

    return blow


def _kill(pid: int) -> bool:
    try:
        psutil.Process(pid).kill()
    except psutil.Error:
        return False
    return True


def _sockets(port: int) -> list[asyncio.Transport]:
    """The transports of this loop that carry a WebSocket to ``port``, found by what the loop itself waits for."""
    loop: Any = asyncio.get_running_loop()
    found = []
    for key in list(loop._selector.get_map().values()):
        reader = key.data[0] if isinstance(key.data, tuple) else None
        transport = getattr(getattr(reader, "_callback", None), "__self__", None)
        if not isinstance(transport, asyncio.Transport):
            continue
        parser = getattr(transport.get_protocol(), "_payload_parser", None)
        peer = transport.get_extra_info("peername")
        if isinstance(parser, WebSocketReader) and peer and peer[1] == port:
            found.append(transport)
    return found


@dataclass(frozen=True, eq=False)
class Blow:
    """One kind of strike.

    ``documented`` are the errors that each kind of call may raise for it; a call that is not in it must give its
    right result. ``survivable`` says that a result may take :data:`RECOVERY`, and ``limit`` how long an error may.
    """

    name: str
    make: Callable[[Victim], Callable[[], Any]]
    documented: dict[str, Errors] = field(default_factory=dict)
    survivable: bool = True
    limit: float = LIMIT

    @property
    def patience(self) -> float:
        """Seconds that a call is given after this blow."""
        return RECOVERY if self.survivable else LIMIT


_SHUT_DOWN: Errors = (StateError,)
_SERVER_DIED: Errors = (ServerDiedError,)

KILL_API = Blow(
    "kill_api()",
    kill_api,
    {
        "create": _SHUT_DOWN,
        "run_workflow": (ExecutionInterrupted, StateError),
        "load": (ExecutionInterrupted, StateError),
        "get_prompt_from_workflow": _SHUT_DOWN,
        "explain": _SHUT_DOWN,
        "edit": _SHUT_DOWN,
        "upload_data": _SHUT_DOWN,
        "Discomfort.run": (ExecutionInterrupted, StateError),
    },
    survivable=False,
)
KILL_SERVER = Blow(
    "SIGKILL of the server",
    kill_server,
    {
        "create": (ServerStartError, ServerDiedError, SelfTestError),
        "run_workflow": _SERVER_DIED,
        "load": _SERVER_DIED,
        "get_prompt_from_workflow": _SERVER_DIED,
        "explain": _SERVER_DIED,
        "edit": _SERVER_DIED,
        "Discomfort.run": _SERVER_DIED,
    },
)
KILL_BROWSER = Blow("SIGKILL of Chromium", kill_browser, {"create": (BrowserError, SelfTestError)})
KILL_STARTING_BROWSER = Blow(
    "SIGKILL of a Chromium that starts",
    kill_browser,
    dict.fromkeys(("run_workflow", "get_prompt_from_workflow", "explain"), (BrowserError,)),
)
"""One that ended in use is replaced, and the conversion made again; one that does not come up is an error."""
KILL_WATCHDOG = Blow("SIGKILL of the watchdog", kill_watchdog)
LOSE_SOCKET = Blow("loss of the socket", lose_socket)
RESTART_BROWSER = Blow("restart of the browser", restart_browser, {"create": (BrowserError, SelfTestError)})


def judge(call: str, blow: Blow, place: Place, outcome: Outcome) -> str | None:
    """What is wrong with the end of a call, in a line; ``None`` where nothing is."""
    end, allowed = outcome.end, blow.documented.get(call, ())
    wanted = " or ".join(error.__name__ for error in allowed)
    if outcome.stood and outcome.seconds >= blow.patience:
        problem = f"has not ended after {outcome.seconds:.1f} s"
    elif isinstance(end, BaseException):
        if isinstance(end, allowed) and outcome.seconds <= blow.limit:
            problem = ""
        else:
            problem = f"ended with {brief(end)} after {outcome.seconds:.1f} s, documented: {wanted or 'its result'}"
    else:
        is_late = outcome.stood and not blow.survivable
        problem = f"ended with its result after {outcome.seconds:.1f} s" if is_late else ""
    if outcome.blow is not None:
        problem += f"{', ' if problem else ''}the blow itself ended with {brief(outcome.blow)}"
    if not problem:
        return None
    stood = f"; after {LIMIT:g} s it stood at {' > '.join(outcome.stood)}" if outcome.stood else ""
    return f"{call}, {blow.name} at {' > '.join(place)}: {problem}{stood}"


def brief(error: BaseException) -> str:
    """An error in a few words, with what led to it."""
    lines = str(error).splitlines() or [""]
    cause = error.__cause__ or error.__context__
    because = f" (from {type(cause).__name__})" if cause is not None else ""
    return f"{type(error).__module__}.{type(error).__name__}: {lines[0][:160]}{because}"
