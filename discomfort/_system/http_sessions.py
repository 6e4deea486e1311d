"""HTTP sessions that never follow a redirect and resolve names in our own threads. Nothing else creates sessions.

A redirect would send our headers, including credentials, to a server that the caller did not name. aiohttp drops only
``Authorization``, and its WebSocket call has no option to turn redirects off.
"""

from __future__ import annotations

import asyncio
import socket
import ssl as tls
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict

from discomfort._system.concurrency import in_own_thread
from discomfort.exceptions import ConfigurationError
from discomfort.redaction import split_credentials

if TYPE_CHECKING:
    from types import SimpleNamespace

    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

_PROXY_AUTHORIZATION = "Proxy-Authorization"
_sessions: weakref.WeakKeyDictionary[aiohttp.ClientSession, asyncio.AbstractEventLoop] = weakref.WeakKeyDictionary()


class RedirectRefused(aiohttp.ClientError):
    """The server answered with a redirect to ``location``."""

    def __init__(self, location: str) -> None:
        self.location = location
        super().__init__(f"it redirects to {location}; use the final address as URL")


class ProxyRefused(aiohttp.ClientError):
    """The proxy answered with ``status`` and made no connection to the server.

    It takes the place of aiohttp's own error, whose ``repr`` contains the headers for the proxy.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        hint = "; check the credentials in proxy" if status == 407 else ""
        super().__init__(f"the proxy refuses the connection: {status} {message}{hint}")


class AddressRefused(OSError):
    """The name of a server stands for addresses to which no connection is to be made."""


@dataclass(frozen=True, slots=True)
class Route:
    """The way to a server: whose certificates are accepted, and through which proxy. ``repr`` has no credentials.

    ``ssl`` is ``True`` for the system's authorities and ``False`` for no check at all. ``proxy`` is a URL without
    credentials, ``proxy_authorization`` the header that replaces them.
    """

    ssl: tls.SSLContext | bool = True
    proxy: str | None = None
    proxy_authorization: str | None = field(default=None, repr=False)


DIRECT = Route()
"""The way to a server without a proxy, with the system's authorities."""


def make_route(ssl: tls.SSLContext | bool | None = None, proxy: str | None = None) -> Route:
    """The route that a caller wants. Raises ConfigurationError, which names the argument and shows no credentials."""
    if ssl is not None and not isinstance(ssl, tls.SSLContext | bool):
        raise ConfigurationError(
            "must be an ssl.SSLContext, or False for no verification", key="ssl", value=ssl,
            remedy="For a certificate of your own: ssl.create_default_context(cafile='server.pem')",
        )  # fmt: skip
    verified: tls.SSLContext | bool = True if ssl is None else ssl
    if proxy is None:
        return Route(verified)
    if not isinstance(proxy, str):
        raise ConfigurationError(f"must be a URL, not a {type(proxy).__name__}", key="proxy")
    scheme, mark, rest = proxy.strip().rpartition("://")
    address, credentials = split_credentials(rest)
    if (mark and scheme.lower() != "http") or not _has_host(address):
        # Without the value: credentials can be taken out of a URL, but not out of anything else.
        raise ConfigurationError(
            "must be an http URL, such as http://proxy.example:3128", key="proxy", value="***",
            remedy="HTTPS and SOCKS proxies are not supported; servers with https work through an http proxy",
        )  # fmt: skip
    return Route(verified, address, credentials.get("Authorization"))


