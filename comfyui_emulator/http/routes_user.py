"""Routes for users: settings and stored files."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from comfyui_emulator.folders import contained, write_atomically
from comfyui_emulator.http.served_types import is_active, media_type
from comfyui_emulator.registry import JsonObject
from comfyui_emulator.server import of
from comfyui_emulator.users import HEADER, DuplicateUserError, RefusedUserError, UnknownUserError

log = logging.getLogger("comfyui_emulator")

routes = web.RouteTableDef()


BAD_NAME = 'Invalid filename. Please avoid special characters like :\\/*?"<>|'
"""The reason phrase if a file cannot be written (ComfyUI's)."""


def _home(request: web.Request) -> Path:
    return of(request).users.home(request.headers.get(HEADER))


def _settings_path(request: web.Request) -> Path:
    try:
        return _home(request) / "comfy.settings.json"
    except UnknownUserError as error:
        raise web.HTTPUnauthorized from error


def _read_settings(path: Path) -> JsonObject:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        log.error("The user settings file is corrupted: %s", path)  # noqa: TRY400 - one line, as in ComfyUI
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)


@routes.get("/users")
async def users(request: web.Request) -> web.Response:
    """The storage kind, with ``migrated`` (true once the single user has stored something) or the users."""
    known = of(request).users
    if known.multiple:
        return web.json_response({"storage": "server", "users": known.names})
    return web.json_response({"storage": "server", "migrated": _home(request).exists()})


@routes.post("/users")
async def create_user(request: web.Request) -> web.Response:
    """Create a user and answer with its id. A single-user server keeps it for later, as ComfyUI does."""
    name = (await request.json())["username"]
    try:
        return web.json_response(await asyncio.to_thread(of(request).users.add, name))
    except (DuplicateUserError, RefusedUserError) as error:
        return web.json_response({"error": str(error)}, status=400)


@routes.get("/settings")
async def settings(request: web.Request) -> web.Response:
    """All settings."""
    return web.json_response(await asyncio.to_thread(_read_settings, _settings_path(request)))


@routes.get("/settings/{id}")
async def setting(request: web.Request) -> web.Response:
    """One setting, or ``null``."""
    values = await asyncio.to_thread(_read_settings, _settings_path(request))
    return web.json_response(values.get(request.match_info["id"]))


async def _merge(request: web.Request, name: str | None = None) -> web.Response:
    # First, so that an unknown user is refused before the body is read.
    path = _settings_path(request)
    content = await request.json()
    change = content if name is None else {name: content}
    # Reads and writes in one step of the event loop, so that concurrent changes lose nothing.
    _write(path, json.dumps({**_read_settings(path), **change}, indent=4).encode())
    return web.Response(status=200)


@routes.post("/settings")
async def change_settings(request: web.Request) -> web.Response:
    """Merge settings."""
    return await _merge(request)


@routes.post("/settings/{id}")
async def change_setting(request: web.Request) -> web.Response:
    """Set one setting to any JSON value."""
    return await _merge(request, request.match_info["id"])


def _file_info(path: Path, root: Path) -> JsonObject:
    stat = path.stat()
    name = path.relative_to(root).as_posix()
    # Milliseconds; seconds before ComfyUI 0.21, and still in the second version of the list.
    times = {"modified": int(stat.st_mtime * 1000), "created": int(stat.st_ctime * 1000)}
    return {"path": name, "size": stat.st_size, **times}


@routes.get("/userdata")
async def list_userdata(request: web.Request) -> web.Response:
    """Names of stored files below a directory."""
    query = request.rel_url.query
    directory = query.get("dir", "")
    if not directory:
        return web.Response(status=400, text="Directory not provided")
    folder = contained(_home(request), directory)
    if folder is None:
        return web.Response(status=403, text="Invalid directory")
    if not folder.is_dir():
        return web.Response(status=404, text="Directory not found")
    recurse, full, split = (query.get(name, "").lower() == "true" for name in ("recurse", "full_info", "split"))

    def listing() -> list[Any]:
        files = [path for path in (folder.rglob("*") if recurse else folder.glob("*")) if path.is_file()]
        files.sort(key=lambda path: (len(path.parts), path))
        if full:
            return [_file_info(path, folder) for path in files]
        names = [path.relative_to(folder).as_posix() for path in files]
        return [[name, *name.split("/")] for name in names] if split else names

    return web.json_response(await asyncio.to_thread(listing))


