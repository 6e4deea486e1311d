"""An emulator with one deviation from ComfyUI, for the checks to find."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from comfyui_emulator import EmulatorConfig, create_app

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Change = Callable[[web.Request, Any], web.Response]


def missing_is_404(request: web.Request, _: Any) -> web.Response:
    """A missing record is 404, as on many servers."""
    return web.Response(status=404)


def other_text(request: web.Request, body: Any) -> web.Response:
    """A validation error with another text."""
    for told in body["node_errors"].values():
        for error in told["errors"]:
            error["message"] = error["message"].replace("smaller than min of", "is below")
    return web.json_response(body, status=400)


def no_memory(request: web.Request, body: Any) -> web.Response:
    """A device without its memory."""
    del body["devices"][0]["vram_free"]
    return web.json_response(body)


def plain_type(request: web.Request, body: Any) -> web.Response:
    """JSON without its charset."""
    return web.Response(body=json.dumps(body).encode(), content_type="application/json")


def same_name(request: web.Request, body: Any) -> web.Response:
    """An upload whose answer has the requested name, not the one it got."""
    return web.json_response(body | {"name": body["name"].replace(" (1)", "").replace(" (2)", "")})


def broken(request: web.Request, body: Any) -> web.Response:
    """An answer that the check cannot read."""
    return web.json_response([1, 2])


DEVIATIONS: dict[str, tuple[str, str, Change, tuple[str, ...]]] = {
    "missing": ("GET", "/history/discomfort-conformance-none", missing_is_404, ("history.unknown",)),
    "text": ("POST", "/prompt", other_text, ("validation.value-smaller-than-min",)),
    "field": ("GET", "/system_stats", no_memory, ("routes.system-stats-fields",)),
    "header": ("GET", "/api/features", plain_type, ("routes.features",)),
    "name": ("POST", "/upload/image", same_name, ("uploads.equal-content", "uploads.overwriting")),
    "shape": ("GET", "/object_info/EmptyImage", broken, ("routes.definition-fields",)),
}
"""By name: method, path, the change to the JSON there, and the checks that find it."""


def deviating_app(base: Path, name: str) -> web.Application:
    """An emulator in ``base`` with that deviation."""
    method, path, change, _ = DEVIATIONS[name]

    @web.middleware
    async def deviate(request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await handler(request)
        if (request.method, request.path) != (method, path) or not isinstance(answer, web.Response):
            return answer
        if answer.status != (400 if change is other_text else 200):
            return answer
        return change(request, json.loads(answer.text or "null"))

    app = create_app(EmulatorConfig(base_directory=base))
    app.middlewares.append(deviate)
    return app
