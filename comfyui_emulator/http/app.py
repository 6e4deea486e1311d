"""The web application: routes under both prefixes, the frontend's files, and the emulator's start and shutdown."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from comfyui_emulator import runtime
from comfyui_emulator.faults import Faults
from comfyui_emulator.folders import contained
from comfyui_emulator.http import (
    middleware,
    routes_assets,
    routes_discovery,
    routes_files,
    routes_internal,
    routes_jobs,
    routes_models,
    routes_prompt,
    routes_system,
    routes_user,
)
from comfyui_emulator.server import EMULATOR, Emulator
from comfyui_emulator.settings import EmulatorConfig

log = logging.getLogger("comfyui_emulator")

FRONTEND_REMEDY = (
    "Install it with: pip install comfyui-frontend-package, "
    "or name a folder that contains index.html with --front-end-root"
)

_NO_FRONTEND = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>discomfort</title></head>
<body><h1>No frontend</h1><p>This discomfort emulator runs and executes prompts, but the ComfyUI frontend is not
installed, so there is no page to show.</p><p>{FRONTEND_REMEDY}.</p></body></html>"""


def find_front_end(config: EmulatorConfig) -> Path | None:
    """The folder of the frontend's files: as configured, else the installed package's; ``None`` if there is none.

    Raises ``FileNotFoundError`` if the configured folder has no ``index.html``.
    """
    if config.front_end_root is not None:
        root = Path(config.front_end_root).absolute()
        if not (root / "index.html").is_file():
            raise FileNotFoundError(f"{root} has no index.html. {FRONTEND_REMEDY}")
        return root
    return routes_system.package_folder("comfyui_frontend_package", "static")


async def _index(request: web.Request) -> web.StreamResponse:
    root = request.app[EMULATOR].front_end
    headers = {"Cache-Control": "no-store, must-revalidate", "Pragma": "no-cache", "Expires": "0"}
    if root is None:
        return web.Response(status=503, text=_NO_FRONTEND, content_type="text/html", headers=headers)
    response = web.FileResponse(root / "index.html")
    response.headers.update(headers)
    return response


async def _pack_file(request: web.Request) -> web.StreamResponse:
    """A script of a custom node pack, or of the frontend's own extensions if no pack has that name."""
    emulator = request.app[EMULATOR]
    await emulator.nodes()
    name, path = request.match_info["pack"], request.match_info["path"]
    roots = [web for pack in emulator.packs for known, web in pack.webs if known == name]
    # As with aiohttp's static routes, by which ComfyUI serves them: a path that names no pack, or leaves one by plain
    # dots, falls through to the frontend's folder, where it is not found.
    own = bool(roots) and ".." not in request.rel_url.raw_path.split("/")
    if not roots and emulator.front_end is not None:
        roots = [emulator.front_end / "extensions" / name]
    for root in roots:
        found = contained(root, path)
        if found is None and own:
            raise web.HTTPNotFound
        if found is not None and found.is_dir():
            raise web.HTTPForbidden
        if found is not None and found.is_file():
            return web.FileResponse(found)
    return web.Response(status=404, content_type="application/octet-stream")


@web.middleware
async def _pack_routes(request: web.Request, handler: middleware.Handler) -> web.StreamResponse:
    """Try the routes that packs added while they were loaded for requests that no route of the server answers.

    Packs load too late for the application's own router, which is frozen when the application starts.
    """
    found = request.match_info
    if found.http_exception is None and not isinstance(found.route.resource, web.StaticResource):
        return await handler(request)
    emulator = request.app[EMULATOR]
    await emulator.nodes()
    match = await emulator.pack_router.resolve(request)
    if match.http_exception is not None:
        return await handler(request)
    match.add_app(request.app)
    match.freeze()
    # A copy, because a request caches its first match.
    matched = request.clone()
    matched._match_info = match
    with runtime.using(emulator.context):
        answer: web.StreamResponse = await match.handler(matched)
    return answer


