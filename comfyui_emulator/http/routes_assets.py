"""Routes for assets (ComfyUI 0.17 and newer): they answer as those of a server without ``--enable-assets``."""

from __future__ import annotations

from aiohttp import web

routes = web.RouteTableDef()

_ID = "{id:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}}"

ROUTES = (
    ("HEAD", "/api/assets/hash/{hash}"),
    ("GET", "/api/assets"),
    ("GET", f"/api/assets/{_ID}"),
    ("GET", f"/api/assets/{_ID}/content"),
    ("POST", "/api/assets/from-hash"),
    ("POST", "/api/assets"),
    ("PUT", f"/api/assets/{_ID}"),
    ("DELETE", f"/api/assets/{_ID}"),
    ("GET", "/api/tags"),
    ("POST", f"/api/assets/{_ID}/tags"),
    ("DELETE", f"/api/assets/{_ID}/tags"),
    ("GET", "/api/assets/tags/refine"),
    ("POST", "/api/assets/seed"),
    ("GET", "/api/assets/seed/status"),
    ("POST", "/api/assets/seed/cancel"),
    ("POST", "/api/assets/prune"),
)

_DISABLED = {
    "code": "SERVICE_DISABLED",
    "message": "Assets system is disabled. Start the server with --enable-assets to use this feature.",
    "details": {},
}


async def disabled(_request: web.Request) -> web.Response:
    """The refusal of every route."""
    return web.json_response({"error": _DISABLED}, status=503)


for _method, _path in ROUTES:
    routes.route(_method, _path)(disabled)