def open_session(
    *,
    connections: int = 100,
    idle: float = 15.0,
    route: Route = DIRECT,
    accepts: Callable[[str], bool] | None = None,
    **options: Any,
) -> aiohttp.ClientSession:
    """An aiohttp session with ``options`` that raises :class:`RedirectRefused` instead of following a redirect.

    A request with ``allow_redirects=False`` still gets the 3xx response itself. At most ``connections`` are open at
    once, and an unused one is closed after ``idle`` seconds. All connections take the ``route``.
    With ``accepts``, a name is connected only to those of its IP addresses for which that is true; if there is none,
    the request fails with :class:`AddressRefused` as the cause. A URL with an IP address itself is not asked about.
    """
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse)
    connector = _Connector(route, limit=connections, keepalive_timeout=idle, resolver=_Resolver(accepts))
    if route.proxy is not None:
        options["proxy"] = route.proxy
    session = aiohttp.ClientSession(connector=connector, trace_configs=[trace], **options)
    _sessions[session] = asyncio.get_running_loop()
    return session


def abandon_sessions(loop: asyncio.AbstractEventLoop) -> None:
    """Give up the sessions of a closed loop, in which they cannot be closed any more.

    aiohttp would log each as an error of the program's.
    """
    for session, owner in list(_sessions.items()):
        connector = session.connector
        if owner is loop and connector is not None:
            session.detach()
            # The transports ended with their loop, so there is nothing to wait for.
            for _ in connector.close().__await__():
                break


def reason_of(error: BaseException) -> str:
    """Why a connection failed, in a few words without credentials."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        found = error.certificate_error
        return (
            f"the server's certificate is not accepted ({getattr(found, 'verify_message', '') or found}); pass "
            "attach() an ssl context that trusts it"
        )
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"cannot connect to the proxy: {error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {error.os_error}"
    if isinstance(error, RedirectRefused | ProxyRefused):
        return str(error)
    return f"the connection broke: {type(error).__name__}: {error}"


class _Connector(aiohttp.TCPConnector):
    """Adds the credentials for the proxy where they are needed and nowhere else.

    In the proxy's URL, or as ``proxy_auth``, they would be part of aiohttp's errors and of their ``repr``.
    """

    def __init__(self, route: Route, **options: Any) -> None:
        super().__init__(ssl=route.ssl, **options)
        self._authorization = route.proxy_authorization

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """A connection for the request, through the proxy if there is one. Raises ProxyRefused."""
        if req.proxy is not None:
            # aiohttp would send the session's own headers to the proxy, which may be credentials for the server.
            req.proxy_headers = CIMultiDict()
            if self._authorization is not None:
                # With https only the request to connect is seen by the proxy, otherwise each request itself.
                seen = req.proxy_headers if req.is_ssl() else req.headers
                seen[_PROXY_AUTHORIZATION] = self._authorization
        try:
            return await super().connect(req, traces, timeout)
        except aiohttp.ClientHttpProxyError as error:
            raise ProxyRefused(error.status, error.message) from None


class _Resolver(AbstractResolver):
    """The system's resolver. aiohttp's version runs in asyncio's default pool, which the program may keep busy."""

    def __init__(self, accepts: Callable[[str], bool] | None = None) -> None:
        self._accepts = accepts

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        flags = socket.AI_ADDRCONFIG  # No IPv6 addresses on a machine without IPv6, and likewise for IPv4.
        found = await in_own_thread(lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, flags))
        numeric = [socket.getnameinfo(each[4], socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0] for each in found]
        accepts = self._accepts or _any_address
        if found and not any(map(accepts, numeric)):
            raise AddressRefused(f"{host} is {', '.join(dict.fromkeys(numeric))}")
        return [
            ResolveResult(
                # Only getnameinfo() adds the interface to a link-local address.
                hostname=host,
                host=shown,
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for (kind, _, protocol, _, _), shown in zip(found, numeric, strict=True)
            if accepts(shown)
        ]

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""


def _any_address(_: str) -> bool:
    return True


def _has_host(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme == "http" and bool(parts.hostname) and parts.port != 0 and parts.path in {"", "/"}
    except ValueError:
        return False


async def _refuse(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams
) -> None:
    location = params.response.headers.get("Location", "")
    params.response.close()
    # Its query may contain a secret.
    raise RedirectRefused(location.partition("?")[0][:300])
