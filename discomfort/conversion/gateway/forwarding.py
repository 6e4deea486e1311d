"""Forwarding through the gateway: headers in both directions, and one kind of upload.

The upload is an image that a node makes while it is serialized: the frontend's 3D viewers capture their scene, upload
the images to the server's temporary folder, and put the new names into the prompt (``Load3D`` of frontend 1.27.10).
Without these files the server could not run the prompt.
"""

from __future__ import annotations

from typing import Final

from aiohttp import ClientResponse, FormData, web
from aiohttp.http import HttpProcessingError

MAX_BYTES: Final = 64 << 20
"""Largest upload that is forwarded. An image of a 3D scene has up to a few megabytes, a recording about ten."""

# Hop-by-hop headers (RFC 9110, 7.6.1), and those valid for the gateway's origin only: ComfyUI compares Host and Origin.
_DROPPED_HEADERS = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"),
        *("transfer-encoding", "upgrade", "content-length", "host", "origin", "referer", "cookie"),
        *("sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "sec-fetch-user"),
    }
)
_DROPPED_ANSWER_HEADERS = frozenset(
    {
        *("connection", "keep-alive", "transfer-encoding", "content-length", "set-cookie", "alt-svc", "server", "date"),
        *("content-security-policy", "content-security-policy-report-only"),
        *("access-control-allow-origin", "strict-transport-security"),
    }
)


def request_headers(request: web.Request, *, new_body: bool) -> dict[str, str]:
    """The headers of a page's request to forward; with ``new_body``, without those that describe the old body."""
    dropped = _DROPPED_HEADERS | {"content-type"} if new_body else _DROPPED_HEADERS
    return {name: value for name, value in request.headers.items() if name.lower() not in dropped}


def response_headers(answer: ClientResponse) -> dict[str, str]:
    """The headers of the server's answer to forward to the page."""
    return {name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED_ANSWER_HEADERS}


async def parse_capture_upload(request: web.Request) -> FormData | None:
    """The form of a ``POST /upload/image`` into the temporary folder, to be forwarded; ``None`` for any other.

    ``overwrite`` is left out, so that no existing file changes. Raises ``web.HTTPRequestEntityTooLarge``.
    """
    try:
        fields = await request.post()
    except (ValueError, HttpProcessingError):
        return None
    image, subfolder = fields.get("image"), fields.get("subfolder", "")
    if fields.get("type") != "temp" or not isinstance(image, web.FileField) or not isinstance(subfolder, str):
        return None
    form = FormData()
    form.add_field("image", image.file, filename=image.filename, content_type=image.content_type)
    form.add_field("subfolder", subfolder)
    form.add_field("type", "temp")
    return form
