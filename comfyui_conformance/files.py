"""Checks of ``GET /view`` and of saved files: names, metadata, previews, channels, refusals."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode

from comfyui_conformance.model import check
from comfyui_conformance.pictures import chunks, facts, first_pixel, png
from comfyui_conformance.probe import PREFIX, Answer, Probe, node, picture

_SOURCE = "server.py: view_image"
_BASIC = ("EmptyImage", "PreviewImage")
_BYTES = "application/octet-stream"
_QUOTED = 'a"b.png'


async def _put(server: Probe, name: str, content: bytes) -> str:
    """Upload to our subfolder of the temporary folder and return a query that views it."""
    return urlencode(await server.put(name, content, PREFIX))


async def _view(server: Probe, query: str, **options: Any) -> Answer:
    return await server.get(f"/view?{query}", **options)


@check(_SOURCE, nodes=_BASIC)
async def whole(server: Probe) -> None:
    """The response has the stored bytes and their name, and no cache headers."""
    content = png(1, 2, 3)
    answer = await _view(server, await _put(server, "whole.png", content))
    server.same("status", answer.status, 200)
    server.same("bytes", answer.body, content)
    found = {name: answer.headers.get(name) for name in ("Content-Type", "Content-Disposition", "Cache-Control")}
    disposition = 'filename="whole.png"'
    expected = {"Content-Type": "image/png", "Content-Disposition": disposition, "Cache-Control": None}
    server.same("headers", found, expected)


@check(_SOURCE)
async def ranges(server: Probe) -> None:
    """A range is 206, and an unchanged file is 304."""
    query = await _put(server, "ranges.png", content := png(4, 5, 6))
    part = await _view(server, query, headers={"Range": "bytes=0-3"})
    server.same("status and bytes of a part", (part.status, part.body), (206, content[:4]))
    whole_file = await _view(server, query)
    tag = whole_file.headers.get("ETag", "")
    unchanged = await _view(server, query, headers={"If-None-Match": tag})
    server.same("status with its ETag", (unchanged.status, unchanged.body), (304, b""))


@check(_SOURCE)
async def channels(server: Probe) -> None:
    """rgb is the picture without alpha, a is black with its alpha, and rgba and anything else is the file itself."""
    query = await _put(server, "channels.png", content := png(10, 20, 30, 128))
    rgb = await _view(server, f"{query}&channel=rgb")
    server.same("rgb: type, colour type, pixel", _told(rgb), ("image/png", 2, (10, 20, 30)))
    alpha = await _view(server, f"{query}&channel=a")
    server.same("a: type, colour type, pixel", _told(alpha), ("image/png", 6, (0, 0, 0, 128)))
    for channel in ("rgba", "none"):
        server.same(f"bytes of {channel}", (await _view(server, f"{query}&channel={channel}")).body, content)


def _told(answer: Answer) -> tuple[str | None, int, tuple[int, ...]]:
    return answer.headers.get("Content-Type"), facts(answer.body)[2], first_pixel(answer.body)


@check(_SOURCE)
async def previews(server: Probe) -> None:
    """A preview is WebP or JPEG as requested, and WebP for any other format."""
    query = await _put(server, "previews.png", png(10, 20, 30))
    for wanted, kind, start in (
        ("webp;50", "image/webp", b"RIFF"),
        ("jpeg;90", "image/jpeg", b"\xff\xd8\xff"),
        ("jpeg", "image/jpeg", b"\xff\xd8\xff"),
        ("gif;90", "image/webp", b"RIFF"),
        ("jpeg;90&channel=a", "image/webp", b"RIFF"),
    ):
        answer = await _view(server, f"{query}&preview={wanted}")
        server.same(f"status and type of {wanted}", (answer.status, answer.headers.get("Content-Type")), (200, kind))
        server.holds(f"start of {wanted}", answer.body.startswith(start), repr(start), answer.body)


@check(_SOURCE)
async def preview_of_no_picture(server: Probe) -> None:
    """A preview of a file that is not a picture is an internal error."""
    query = await _put(server, "text.txt", b"no picture")
    server.same("status", (await _view(server, f"{query}&preview=webp")).status, 500)


_ACTIVE = {"page.html": b"<p>", "style.css": b"x"}
_ACTIVE_SINCE = {"run.js": b"x", "data.xml": b"<x/>", "image.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}


async def _shown(server: Probe, name: str, content: bytes, destination: str = "document") -> dict[str, str | None]:
    """The headers for a file that a browser asks for to show it there."""
    query = await _put(server, name, content)
    headers = (await _view(server, query, headers={"Sec-Fetch-Dest": destination})).headers
    names = ("Content-Type", "Content-Disposition", "X-Content-Type-Options", "Cache-Control", "Vary")
    return {name: headers.get(name) for name in names}


@check(_SOURCE)
async def active_content(server: Probe) -> None:
    """Content that a browser would run is sent as plain bytes."""
    for name, content in _ACTIVE.items():
        server.same(f"type of {name}", (await _shown(server, name, content))["Content-Type"], _BYTES)


@check(_SOURCE, before="downloads")
async def shown_in_place(server: Probe) -> None:
    """Files are sent to be shown in place, an SVG as a picture, and browsers may guess their types."""
    found = await _shown(server, "image.svg", _ACTIVE_SINCE["image.svg"])
    expected = {"Content-Type": "image/svg+xml", "Content-Disposition": 'filename="image.svg"'}
    server.has("headers", found, expected | {"X-Content-Type-Options": None})


@check(_SOURCE, since="downloads")
async def downloads(server: Probe) -> None:
    """Content that a browser would run is a download, SVG, scripts and XML included; types are not guessed."""
    for name, content in (_ACTIVE | _ACTIVE_SINCE).items():
        found = await _shown(server, name, content)
        expected = {"Content-Type": _BYTES, "Content-Disposition": f'attachment; filename="{name}"'}
        server.has(f"headers of {name}", found, expected | {"X-Content-Type-Options": "nosniff"})
    found = await _shown(server, "still.png", png(1, 2, 3))
    expected = {"Content-Disposition": 'filename="still.png"', "X-Content-Type-Options": "nosniff"}
    server.has("headers of a picture", found, expected)


@check(_SOURCE, since="downloads")
async def quoted_names(server: Probe) -> None:
    """A quotation mark in a file's name is escaped in the headers."""
    found = await server.get(f"/view?{await _put(server, _QUOTED, png(1, 2, 3))}")
    server.same("name", found.headers.get("Content-Disposition"), 'filename="a\\"b.png"')


