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
    return web.json_response(body)


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


def with_version(version: str | None) -> Change:
    """System information of another version, or of none."""

    def change(request: web.Request, body: Any) -> web.Response:
        body["system"]["comfyui_version"] = version
        return web.json_response(body)

    return change


def more_keys(request: web.Request, body: Any) -> web.Response:
    """An answer with a key in each object that no version has yet, as far as objects have fixed keys."""
    return web.json_response(_more(body))


def _more(body: Any) -> Any:
    if isinstance(body, list):
        return [_more(item) for item in body]
    if not isinstance(body, dict):
        return body
    changed = {key: _more(value) for key, value in body.items()}
    return changed | {"unheard_of": 1} if changed.keys() & _FIXED else changed


_FIXED = {
    "prompt_id", "exec_info", "queue_running", "error", "details", "status_str", "prompt", "filename", "name", "system",
    "ram_total", "vram_total", "supports_preview_metadata", "size", "node_id", "input_order", "path", "client_id",
}  # fmt: skip


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
    there = (method, path, 400 if change is other_text else 200)
    return _changed(base, change, lambda request, status: (request.method, request.path, status) == there)


def versioned_app(base: Path, version: str | None) -> web.Application:
    """An emulator in ``base`` that says it is ComfyUI of that version."""
    return _changed(base, with_version(version), lambda request, _: request.path == "/system_stats")


def newer_app(base: Path) -> web.Application:
    """An emulator in ``base`` that says it is ComfyUI 0.99.0, and has no answer for an unknown record."""
    app = versioned_app(base, "0.99.0")
    _, missing, change, _ = DEVIATIONS["missing"]
    _deviate(app, change, lambda request, _: request.path == missing)
    return app


def verbose_app(base: Path) -> web.Application:
    """An emulator in ``base`` that tells more than ComfyUI."""
    return _changed(base, more_keys, lambda *_: True)


def _changed(base: Path, change: Change, where: Callable[[web.Request, int], bool]) -> web.Application:
    """An emulator in ``base`` with ``change`` for the JSON of answers ``where`` it is true, given their status."""
    app = create_app(EmulatorConfig(base_directory=base))
    _deviate(app, change, where)
    return app


def _deviate(app: web.Application, change: Change, where: Callable[[web.Request, int], bool]) -> None:
    @web.middleware
    async def deviate(request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await handler(request)
        if not isinstance(answer, web.Response) or answer.content_type != "application/json":
            return answer
        if not where(request, answer.status):
            return answer
        made = change(request, json.loads(answer.text or "null"))
        if made.status == 200:
            made.set_status(answer.status)
        return made

    app.middlewares.append(deviate)
