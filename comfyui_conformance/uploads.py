"""Checks of ``POST /upload/image`` and ``/upload/mask``: file names, content and refusals."""

from __future__ import annotations

import io
import json
from typing import Any
from urllib.parse import urlencode

import aiohttp

from comfyui_conformance.model import Skip, check
from comfyui_conformance.pictures import chunks, facts, first_pixel, png
from comfyui_conformance.probe import PREFIX, Answer, Probe

_SOURCE = "server.py: image_upload"


async def _upload(server: Probe, content: bytes, name: str, route: str = "image", **fields: str) -> Answer:
    form = aiohttp.FormData(quote_fields=False)
    for key, value in {"type": "temp", "subfolder": PREFIX, **fields}.items():
        form.add_field(key, value)
    form.add_field("image", content, filename=name, content_type="image/png")
    return await server.post(f"/upload/{route}", data=form)


async def _content(server: Probe, stored: dict[str, Any]) -> bytes:
    query = {"filename": stored["name"], "subfolder": stored["subfolder"], "type": stored["type"]}
    return (await server.get(f"/view?{urlencode(query)}")).body


@check(_SOURCE)
async def stored(server: Probe) -> None:
    """An upload is stored unchanged, and the response says where."""
    answer = await _upload(server, content := png(1, 1, 1), "stored.png", overwrite="true")
    server.same("status", answer.status, 200)
    server.has("body", answer.json(), {"name": "stored.png", "subfolder": PREFIX, "type": "temp"})
    server.same("bytes", await _content(server, answer.json()), content)


@check(_SOURCE)
async def default_folder(server: Probe) -> None:
    """Without a type and a subfolder, an upload goes to the input folder."""
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("image", png(2, 2, 2), filename=f"{PREFIX}.png")
    form.add_field("overwrite", "true")
    answer = await server.post("/upload/image", data=form)
    server.has("body", answer.json(), {"name": f"{PREFIX}.png", "subfolder": "", "type": "input"})


@check(_SOURCE)
async def equal_content(server: Probe) -> None:
    """The same content under the same name keeps the name; other content gets a number."""
    name = f"{server.name()}.png"
    first = (await _upload(server, png(3, 3, 3), name)).json()["name"]
    same = (await _upload(server, png(3, 3, 3), name)).json()["name"]
    other = (await _upload(server, png(4, 4, 4), name)).json()["name"]
    third = (await _upload(server, png(5, 5, 5), name)).json()["name"]
    stem = name.removesuffix(".png")
    server.same("names", [first, same, other, third], [name, name, f"{stem} (1).png", f"{stem} (2).png"])


@check(_SOURCE)
async def overwriting(server: Probe) -> None:
    """An existing file is overwritten only if overwrite is true or 1."""
    name = f"{server.name()}.png"
    await _upload(server, png(6, 6, 6), name)
    for number, said in enumerate(("true", "1"), 7):
        answer = await _upload(server, content := png(number, 7, 7), name, overwrite=said)
        server.same(f"name with {said}", answer.json()["name"], name)
        server.same(f"bytes with {said}", await _content(server, answer.json()), content)
    answer = await _upload(server, png(9, 9, 9), name, overwrite="yes")
    server.same("name with yes", answer.json()["name"], name.replace(".png", " (1).png"))


@check(_SOURCE)
async def foreign_names(server: Probe) -> None:
    """Non-Latin letters and spaces stay in the name."""
    answer = await _upload(server, content := png(9, 8, 7), "grün 日本.png", overwrite="true")
    server.same("name", answer.json()["name"], "grün 日本.png")
    server.same("bytes", await _content(server, answer.json()), content)


@check(_SOURCE)
async def any_content(server: Probe) -> None:
    """Files that are not pictures are stored too."""
    answer = await _upload(server, b"no picture", "note.txt", overwrite="true")
    server.same("status and name", (answer.status, answer.json()["name"]), (200, "note.txt"))


@check(_SOURCE)
async def refusals(server: Probe) -> None:
    """A path that leaves its folder, or a missing file, is 400; an unknown folder type is an internal error."""
    for name, fields, status in (
        ("p.png", {"subfolder": "../x"}, 400),
        ("../../p.png", {}, 400),
        ("p.png", {"subfolder": "/abs"}, 400),
        ("p.png", {"type": "none"}, 500),
    ):
        answer = await _upload(server, png(1, 1, 1), name, **fields)
        server.same(f"status of {name} {fields}", answer.status, status)
    form = aiohttp.FormData({"type": "temp"})
    form.add_field("other", b"x", filename="x.png")
    server.same("status without a file", (await server.post("/upload/image", data=form)).status, 400)


@check("server.py: upload_mask")
async def mask(server: Probe) -> None:
    """A mask combines the original's colours and texts with the upload's alpha."""
    original = (await _upload(server, png(40, 50, 60, text="kept"), "original.png", overwrite="true")).json()
    reference = json.dumps({"filename": original["name"], "subfolder": original["subfolder"], "type": "temp"})
    answer = await _upload(server, png(0, 0, 0, 99), "masked.png", "mask", overwrite="true", original_ref=reference)
    server.same("status", answer.status, 200)
    found = await _content(server, answer.json())
    server.same("colour type and pixel", (facts(found)[2], first_pixel(found)), (6, (40, 50, 60, 99)))
    server.same("texts", [content for kind, content in chunks(found) if kind == "tEXt"], [b"note\0kept"])


@check("server.py: upload_mask")
async def mask_refusals(server: Probe) -> None:
    """A mask without a reference is an internal error; one with a missing original is 200, and nothing is stored."""
    server.same("status without original_ref", (await _upload(server, png(0, 0, 0, 9), "m.png", "mask")).status, 500)
    name = f"{server.name()}.png"
    reference = json.dumps({"filename": f"{PREFIX}-none.png", "subfolder": "", "type": "temp"})
    answer = await _upload(server, png(0, 0, 0, 9), name, "mask", original_ref=reference)
    server.same("status with a missing original", answer.status, 200)
    query = urlencode({"filename": name, "subfolder": PREFIX, "type": "temp"})
    server.same("status of viewing it", (await server.get(f"/view?{query}")).status, 404)


@check("server.py: max_upload_size")
async def too_large(server: Probe) -> None:
    """A body above the limit is 413, with a text that names the limit."""
    limit = (await server.read("/features")).get("max_upload_size", 0)
    if not 0 < limit <= 8 << 20:
        raise Skip(f"the server's limit of {limit >> 20 if isinstance(limit, int) else limit} MiB is too large to test")
    answer = await server.post("/prompt", data=io.BytesIO(b" " * (int(limit) + 1)))
    server.same("status", answer.status, 413)
    text = f"Maximum request body size {int(limit)} exceeded".encode()
    server.holds("text", text in answer.body, repr(text), answer.body)
