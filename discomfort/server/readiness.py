"""Readiness of a started server: its port accepts connections, it answers like ComfyUI, and it is ours."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil

from discomfort import _json
from discomfort._system import process_tree
from discomfort._system.concurrency import to_thread
from discomfort._system.http_sessions import open_session, reason_of
from discomfort.exceptions import ServerStartError, ServerStartTimeout
from discomfort.server.start_failures import likely_cause
from discomfort.server.supervisor import Supervisor

_log = logging.getLogger("discomfort.server")

_MAX_SLEEP = 60.0
_MAX_BODY = 1 << 16
_UNSEEN = "a program that cannot be seen"


def start_budget(attempts: int, sleep: float) -> float:
    """Seconds that a start may take: the sum of ``sleep * 2**i`` over ``attempts``, each at most 60 s.

    The documented defaults, 10 attempts from 1.0 s, give 303 s.
    """
    total, delay = 0.0, min(sleep, _MAX_SLEEP)
    for _ in range(attempts):
        total += delay
        delay = min(delay * 2, _MAX_SLEEP)
    return total


async def responds(session: aiohttp.ClientSession, url: str, *, timeout: float = 1.0) -> bool:
    """Whether a ComfyUI answers at ``url`` within ``timeout`` seconds; see :func:`problem_at`."""
    problem = await problem_at(session, url, timeout=timeout)
    if problem:
        _log.debug("no answer at %s: %s", url, problem)
    return not problem


async def problem_at(session: aiohttp.ClientSession, url: str, *, timeout: float = 1.0) -> str:
    """Why no ComfyUI answers at ``url`` within ``timeout`` seconds; empty if ``GET /prompt`` returns ``exec_info``.

    It is the cheapest route that only such a server has. Another status or body, no connection and no answer in time
    are all problems.
    """
    try:
        async with (
            asyncio.timeout(timeout),
            session.get(f"{url.rstrip('/')}/prompt", allow_redirects=False) as response,
        ):
            if location := response.headers.get("Location"):
                # Its query may contain a secret.
                return f"it redirects to {location.partition('?')[0][:300]}; use the final address as URL"
            if response.status != 200:
                return f"it answers {response.status} {response.reason}"
            body = _json.loads(await response.content.read(_MAX_BODY))
            is_ours = isinstance(body, dict) and isinstance(body.get("exec_info"), dict)
            return "" if is_ours else "the answer is not ComfyUI's"
    except TimeoutError:
        return f"no answer within {timeout:g} s"
    except (aiohttp.ClientError, OSError) as error:
        return reason_of(error)
    except ValueError:
        return "the answer is not ComfyUI's"


async def wait_until_ready(
    supervisor: Supervisor, url: str, *, budget: float, whole: float | None = None, interval: float = 0.025
) -> None:
    """Wait until the process of ``supervisor`` itself answers HTTP at ``url``.

    The port is tried every ``interval`` seconds, and HTTP as soon as it accepts, so readiness is noticed within 50 ms.
    An answer from a process that is not ours does not count: if another program took the port, our server will end.
    Cancelling does not touch the process.

    Raises:
        ServerStartError: the process ended; at once, with exit code, log tail and, if known, cause and remedy.
        ServerStartTimeout: it lives, but did not answer within ``budget`` seconds; the error names ``whole`` instead if
            the budget is only the rest of it.
    """
    ended = asyncio.ensure_future(supervisor.wait())
    ready = asyncio.ensure_future(_poll(supervisor, url, interval))
    try:
        await asyncio.wait({ended, ready}, timeout=budget, return_when=asyncio.FIRST_COMPLETED)
        if not supervisor.running:
            raise _start_error(supervisor)
        if ready.done():
            ready.result()
            return
        raise _timeout_error(supervisor, url, whole or budget)
    finally:
        for task in (ended, ready):
            task.cancel()
        await asyncio.gather(ended, ready, return_exceptions=True)


async def _poll(supervisor: Supervisor, url: str, interval: float) -> None:
    address = urlsplit(url)
    host, port = address.hostname or "127.0.0.1", address.port or (443 if address.scheme == "https" else 80)
    warned = unseen = False
    async with open_session() as session:
        while True:
            started = time.monotonic()
            if await accepts(host, port) and await responds(session, url):
                stranger = await to_thread(_stranger_on, supervisor, port)
                # A program that has just ended cannot be seen either, so only one that answers twice unseen counts.
                if stranger is None or (stranger == _UNSEEN and unseen):
                    return
                unseen = stranger == _UNSEEN
                if not unseen and not warned:
                    _log.warning("%s answers at %s, which is not the server that was started", stranger, url)
                    warned = True
                await asyncio.sleep(0.25)
            else:
                unseen = False
            await asyncio.sleep(max(0.0, interval - (time.monotonic() - started)))


async def accepts(host: str, port: int) -> bool:
    """Whether something accepts a connection at ``host:port`` within a second."""
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        # The other side may have reset the connection, but it has accepted it.
        await writer.wait_closed()
    return True


def _stranger_on(supervisor: Supervisor, port: int) -> str | None:
    """``None`` if the server's own processes listen on ``port``, else the name of the listener. Blocking."""
    try:
        own = {
            psutil.Process(supervisor.pid),
            *process_tree.members(supervisor.pid, supervisor.token, leader_lives=True),
        }
    except psutil.Error:
        return "another program"  # Our server has ended, which is about to be reported; something else has answered.
    if any(_listens(process, port) is not False for process in own):
        return None
    for process in psutil.process_iter():
        if process not in own and _listens(process, port):
            return f"another program (pid {process.pid})"
    # No visible process: it belongs to another user or container, and cannot be told from ours.
    return _UNSEEN


def _listens(process: psutil.Process, port: int) -> bool | None:
    # Called connections() before psutil 6.
    connections: Any = getattr(process, "net_connections", None) or process.connections
    try:
        return any(c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port for c in connections("tcp"))
    except psutil.AccessDenied:
        return None
    except (psutil.Error, OSError):
        return False


def _start_error(supervisor: Supervisor) -> ServerStartError:
    status, tail = supervisor.exit, supervisor.log_tail()
    command = supervisor.command.argv
    code, signal = (status.code, status.signal) if status else (None, None)
    cause = likely_cause(tail, code=code, signal=signal, program=command[0])
    problem = f"the server ended during its start ({status})" + (f": {cause.text}" if cause.text else "")
    return ServerStartError(problem, command=command, exit_code=code, log_tail=tail, remedy=cause.remedy)


def _timeout_error(supervisor: Supervisor, url: str, budget: float) -> ServerStartTimeout:
    return ServerStartTimeout(
        f"the server runs (pid {supervisor.pid}), but did not answer at {url} within {budget:g} s",
        command=supervisor.command.argv,
        log_tail=supervisor.log_tail(),
        remedy="If it needs more time, set START_TIMEOUT to more seconds",
    )
