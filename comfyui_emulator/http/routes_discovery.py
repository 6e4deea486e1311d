"""Routes by which a page learns what the server offers: features, scripts, subgraphs, replacements, templates."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from aiohttp import web

from comfyui_emulator import blueprints, pack_texts
from comfyui_emulator.server import of

routes = web.RouteTableDef()


@routes.get("/features")
async def features(request: web.Request) -> web.Response:
    """The server's feature flags, which are also sent to sockets."""
    return web.json_response(of(request).features)


@routes.get("/extensions")
async def extensions(request: web.Request) -> web.Response:
    """Scripts that the frontend loads."""
    emulator = of(request)
    root = emulator.front_end
    await emulator.nodes()

    def find() -> list[str]:
        places = [] if root is None else [(root / "extensions", "/extensions")]
        places += [(web, f"/extensions/{quote(name)}") for pack in emulator.packs for name, web in pack.webs]
        return [
            f"{url}/{path.relative_to(folder).as_posix()}"
            for folder, url in places
            for path in sorted(folder.rglob("*.js"))
        ]

    return web.json_response(await asyncio.to_thread(find))


@routes.get("/global_subgraphs")
async def subgraphs(request: web.Request) -> web.Response:
    """Subgraphs that can be added to any workflow, by id, without their content (ComfyUI 0.3.67)."""
    found = await asyncio.to_thread(blueprints.find, of(request).config)
    return web.json_response({entry.id: entry.about() for entry in found})


@routes.get("/global_subgraphs/{id}")
async def subgraph(request: web.Request) -> web.Response:
    """One subgraph with its content, which is JSON as text; ``null`` if there is none of that id."""
    wanted = request.match_info["id"]

    def read() -> object:
        found = [entry for entry in blueprints.find(of(request).config) if entry.id == wanted]
        return found[0].about() | {"data": found[0].path.read_text("utf-8")} if found else None

    return web.json_response(await asyncio.to_thread(read))


@routes.get("/node_replacements")
async def node_replacements(request: web.Request) -> web.Response:
    """Replacements of classes that are gone, by old class (ComfyUI 0.14)."""
    await of(request).nodes()
    return web.json_response(of(request).replacements.listed())


@routes.get("/i18n")
async def translations(request: web.Request) -> web.Response:
    """Translations of node packs, by language."""
    return web.json_response(await asyncio.to_thread(pack_texts.translations, of(request).config.custom_nodes))


@routes.get("/workflow_templates")
async def example_workflows(request: web.Request) -> web.Response:
    """Names of the example workflows of node packs."""
    return web.json_response(await asyncio.to_thread(pack_texts.examples, of(request).config.custom_nodes))


example_routes = web.RouteTableDef()


@example_routes.get("/api/workflow_templates/{pack}/{path:.+}")
async def example_workflow(request: web.Request) -> web.StreamResponse:
    """An example workflow of a node pack, or its picture."""
    pack, path = request.match_info["pack"], request.match_info["path"]
    found = await asyncio.to_thread(pack_texts.example_file, of(request).config.custom_nodes, pack, path)
    if found is None:
        # As aiohttp answers for static folders, which ComfyUI uses: with a text only for what would leave one.
        if ".." in path.split("/") and ".." not in request.rel_url.raw_path.split("/"):
            raise web.HTTPNotFound
        return web.Response(status=404, content_type="application/octet-stream")
    return web.FileResponse(found)
