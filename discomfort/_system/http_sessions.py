"""The one way to make an HTTP session: it never follows a redirect, and resolves names in threads of ours.

A redirect would carry our headers, credentials among them, to a server that the caller did not name. aiohttp drops only
``Authorization`` on the way, and its WebSocket call has no switch to turn redirects off.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from discomfort._system.concurrency import in_own_thread

if TYPE_CHECKING:
    from types import SimpleNamespace


class RedirectRefused(aiohttp.ClientError):
    """The server answered with a redirect; ``location`` is where it points to."""

    def __init__(self, location: str) -> None:
        self.location = location
        super().__init__(f"it redirects to {location}; use the final address as URL")


def open_session(*, connections: int = 100, idle: float = 15.0, **options: Any) -> aiohttp.ClientSession:
    """An aiohttp session with ``options`` that raises :class:`RedirectRefused` where it would follow a redirect.

    A request with ``allow_redirects=False`` still gets the 3xx answer itself. At most so many ``connections`` are open
    at once; one that is not used is closed after ``idle`` seconds.
    """
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse)
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=idle, resolver=_Resolver())
    return aiohttp.ClientSession(connector=connector, trace_configs=[trace], **options)


class _Resolver(AbstractResolver):
    """The system's resolver. aiohttp's own runs in asyncio's default pool, which the program may keep busy."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        flags = socket.AI_ADDRCONFIG  # No addresses of a kind that this machine has no way to.
        found = await in_own_thread(lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, flags))
        return [
            ResolveResult(
                # The text of a link-local address names its interface only with what getnameinfo() adds.
                hostname=host,
                host=socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0],
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


async def _refuse(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams
) -> None:
    location = params.response.headers.get("Location", "")
    params.response.close()
    # Its query may hold a secret that the server sends there.
    raise RedirectRefused(location.partition("?")[0][:300])