@check("folder_paths.py: renders_safely_as_image", since="svg-images")
async def svg_as_image(server: Probe) -> None:
    """An SVG is sent as a picture if the browser shows it as one; what a browser would run is never stored."""
    found = await _shown(server, "image.svg", _ACTIVE_SINCE["image.svg"], "image")
    expected = {"Content-Type": "image/svg+xml", "Content-Disposition": 'filename="image.svg"'}
    server.has("headers", found, expected | {"Cache-Control": "no-store", "Vary": "Sec-Fetch-Dest"})


@check(_SOURCE)
async def annotated_names(server: Probe) -> None:
    """A name that ends in [temp] is looked up in the temporary folder, whatever the type says."""
    await _put(server, "annotated.png", content := png(7, 8, 9))
    query = urlencode({"filename": "annotated.png [temp]", "subfolder": PREFIX, "type": "input"})
    answer = await _view(server, query)
    server.same("status and bytes", (answer.status, answer.body), (200, content))


@check(_SOURCE)
async def refusals(server: Probe) -> None:
    """A missing name or file is 404, a bad name or folder type 400, and a subfolder outside the folder 403."""
    cases = {
        "": 404,
        "?filename=": 400,
        "?filename=/x.png": 400,
        "?filename=a..b.png": 400,
        f"?filename={PREFIX}-none.png": 404,
        "?filename=x.png&type=none": 400,
        "?filename=x.png&subfolder=..": 403,
    }
    for query, status in cases.items():
        server.same(f"status of /view{query}", (await server.get(f"/view{query}")).status, status)


@check("nodes.py: PreviewImage", nodes=_BASIC)
async def preview_image(server: Probe) -> None:
    """A preview image of a run is a PNG that can be viewed and contains the prompt."""
    prompt = picture(0x123456)
    record = await server.run(prompt)
    (image,) = record["outputs"]["2"]["images"]
    answer = await _view(server, urlencode(image))
    server.same("size and colour type", facts(answer.body), (8, 8, 2))
    server.same("first pixel", first_pixel(answer.body), (0x12, 0x34, 0x56))


