"""The one way to make an HTTP session: it never follows a redirect.

A redirect would carry our headers, credentials among them, to a server that the caller did not name. aiohttp drops only
``Authorization`` on the way, and its WebSocket call has no switch to turn redirects off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from types import SimpleNamespace


class RedirectRefused(aiohttp.ClientError):
    """The server answered with a redirect; ``location`` is where it points to."""

    def __init__(self, location: str) -> None:
        self.location = location
        super().__init__(f"it redirects to {location}; use the final address as URL")


def open_session(**options: Any) -> aiohttp.ClientSession:
    """An aiohttp session with ``options`` that raises :class:`RedirectRefused` where it would follow a redirect.

    A request with ``allow_redirects=False`` still gets the 3xx answer itself.
    """
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse)
    return aiohttp.ClientSession(trace_configs=[trace, *options.pop("trace_configs", ())], **options)


async def _refuse(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams
) -> None:
    location = params.response.headers.get("Location", "")
    params.response.close()
    # Its query may hold a secret that the server sends there.
    raise RedirectRefused(location.partition("?")[0][:300])
