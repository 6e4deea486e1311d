"""Middleware for every request: cache headers, origin check or CORS, compression, faults."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from comfyui_emulator.faults import Faults

log = logging.getLogger("comfyui_emulator")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
_DAY, _HOUR = 86_400, 3_600


@web.middleware
async def cache_control(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Scripts, styles and indexes are never kept, images for a day (ComfyUI's rules; ``no-cache`` before 0.18)."""
    # Responses that are raised (405, say) get no header, as in ComfyUI.
    response = await handler(request)
    _set_cache(request, response)
    return response


def _set_cache(request: web.Request, response: web.StreamResponse) -> None:
    path, name = request.path, request.path.rpartition("/")[2]
    if path.endswith((".js", ".css")) or (name.startswith("index") and name.endswith(".json")):
        response.headers.setdefault("Cache-Control", "no-store")
    elif path.lower().endswith(_IMAGE_ENDINGS):
        age = _HOUR if response.status == web.HTTPNotFound.status_code else _DAY
        if response.status < 300 or response.status == web.HTTPNotFound.status_code:
            response.headers.setdefault("Cache-Control", f"public, max-age={age}")


def cors(origin: str) -> Middleware:
    """Allow requests from ``origin`` (``*``: any); replaces the origin check."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = web.Response() if request.method == "OPTIONS" else await handler(request)
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Methods"] = "POST, GET, DELETE, PUT, OPTIONS, PATCH"
        response.headers["Access-Control-Allow-Headers"] = "Content-Type, Authorization"
        response.headers["Access-Control-Allow-Credentials"] = "true"
        return response

    return middleware


@web.middleware
async def origin_check(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse (403) requests that another site's page sends to a server on loopback.

    What the browser itself calls cross-site is refused on any address (ComfyUI 0.19).
    """
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        return web.Response(status=403)
    if not await origin_allowed(request.headers.get("Host", ""), request.headers.get("Origin", "")):
        log.warning("request with non matching host and origin %s, returning 403", request.headers.get("Origin"))
        return web.Response(status=403)
    if request.method == "OPTIONS":
        return web.Response()
    return await handler(request)


EXTERNAL_BLOCKED = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self' data:; frame-src 'self'; object-src 'self';"
)
"""The content security policy of ComfyUI with ``--disable-api-nodes`` (0.3.72)."""


@web.middleware
async def block_external(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keep pages from requesting anything of other hosts."""
    response = await handler(request)
    response.headers["Content-Security-Policy"] = EXTERNAL_BLOCKED
    return response


async def origin_allowed(host: str, origin: str) -> bool:
    """Whether a request with these headers may pass: on loopback, host and port of both headers must match.

    The origins ``null`` and ``file://`` have no host and pass, as in ComfyUI.
    """
    if not host or not origin:
        return True
    host_parts, origin_parts = urlsplit(f"//{host.lower()}"), urlsplit(origin.lower())
    try:
        ports = host_parts.port, origin_parts.port
    except ValueError:
        return False
    # If one has no port, the other's is ignored. An IPv6 address then loses its brackets and never matches.
    asked = host_parts.netloc if ports[1] is not None else host_parts.hostname
    asking = origin_parts.netloc if ports[0] is not None else origin_parts.hostname
    if not asked or not asking or not host_parts.hostname or not await is_loopback(host_parts.hostname):
        return True
    return asked == asking


async def is_loopback(name: str) -> bool:
    """Whether ``name`` is, or resolves to, a loopback address; ``False`` if it cannot be resolved within 2 s."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        pass
    if name == "localhost" or name.endswith(".localhost"):
        return True
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(2):
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return False
    return any(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)


@web.middleware
async def compress(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Compress JSON and text bodies for clients that accept gzip; as in ComfyUI, deflate is preferred."""
    response = await handler(request)
    if not isinstance(response, web.Response) or response.content_type not in ("application/json", "text/plain"):
        return response
    if response.body and "gzip" in request.headers.get("Accept-Encoding", ""):
        response.enable_compression()
    return response


def faulty(faults: Faults) -> Middleware:
    """Middleware for the faults that concern every request."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if faults.never_answer:
            await asyncio.Event().wait()
        if faults.answer_delay:
            await asyncio.sleep(faults.answer_delay)
        status = faults.answer_status
        if status is None and "/upload/" in request.path:
            status = faults.reject_uploads
        if status is not None:
            return web.Response(status=status, text="fault: this answer is simulated")
        return await handler(request)

    return middleware
