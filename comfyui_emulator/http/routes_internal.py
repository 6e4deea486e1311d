"""Routes for the frontend alone, which ComfyUI calls internal: log lines, folders, files. They have no prefix."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from aiohttp import web

from comfyui_emulator.model_folders import MODEL_KINDS
from comfyui_emulator.server import of

routes = web.RouteTableDef()


@routes.get("/internal/logs")
async def logs(request: web.Request) -> web.Response:
    """The latest log lines as one string."""
    return web.json_response("".join(f"{entry['t']} - {entry['m']}" for entry in of(request).log_book.entries()))


@routes.get("/internal/logs/raw")
async def raw_logs(request: web.Request) -> web.Response:
    """The latest log lines one by one, and the size of the terminal."""
    book = of(request).log_book
    return web.json_response({"entries": book.entries(), "size": book.size()})


@routes.patch("/internal/logs/subscribe")
async def subscribe_logs(request: web.Request) -> web.Response:
    """Start or stop sending new log lines to a socket."""
    data = await request.json()
    of(request).log_book.subscribe(data["clientId"], enabled=bool(data["enabled"]))
    return web.Response(status=200)


@routes.get("/internal/folder_paths")
async def folder_paths(request: web.Request) -> web.Response:
    """Kinds of models and their folders."""
    models = of(request).models
    return web.json_response({kind: [str(place) for place in models.places(kind)] for kind in MODEL_KINDS})


@routes.get("/internal/files/{kind}")
async def files(request: web.Request) -> web.Response:
    """The files directly in a folder with the folder's kind, newest first; hidden files are left out."""
    kind = request.match_info["kind"]
    root = of(request).folders.by_type(kind)
    if root is None:
        return web.json_response({"error": "Invalid directory type"}, status=400)

    def listing() -> list[str]:
        entries: list[Any] = [entry for entry in os.scandir(root) if entry.is_file() and not entry.name.startswith(".")]
        entries.sort(key=lambda entry: -entry.stat().st_mtime)
        # Plain names before ComfyUI 0.20.
        return [f"{entry.name} [{kind}]" for entry in entries]

    return web.json_response(await asyncio.to_thread(listing))