@check("nodes.py: SaveImage", nodes=["EmptyImage", "SaveImage"])
async def saved_names(server: Probe) -> None:
    """A saved picture gets the next number in the prefix's subfolder."""
    numbers = []
    for _ in range(2):
        record = await server.run(picture(out="SaveImage", filename_prefix=f"{PREFIX}/saved"))
        (image,) = record["outputs"]["2"]["images"]
        server.same("subfolder and type", (image["subfolder"], image["type"]), (PREFIX, "output"))
        stem, _, rest = image["filename"].partition("_")
        server.same("name before and after the number", (stem, rest[5:]), ("saved", "_.png"))
        numbers.append(int(rest[:5]))
    server.same("the second number", numbers[1], numbers[0] + 1)


@check("nodes.py: SaveImage", nodes=["EmptyImage", "SaveImage"])
async def metadata(server: Probe) -> None:
    """A saved PNG contains the prompt, and each key of extra_pnginfo, as JSON in text chunks."""
    prompt = picture(0xABCDEF, out="SaveImage", filename_prefix=f"{PREFIX}/saved")
    workflow = {"note": "grün"}
    record = await server.run(prompt, extra_data={"extra_pnginfo": {"workflow": workflow}})
    answer = await _view(server, urlencode(record["outputs"]["2"]["images"][0]))
    texts = dict(content.split(b"\0", 1) for kind, content in chunks(answer.body) if kind == "tEXt")
    if not texts:
        server.holds(
            "text chunks", False, "prompt and workflow (or was the server started with --disable-metadata?)", []
        )
        return
    server.same("keys", sorted(texts), [b"prompt", b"workflow"])
    server.same("workflow", json.loads(texts[b"workflow"]), workflow)
    server.same("prompt", json.loads(texts[b"prompt"]), prompt)


@check("nodes.py: SaveImage", nodes=["EmptyImage", "SaveImage"])
async def prefix_that_leaves(server: Probe) -> None:
    """A prefix that leaves the output folder fails when the node runs."""
    record = await server.run(picture(out="SaveImage", filename_prefix=f"../{PREFIX}"))
    server.same("status", record["status"]["status_str"], "error")
    server.same("failed node", record["status"]["messages"][-1][1].get("node_id"), "2")


@check("nodes.py: LoadImage", nodes=["LoadImage", "PreviewImage"])
async def loaded_from_temp(server: Probe) -> None:
    """A loader reads a file in another folder by its annotated name, with the same pixels."""
    await _put(server, "loaded.png", png(11, 22, 33, size=16))
    prompt = {"1": node("LoadImage", image=f"{PREFIX}/loaded.png [temp]"), "2": node("PreviewImage", images=["1", 0])}
    record = await server.run(prompt)
    answer = await _view(server, urlencode(record["outputs"]["2"]["images"][0]))
    server.same("first pixel", first_pixel(answer.body), (11, 22, 33))


async def _audio_name(server: Probe) -> str:
    """The name of a short sound that a run shows."""
    prompt = {
        "1": node("EmptyAudio", duration=0.1, sample_rate=8000, channels=1),
        "2": node("PreviewAudio", audio=["1", 0]),
    }
    record = await server.run(prompt)
    return str(record["outputs"]["2"]["audio"][0]["filename"])


_AUDIO = ("EmptyAudio", "PreviewAudio")


@check("comfy_extras/nodes_audio.py", nodes=_AUDIO, before="audio-names")
async def audio_underscore(server: Probe) -> None:
    """The name of an audio file ends in its number and an underscore."""
    name = await _audio_name(server)
    server.holds("name", re.search(r"_\d{5}_\.flac$", name), "…_00001_.flac", name)


@check("comfy_api/latest/_ui.py: AudioSaveHelper", nodes=_AUDIO, since="audio-names")
async def audio_number(server: Probe) -> None:
    """The name of an audio file ends in its number."""
    name = await _audio_name(server)
    server.holds("name", re.search(r"_\d{5}\.flac$", name), "…_00001.flac", name)
