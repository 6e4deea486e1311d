"""HTTP sessions that never follow a redirect and resolve names in our own threads. Nothing else creates sessions.

A redirect would send our headers, including credentials, to a server that the caller did not name. aiohttp drops only
``Authorization``, and its WebSocket call has no option to turn redirects off.
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
    """The server answered with a redirect to ``location``."""

    def __init__(self, location: str) -> None:
        self.location = location
        super().__init__(f"it redirects to {location}; use the final address as URL")


def open_session(*, connections: int = 100, idle: float = 15.0, **options: Any) -> aiohttp.ClientSession:
    """An aiohttp session with ``options`` that raises :class:`RedirectRefused` instead of following a redirect.

    A request with ``allow_redirects=False`` still gets the 3xx response itself. At most ``connections`` are open at
    once, and an unused one is closed after ``idle`` seconds.
    """
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse)
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=idle, resolver=_Resolver())
    return aiohttp.ClientSession(connector=connector, trace_configs=[trace], **options)


class _Resolver(AbstractResolver):
    """The system's resolver. aiohttp's version runs in asyncio's default pool, which the program may keep busy."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        flags = socket.AI_ADDRCONFIG  # No IPv6 addresses on a machine without IPv6, and likewise for IPv4.
        found = await in_own_thread(lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, flags))
        return [
            ResolveResult(
                # Only getnameinfo() adds the interface to a link-local address.
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
        """Do nothing: there is nothing to release."""


async def _refuse(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams
) -> None:
    location = params.response.headers.get("Location", "")
    params.response.close()
    # Its query may contain a secret.
    raise RedirectRefused(location.partition("?")[0][:300])
