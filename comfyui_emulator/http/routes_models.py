"""Routes for models: their folders, files, pictures and metadata."""

from __future__ import annotations

import asyncio
import os

from aiohttp import web

from comfyui_emulator import model_folders
from comfyui_emulator.folders import contained
from comfyui_emulator.model_folders import MODEL_KINDS, NOT_MODELS
from comfyui_emulator.server import of

routes = web.RouteTableDef()


@routes.get("/embeddings")
async def embeddings(request: web.Request) -> web.Response:
    """Names of embeddings, without extensions."""
    names = await asyncio.to_thread(of(request).models.names, "embeddings")
    return web.json_response([os.path.splitext(name)[0] for name in names])  # noqa: PTH122 - a name, not a path


@routes.get("/models")
async def models(_request: web.Request) -> web.Response:
    """Names of the model folders, and of two others."""
    return web.json_response(list(MODEL_KINDS))


@routes.get("/models/{folder}")
async def model_files(request: web.Request) -> web.Response:
    """Model files of a folder."""
    kind = request.match_info["folder"]
    if kind not in MODEL_KINDS:
        return web.Response(status=404)
    return web.json_response(await asyncio.to_thread(of(request).models.names, kind))


@routes.get("/experiment/models")
async def kinds(request: web.Request) -> web.Response:
    """Kinds of models with their folders and the endings of their files."""
    found = of(request).models
    listed = [
        {
            "name": kind,
            "folders": [str(place) for place in found.places(kind)],
            "extensions": sorted(found.endings(kind)),
        }
        for kind in MODEL_KINDS
        if kind not in NOT_MODELS
    ]
    return web.json_response(listed)


@routes.get("/experiment/models/{folder}")
async def model_details(request: web.Request) -> web.Response:
    """Model files of a folder with size and times."""
    kind = request.match_info["folder"]
    if kind not in MODEL_KINDS:
        return web.Response(status=404)
    return web.json_response(await asyncio.to_thread(of(request).models.details, kind))


@routes.get("/experiment/models/preview/{folder}/{path_index}/{filename:.*}")
async def model_picture(request: web.Request) -> web.Response:
    """A model's picture."""
    kind, index, name = (request.match_info[key] for key in ("folder", "path_index", "filename"))
    if kind not in MODEL_KINDS:
        return web.Response(status=404)
    try:
        number = int(index) if name else None
    except ValueError:
        number = None
    if number is None:
        return web.Response(status=400)
    places = of(request).models.places(kind)
    if not 0 <= number < len(places):
        return web.Response(status=404)
    path = contained(places[number], name)
    if path is None:
        return web.Response(status=403)
    body = await asyncio.to_thread(model_folders.picture, path)
    return web.Response(status=404) if body is None else web.Response(body=body, content_type="image/webp")


@routes.get("/view_metadata/{folder}")
async def view_metadata(request: web.Request) -> web.Response:
    """The metadata in a model file."""
    name = request.rel_url.query.get("filename", "")
    path = of(request).models.file(request.match_info["folder"], name) if name.endswith(".safetensors") else None
    found = None if path is None else await asyncio.to_thread(model_folders.metadata, path)
    return web.Response(status=404) if found is None else web.json_response(found)
