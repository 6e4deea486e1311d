"""Routes for files: view and upload."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

from aiohttp import web

from comfyui_emulator.folders import contained, split_annotation, write_atomically
from comfyui_emulator.http.served_types import is_active, media_type, shown_as_image
from comfyui_emulator.registry import JsonObject
from comfyui_emulator.server import Emulator, of

routes = web.RouteTableDef()


def _locate(emulator: Emulator, name: str, kind: str, subfolder: str) -> Path:
    """The file that a reference names. Raises the HTTP error with which ComfyUI would answer."""
    if not name:
        raise web.HTTPBadRequest
    name, annotated = split_annotation(name)
    root = emulator.folders.by_type(annotated or kind)
    if name.startswith("/") or ".." in name or root is None:
        raise web.HTTPBadRequest
    folder = contained(root, subfolder)
    if folder is None:
        raise web.HTTPForbidden
    path = folder / os.path.basename(name)  # noqa: PTH119 - a reference, not a path of this system
    if not path.is_file() or contained(root, str(path)) is None:
        raise web.HTTPNotFound
    return path


@routes.get("/view")
async def view(request: web.Request) -> web.StreamResponse:
    """A file of the three folders: unchanged, as a preview, or one channel of it."""
    query = request.rel_url.query
    # A hash names an asset, and there are none here.
    if "filename" not in query or query["filename"].startswith("blake3:"):
        return web.Response(status=404)
    try:
        path = _locate(of(request), query["filename"], query.get("type", "output"), query.get("subfolder", ""))
    except web.HTTPException as error:
        return web.Response(status=error.status)
    headers = {"Content-Disposition": f'filename="{path.name}"'}
    channel = query.get("channel", "")
    if "preview" in query:
        body, kind = await asyncio.to_thread(_preview, path, query["preview"], channel)
        return web.Response(body=body, content_type=kind, headers=headers)
    if channel in ("rgb", "a"):
        body = await asyncio.to_thread(_channel, path, channel)
        return web.Response(body=body, content_type="image/png", headers=headers)
    return web.FileResponse(path, headers=_headers(path.name, request.headers.get("Sec-Fetch-Dest")))


def _headers(name: str, destination: str | None) -> dict[str, str]:
    """The headers of a file: what a browser would run is a download, an SVG in an image element is not."""
    kind = media_type(name)
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    headers = {"X-Content-Type-Options": "nosniff", "Content-Disposition": f'filename="{escaped}"'}
    if is_active(kind):
        # The answer depends on the request, so nobody may keep it for another one.
        headers |= {"Vary": "Sec-Fetch-Dest", "Cache-Control": "no-store"}
        if not shown_as_image(kind, destination):
            kind = "application/octet-stream"
            headers["Content-Disposition"] = f'attachment; filename="{escaped}"'
    return headers | {"Content-Type": kind}


def _preview(path: Path, wanted: str, channel: str) -> tuple[bytes, str]:
    from PIL import Image

    image_format, _, quality_text = wanted.partition(";")
    quality = int(quality_text) if quality_text.isdigit() else 90
    if image_format not in ("webp", "jpeg") or "a" in channel:
        image_format = "webp"
    buffer = io.BytesIO()
    with Image.open(path) as opened:
        image = opened.convert("RGB") if image_format == "jpeg" or channel == "rgb" else opened
        image.save(buffer, format=image_format, quality=quality)
    return buffer.getvalue(), f"image/{image_format}"


def _channel(path: Path, channel: str) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(path) as opened:
        if channel == "rgb":
            found = opened.convert("RGB")
        else:
            found = Image.new("RGBA", opened.size)
            # Only this mode counts as transparent, as in ComfyUI.
            found.putalpha(opened.getchannel("A") if opened.mode == "RGBA" else 255)
    found.save(buffer, format="PNG")
    return buffer.getvalue()


class _Upload:
    """The parts of an upload form, and the destination of its file."""

    def __init__(self, emulator: Emulator, form: Any) -> None:
        self.image = form.get("image")
        self.overwrite = form.get("overwrite") in ("true", "1")
        self.kind = form.get("type", "input")
        self.subfolder = form.get("subfolder") or ""
        self.original = form.get("original_ref")
        root = emulator.folders.by_type(self.kind)
        if root is None:
            raise ValueError(f"an upload to {self.kind!r} is refused: the folder types are input, output and temp")
        self.root = root

    def target(self) -> Path | None:
        """The requested path; ``None`` if it would leave its folder."""
        folder = self.folder()
        return None if folder is None else contained(self.root, str(folder), self.image.filename)

    def folder(self) -> Path | None:
        """The requested folder; ``None`` if it is outside its root."""
        return contained(self.root, os.path.normpath(self.subfolder))


def _free_path(path: Path, content: bytes, *, overwrite: bool) -> tuple[Path, bool]:
    """The path to use, and whether to write: a file of that name with equal content is kept."""
    if overwrite or not path.exists():
        return path, True
    digest = hashlib.sha256(content).digest()
    candidate, number = path, 0
    while candidate.exists():
        if hashlib.sha256(candidate.read_bytes()).digest() == digest:
            return candidate, False
        number += 1
        candidate = path.with_name(f"{path.stem} ({number}){path.suffix}")
    return candidate, True


def _store(upload: _Upload, content: bytes) -> JsonObject | None:
    """Write an upload atomically. Returns the answer's JSON, or ``None`` if the path is refused. Blocking."""
    path = upload.target()
    if path is None:
        return None
    # The resolved folder is created, because the given subfolder may lead out and in again. Folders in the file's name
    # are not created, as in ComfyUI.
    folder = upload.folder()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    path, fresh = _free_path(path, content, overwrite=upload.overwrite)
    if fresh:
        write_atomically(path, content)
    return {"name": path.name, "subfolder": upload.subfolder, "type": upload.kind}


