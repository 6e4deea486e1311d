"""Routes about the server itself: system, features, models, extensions, logs."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from importlib import metadata, resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from comfyui_emulator.folders import ALL_FOLDERS, MODEL_FOLDERS, model_places
from comfyui_emulator.registry import JsonObject
from comfyui_emulator.server import Emulator, of
from comfyui_emulator.settings import COMFYUI_VERSION

routes = web.RouteTableDef()
internal_routes = web.RouteTableDef()


def _package_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def package_folder(package: str, folder: str) -> Path | None:
    """A data folder of an installed package, found without importing the package; ``None`` if it has none."""
    try:
        path = Path(str(resources.files(package))) / folder
    except (ModuleNotFoundError, TypeError):
        return None
    return path if path.is_dir() else None


@routes.get("/system_stats")
async def system_stats(request: web.Request) -> web.Response:
    """Data about the machine and the server; the entry ``discomfort`` marks the emulator."""
    import psutil

    memory = psutil.virtual_memory()
    frontend = _package_version("comfyui-frontend-package")
    templates = _package_version("comfyui-workflow-templates")
    system = {
        "os": os.name,
        "ram_total": memory.total,
        "ram_free": memory.available,
        "comfyui_version": COMFYUI_VERSION,
        "required_frontend_version": frontend,
        "installed_templates_version": templates,
        "required_templates_version": templates,
        "python_version": sys.version,
        "pytorch_version": "none (discomfort emulator)",
        "embedded_python": False,
        "argv": list(of(request).config.argv),
        "discomfort": {"emulator": True, "version": _package_version("discomfort"), "pid": os.getpid()},
    }
    device = {
        "name": "cpu",
        "type": "cpu",
        "index": None,
        "vram_total": memory.total,
        "vram_free": memory.available,
        "torch_vram_total": memory.total,
        "torch_vram_free": memory.available,
    }
    return web.json_response({"system": system, "devices": [device]})


@routes.get("/features")
async def features(request: web.Request) -> web.Response:
    """The server's feature flags, which are also sent to sockets."""
    return web.json_response(of(request).features)


@routes.get("/embeddings")
async def embeddings(request: web.Request) -> web.Response:
    """Names of embeddings, without extensions."""
    names = await asyncio.to_thread(model_names, of(request), "embeddings")
    return web.json_response([os.path.splitext(name)[0] for name in names])  # noqa: PTH122 - a name, not a path


@routes.get("/models")
async def models(_request: web.Request) -> web.Response:
    """Names of the model folders, and of two others."""
    return web.json_response(list(ALL_FOLDERS))


@routes.get("/models/{folder}")
async def model_files(request: web.Request) -> web.Response:
    """Model files of a folder."""
    folder = request.match_info["folder"]
    if folder not in ALL_FOLDERS:
        return web.Response(status=404)
    return web.json_response(await asyncio.to_thread(model_names, of(request), folder))


def model_files_of(emulator: Emulator, folder: str) -> list[tuple[int, Path, Path]]:
    """Files of a kind: the index of the folder, the folder, and the path in it. Blocking."""
    found = []
    for index, root in enumerate(_places(emulator, folder)):
        found += [(index, root, path.relative_to(root)) for path in sorted(root.rglob("*")) if path.is_file()]
    return found


def model_names(emulator: Emulator, folder: str) -> list[str]:
    """Files of a kind, as names relative to their folder. Blocking."""
    return sorted({str(path) for _, _, path in model_files_of(emulator, folder)})


def _places(emulator: Emulator, folder: str) -> list[Path]:
    return model_places(emulator.base, emulator.folders.output, folder)


@routes.get("/experiment/models")
async def model_folders(request: web.Request) -> web.Response:
    """Kinds of models with their folders."""
    emulator = of(request)
    return web.json_response(
        [{"name": name, "folders": [str(place) for place in _places(emulator, name)]} for name in MODEL_FOLDERS]
    )


@routes.get("/experiment/models/{folder}")
async def model_details(request: web.Request) -> web.Response:
    """Model files of a folder with size and times."""
    folder = request.match_info["folder"]
    if folder not in ALL_FOLDERS:
        return web.Response(status=404)

    def describe() -> list[JsonObject]:
        found = []
        for index, root, name in model_files_of(of(request), folder):
            stat = (root / name).stat()
            found.append(
                {
                    "name": str(name),
                    "pathIndex": index,
                    "modified": stat.st_mtime,
                    "created": stat.st_ctime,
                    "size": stat.st_size,
                }
            )
        return found

    return web.json_response(await asyncio.to_thread(describe))


@routes.get("/experiment/models/preview/{folder}/{path_index}/{filename:.*}")
async def model_preview(_request: web.Request) -> web.Response:
    """Previews of models: none here."""
    return web.Response(status=404)


@routes.get("/view_metadata/{folder}")
async def view_metadata(_request: web.Request) -> web.Response:
    """Metadata of models: none here."""
    return web.Response(status=404)


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


@routes.get("/i18n")
async def translations(_request: web.Request) -> web.Response:
    """Translations of custom nodes: none here."""
    return web.json_response({})


@routes.get("/workflow_templates")
async def workflow_templates(_request: web.Request) -> web.Response:
    """Templates of custom nodes: none here."""
    return web.json_response({})


@internal_routes.get("/internal/logs")
async def logs(request: web.Request) -> web.Response:
    """The latest log lines as one string."""
    return web.json_response("".join(f"{entry['t']} - {entry['m']}" for entry in of(request).log_book.entries()))


@internal_routes.get("/internal/logs/raw")
async def raw_logs(request: web.Request) -> web.Response:
    """The latest log lines one by one, and the size of the terminal."""
    book = of(request).log_book
    return web.json_response({"entries": book.entries(), "size": book.size()})


@internal_routes.patch("/internal/logs/subscribe")
async def subscribe_logs(request: web.Request) -> web.Response:
    """Start or stop sending new log lines to a socket."""
    data = await request.json()
    of(request).log_book.subscribe(data["clientId"], enabled=bool(data["enabled"]))
    return web.Response(status=200)


@internal_routes.get("/internal/folder_paths")
async def folder_paths(request: web.Request) -> web.Response:
    """Kinds of models and their folders."""
    emulator = of(request)
    return web.json_response({name: [str(place) for place in _places(emulator, name)] for name in ALL_FOLDERS})


@internal_routes.get("/internal/files/{kind}")
async def files(request: web.Request) -> web.Response:
    """Names of the files directly in a folder, newest first."""
    root = of(request).folders.by_type(request.match_info["kind"])
    if root is None:
        return web.json_response({"error": "Invalid directory type"}, status=400)

    def listing() -> list[str]:
        entries: list[Any] = [entry for entry in os.scandir(root) if entry.is_file()]
        entries.sort(key=lambda entry: -entry.stat().st_mtime)
        return [entry.name for entry in entries]

    return web.json_response(await asyncio.to_thread(listing))


def machine() -> str:
    """One line about Python and the system, for the log."""
    return f"Python {platform.python_version()} on {platform.system()}"


__all__ = ["internal_routes", "machine", "package_folder", "routes"]