_TEMPLATES = ("", "_json", "_media_api", "_media_video", "_media_image", "_media_other", "_media_assets_01")
"""Endings of the names of packages with templates: one until 0.3, several since."""


async def _template(request: web.Request) -> web.StreamResponse:
    """A template or its picture, from the installed packages."""
    name, packages = request.match_info["path"], (f"comfyui_workflow_templates{ending}" for ending in _TEMPLATES)
    folders = [folder for package in packages if (folder := routes_system.package_folder(package, "templates"))]
    for folder in folders:
        path = contained(folder, name)
        if path is not None and path.is_file():
            return web.FileResponse(path)
    # The frontend requests both on its first run, whether there are templates or not.
    if not folders and name in ("index.json", "index_logo.json"):
        return web.json_response([] if name == "index.json" else {})
    raise web.HTTPNotFound


_TABLES = tuple(
    module.routes
    for module in (
        routes_prompt,
        routes_jobs,
        routes_files,
        routes_models,
        routes_system,
        routes_discovery,
        routes_user,
    )
)


def _add_routes(app: web.Application, table: web.RouteTableDef, *, twice: bool = True) -> None:
    for route in table:
        assert isinstance(route, web.RouteDef)  # noqa: S101 - these tables hold no static routes
        for path in (route.path, f"/api{route.path}") if twice else (route.path,):
            if route.method == "GET":
                # Also answers HEAD.
                app.router.add_get(path, route.handler)
            else:
                app.router.add_route(route.method, path, route.handler)


def _add_static(app: web.Application, front_end: Path | None) -> None:
    app.router.add_get("/templates/{path:.*}", _template)
    docs = routes_system.package_folder("comfyui_embedded_docs", "docs")
    if docs is not None:
        app.router.add_static("/docs", docs)
    if front_end is not None:
        app.router.add_static("/", front_end)


async def _live(app: web.Application) -> AsyncIterator[None]:
    emulator = app[EMULATOR]
    await emulator.start()
    yield
    await emulator.close()


async def _goodbye(app: web.Application) -> None:
    # Open sockets would otherwise delay the shutdown by aiohttp's timeout.
    await app[EMULATOR].hub.close()


def create_app(config: EmulatorConfig | None = None) -> web.Application:
    """An aiohttp application that answers as ComfyUI does.

    Its folders are created at once. The temporary folder and the worker live from the application's start to its
    cleanup. Works in ``aiohttp.test_utils.TestServer`` and under a runner of its own.
    Raises ``FileNotFoundError`` for a ``front_end_root`` without ``index.html``.
    """
    config = config or EmulatorConfig()
    front_end = find_front_end(config)
    guard = middleware.cors(config.enable_cors) if config.enable_cors else middleware.origin_check
    stack: list[Middleware] = [middleware.faulty(config.faults), middleware.cache_control]
    if config.compress_response_body:
        stack.append(middleware.compress)
    inner = [guard, *([middleware.block_external] if config.block_external else [])]
    if config.custom_nodes:
        inner.append(_pack_routes)
    app = web.Application(middlewares=[*stack, *inner], client_max_size=config.max_body_bytes)
    app[EMULATOR] = Emulator(config, front_end)
    app.router.add_get("/", _index)
    app.router.add_get("/api/", _index)
    _add_routes(app, routes_assets.routes, twice=False)
    for table in _TABLES:
        _add_routes(app, table)
    for table in (routes_internal.routes, routes_discovery.example_routes):
        _add_routes(app, table, twice=False)
    if config.custom_nodes:
        app.router.add_get("/extensions/{pack}/{path:.*}", _pack_file)
    _add_static(app, front_end)
    app.cleanup_ctx.append(_live)
    app.on_shutdown.append(_goodbye)
    return app


def faults_of(app: web.Application) -> Faults:
    """The faults of a running application, which may be changed in place."""
    return app[EMULATOR].faults