async def _receive(request: web.Request) -> tuple[_Upload, bytes] | None:
    form = await request.post()
    upload = _Upload(of(request), form)
    if not upload.image:
        return None
    if not isinstance(upload.image, web.FileField):
        raise TypeError("the image field of an upload must be a file")
    if not upload.image.filename:
        return None
    content: bytes = await asyncio.to_thread(upload.image.file.read)
    return upload, content


@routes.post("/upload/image")
async def upload_image(request: web.Request) -> web.Response:
    """Store a file; the answer contains the name under which it is stored."""
    received = await _receive(request)
    if received is None:
        return web.Response(status=400)
    answer = await asyncio.to_thread(_store, *received)
    return web.Response(status=400) if answer is None else web.json_response(answer)


@routes.post("/upload/mask")
async def upload_mask(request: web.Request) -> web.Response:
    """Store the original picture with the upload's alpha channel."""
    received = await _receive(request)
    if received is None:
        return web.Response(status=400)
    upload, content = received
    original = json.loads(upload.original)
    path = _original_path(of(request), original)
    if path is None:
        # As in ComfyUI, the answer has a name but nothing is written.
        return web.json_response({"name": upload.image.filename, "subfolder": upload.subfolder, "type": upload.kind})
    combined = await asyncio.to_thread(_with_alpha, path, content)
    answer = await asyncio.to_thread(_store, upload, combined)
    return web.Response(status=400) if answer is None else web.json_response(answer)


def _original_path(emulator: Emulator, reference: JsonObject) -> Path | None:
    name = reference.get("filename", "")
    if not name:
        raise ValueError("original_ref has no filename")
    try:
        return _locate(emulator, name, reference.get("type", "output"), reference.get("subfolder", ""))
    except web.HTTPException:
        return None


def _with_alpha(path: Path, content: bytes) -> bytes:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    with Image.open(path) as opened, Image.open(io.BytesIO(content)) as mask:
        metadata = PngInfo()
        for key, value in getattr(opened, "text", {}).items():
            metadata.add_text(key, value)
        picture = opened.convert("RGBA")
        picture.putalpha(mask.convert("RGBA").getchannel("A"))
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG", compress_level=4, pnginfo=metadata)
    return buffer.getvalue()