@routes.get("/v2/userdata")
async def browse_userdata(request: web.Request) -> web.Response:
    """Stored files and directories with their details, directories first."""
    asked = request.rel_url.query.get("path", "")
    try:
        home = _home(request)
    except UnknownUserError:
        return web.Response(status=403, text="Invalid user specified in request")
    folder = contained(home, unquote(asked))
    if folder is None:
        return web.Response(status=400, text="Invalid path requested")
    if not folder.exists():
        if folder == contained(home):
            return web.json_response([])
        return web.Response(status=404, text="Requested path not found")
    if not folder.is_dir():
        return web.Response(status=400, text="Requested path is not a directory")

    root = contained(home) or home

    def listing() -> list[JsonObject]:
        entries: list[JsonObject] = []
        for current, directories, files in os.walk(folder):
            here = Path(current)
            for name in directories:
                path = (here / name).relative_to(root).as_posix()
                entries.append({"name": name, "path": path, "type": "directory"})
            for name in files:
                stat = (here / name).stat()
                path = (here / name).relative_to(root).as_posix()
                entry = {"name": name, "path": path, "type": "file", "size": stat.st_size, "modified": stat.st_mtime}
                entries.append(entry)
        return sorted(entries, key=lambda entry: (entry["type"] != "directory", entry["name"].lower()))

    return web.json_response(await asyncio.to_thread(listing))


def _stored(request: web.Request, part: str = "file", *, must_exist: bool = True) -> Path:
    """The stored file that the request names. Raises an HTTP error if the path is bad or the file is missing."""
    name = request.match_info.get(part, "")
    if not name:
        raise web.HTTPBadRequest
    # A name that was encoded twice is decoded twice, so that the check sees the path that will be used.
    path = contained(_home(request), unquote(name))
    if path is None:
        raise web.HTTPForbidden
    if must_exist and not path.exists():
        raise web.HTTPNotFound
    return path


def _refusal(error: web.HTTPException) -> web.Response:
    return web.Response(status=error.status)


@routes.get("/userdata/{file}")
async def read_userdata(request: web.Request) -> web.StreamResponse:
    """A stored file, as a download that a browser does not run; only the user's style sheet is applied."""
    try:
        path = _stored(request)
    except web.HTTPException as error:
        return _refusal(error)
    kind, disposition = media_type(path.name), "attachment"
    if path == contained(_home(request), "user.css"):
        kind, disposition = "text/css", "inline"
    elif is_active(kind):
        kind = "application/octet-stream"
    headers = {"Content-Type": kind, "X-Content-Type-Options": "nosniff", "Content-Disposition": disposition}
    return web.FileResponse(path, headers=headers)


@routes.post("/userdata/{file}")
async def write_userdata(request: web.Request) -> web.Response:
    """Store the body as a file."""
    try:
        path = _stored(request, must_exist=False)
    except web.HTTPException as error:
        return _refusal(error)
    if _must_be_new(request) and path.exists():
        return web.Response(status=409, text="File already exists")
    content = await request.read()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        await asyncio.to_thread(write_atomically, path, content)
    except OSError as error:
        log.warning("%s could not be saved: %s", path, error)
        return web.Response(status=400, reason=BAD_NAME)
    return web.json_response(_answer(request, path))


def _must_be_new(request: web.Request) -> bool:
    return request.rel_url.query.get("overwrite") == "false"


def _answer(request: web.Request, path: Path) -> Any:
    home = contained(_home(request))
    assert home is not None  # noqa: S101 - a folder contains itself
    info = _file_info(path, home)
    return info if request.rel_url.query.get("full_info", "").lower() == "true" else info["path"]


@routes.delete("/userdata/{file}")
async def delete_userdata(request: web.Request) -> web.Response:
    """Remove a stored file."""
    try:
        path = _stored(request)
    except web.HTTPException as error:
        return _refusal(error)
    await asyncio.to_thread(path.unlink)
    return web.Response(status=204)


@routes.post("/userdata/{file}/move/{dest}")
async def move_userdata(request: web.Request) -> web.Response:
    """Rename a stored file."""
    try:
        source = _stored(request)
        target = _stored(request, "dest", must_exist=False)
    except web.HTTPException as error:
        return _refusal(error)
    if _must_be_new(request) and target.exists():
        return web.Response(status=409, text="File already exists")

    def move() -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)

    await asyncio.to_thread(move)
    return web.json_response(_answer(request, target))
