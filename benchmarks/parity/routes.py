"""Requests of every kind to both servers: status, headers that matter, and where it can be the same, the body."""

from __future__ import annotations

import contextlib
import http.client
import json
import zlib
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from benchmarks.parity import job_lists
from benchmarks.parity.comparing import Row
from benchmarks.parity.samples import pictures
from benchmarks.parity.sequences import first_difference
from benchmarks.parity.servers import NODES, Server

HEADERS = [
    "Content-Type",
    "Cache-Control",
    "Pragma",
    "Expires",
    "Content-Disposition",
    "Content-Range",
    "Content-Encoding",
    "Allow",
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Credentials",
    "Content-Security-Policy",
    "Vary",
    "X-Content-Type-Options",
]


UPGRADE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "cGFyaXR5IG9mIGJvdGggcw=="),
)
"""Headers that ask for a socket."""


class Ask(NamedTuple):
    """One request. ``look`` is what to compare of the body: ``all``, only the JSON's ``keys``, or ``nothing``."""

    group: str
    path: str
    method: str = "GET"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    look: str = "all"


def asks(port: int) -> Iterator[Ask]:
    """All requests, in order: some make what later ones read."""
    yield from plain()
    yield from views()
    yield from uploads()
    yield from active_files()
    yield from user_data()
    yield from lists()
    yield from jobs()
    yield from assets()
    for site in ("cross-site", "same-site", "same-origin", "none", "x"):
        for path in ("/prompt", "/nothing", "/api/jobs", "/internal/logs"):
            yield Ask("origin", path, headers=(("Sec-Fetch-Site", site), ("Origin", "null")), look="nothing")
        yield Ask("origin", "/ws", headers=(("Sec-Fetch-Site", site), *UPGRADE), look="nothing")
    for origin in (
        f"http://127.0.0.1:{port}",
        "http://127.0.0.1",
        f"http://localhost:{port}",
        "http://evil.com",
        "null",
    ):
        for method, path in (("GET", "/prompt"), ("POST", "/queue"), ("OPTIONS", "/prompt"), ("GET", "/nothing")):
            yield Ask("origin", path, method, b"{}", (("Origin", origin),), "nothing")
        yield Ask("origin", "/ws", headers=(("Origin", origin), *UPGRADE), look="nothing")


def plain() -> Iterator[Ask]:
    """Routes that describe the server, with and without their prefix, and paths that are not routes."""
    for path in ("/prompt", "/queue", "/features", "/extensions_", "/i18n", "/workflow_templates", "/users"):
        yield Ask("plain", path)
        yield Ask("plain", f"/api{path}")
        yield Ask("plain", path, "HEAD")
    yield from (Ask("plain", path, look="keys") for path in ("/system_stats", "/object_info/EmptyImage"))
    # One of each dialect, without the texts for people (aliases, descriptions), which the emulator does not repeat.
    described = ("/object_info/ImageScaleBy", "/object_info/ImageSharpen")
    yield from (Ask("plain", path) for path in ("/object_info/Unknown", *described, "/history/none"))
    yield from (Ask("plain", path, look="nothing") for path in ("/", "/api/", "/ws", "/api/ws", "/index.html"))
    yield from (
        Ask("plain", path) for path in ("/global_subgraphs/none", "/api/node_replacements", "/node_replacements")
    )
    yield from (Ask("plain", path) for path in ("/templates/nope.json", "/api/workflow_templates/none/x.json"))
    subgraph = NODES / "parity_schema" / "subgraphs" / "Twice.json"
    for name in ("", f"/{sha256(f'custom_node{subgraph}'.encode()).hexdigest()}"):
        yield Ask("plain", f"/api/global_subgraphs{name}")
    for path in ("One.json", "none.json", "../pyproject.toml", "..%2fpyproject.toml"):
        yield Ask("plain", f"/api/workflow_templates/parity_schema/{path}")
        yield Ask("plain", f"/workflow_templates/parity_schema/{path}")
    for path in (
        "/nothing", "/nothing.png", "/nothing.js", "/api/nothing", "/assets", "/extensions/x/y.js", "/nothing.gif",
        "/index_nothing.json", "/NOTHING.JS", "/jobs", "/jobs/x", "/global_subgraphs",
    ):  # fmt: skip
        for method in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
            yield Ask("no route", path, method, look="nothing")
    for path in ("/prompt", "/queue", "/interrupt", "/free", "/history"):
        for body in (b"", b"{", b"[]", b"null", b"{}"):
            yield Ask("bodies", path, "POST", body, look="nothing")
    for body in ({"clear": False}, {"delete": None}, {"delete": ["x"]}, {"delete": "x"}, {"delete": 5}, {"other": 1}):
        for path in ("/queue", "/history"):
            yield Ask("bodies", path, "POST", json.dumps(body).encode(), look="nothing")


def views() -> Iterator[Ask]:
    """Pictures, whole and in part."""
    for query in (
        "", "?filename=", "?filename=p_alpha.png", "?filename=p_alpha.png&type=input",
        "?filename=p_alpha.png%20[input]",
        "?filename=nope.png&type=input", "?filename=p_alpha.png&type=other", "?filename=/p_alpha.png&type=input",
        "?filename=a..b.png&type=input", "?filename=x/p_alpha.png&type=input",
        "?filename=p_alpha.png&type=input&subfolder=../..", "?filename=p_alpha.png&type=input&subfolder=nope",
        "?filename=p_one.latent&type=input",
    ):  # fmt: skip
        yield Ask("view", f"/view{query}")
    for query in ("webp;50", "jpeg;90", "jpeg", "png", "webp", "", ";", "webp;x"):
        yield Ask("view", f"/view?filename=p_smooth.png&type=input&preview={query}", look="nothing")
    for channel in ("rgb", "a", "rgba", "x", ""):
        yield Ask("view", f"/view?filename=p_alpha.png&type=input&channel={channel}", look="nothing")
        yield Ask("view", f"/view?filename=p_alpha.png&type=input&preview=jpeg&channel={channel}", look="nothing")
    yield Ask("view", "/view?filename=p_alpha.png&type=input", headers=(("Range", "bytes=0-9"),))
    yield Ask("view", "/view?filename=p_one.latent&type=input&preview=webp", look="nothing")
    yield Ask("view", "/view?filename=blake3:00")
    yield Ask("view", "/view?filename=blake3:00&type=input&preview=webp")


def active_files() -> Iterator[Ask]:
    """Files that a browser might run, uploaded and then shown to different elements of a page."""
    for name in (
        "a.html", "a.htm", "a.js", "a.mjs", "a.css", "a.svg", "a.xml", "a.xhtml", "a.rss", "a.mht", "a.txt", "a.json",
        "a.yaml", "a.glb", "a.webp", "a.avif", "a.safetensors", "a.pt", "a", "a.unknown", "a.SVG", "it's.svg", "ä.xml",
        "a.mp4", "a.flac", "a.pdf", "a.md", "a.wasm", "a.ckpt", "a.gguf",
    ):  # fmt: skip
        body, headers = form(("image", name, b"<svg/>"))
        yield Ask("view", "/upload/image", "POST", body, headers)
        for destination in ("image", "document", "iframe", ""):
            told = (("Sec-Fetch-Dest", destination),) if destination else ()
            yield Ask("view", f"/view?filename={quote(name)}&type=input", headers=told)
        yield Ask("user data", f"/userdata/{quote(name)}", "POST", b"x")
        yield Ask("user data", f"/userdata/{quote(name)}")
    for name in ("user.css", "d%2Fuser.css"):
        yield Ask("user data", f"/userdata/{name}", "POST", b"x")
        yield Ask("user data", f"/userdata/{name}")


def form(*fields: tuple[str, str, bytes]) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """A form: names, file names (empty: a plain field) and contents."""
    mark, parts = "parity", b""
    for name, filename, content in fields:
        about = f'; filename="{filename}"' if filename else ""
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"{about}\r\n\r\n'
        parts += head.encode() + content + b"\r\n"
    return parts + f"--{mark}--\r\n".encode(), (("Content-Type", f"multipart/form-data; boundary={mark}"),)


def uploads() -> Iterator[Ask]:
    """Uploads that go well, and that do not."""
    picture = pictures()["p_alpha.png"]
    image = ("image", "up.png", picture)
    other = ("image", "up.png", pictures()["p_smooth.png"])
    for fields in (
        (image,), (image,), (other,), (other,), (other, ("overwrite", "", b"true")), (other, ("overwrite", "", b"yes")),
        (image, ("subfolder", "", b"deep/er")), (image, ("subfolder", "", b"../out")), (image, ("type", "", b"temp")),
        (image, ("type", "", b"output")), (image, ("type", "", b"models")), (("image", "", b"x"),),
        (("other", "x", b""),), (("image", "../x.png", picture),), (("image", "new/x.png", picture),),
        (("image", "empty.txt", b""),),
        (),
    ):  # fmt: skip
        body, headers = form(*fields)
        yield Ask("upload", "/upload/image", "POST", body, headers)
    reference = {"filename": "p_smooth.png", "type": "input"}
    for original in (reference, {"filename": "nope.png", "type": "input"}, {"filename": "../x"}, {}, None):
        mask = ("image", "mask.png", picture)
        known = () if original is None else (("original_ref", "", json.dumps(original).encode()),)
        body, headers = form(mask, *known)
        yield Ask("upload", "/upload/mask", "POST", body, headers)
    yield Ask("upload", "/view?filename=mask.png&type=input&channel=a", look="nothing")


def user_data() -> Iterator[Ask]:
    """Settings and stored files."""
    for path, method, body in (
        ("/settings", "GET", b""), ("/settings/a", "GET", b""), ("/settings", "POST", b'{"a": 1, "b": [2]}'),
        ("/settings/c", "POST", b'"x"'), ("/settings", "GET", b""), ("/settings/c", "GET", b""),
        ("/settings/c", "POST", b"{"), ("/settings", "POST", b"[]"), ("/users", "GET", b""),
        ("/userdata", "GET", b""), ("/userdata?dir=no", "GET", b""), ("/userdata?dir=../..", "GET", b""),
        ("/userdata/a.txt", "GET", b""), ("/userdata/a.txt", "POST", b"one"), ("/userdata/a.txt", "GET", b""),
        ("/userdata/a.txt?overwrite=false", "POST", b"two"), ("/userdata/d%2Fb.txt", "POST", b"deep"),
        ("/userdata?dir=d", "GET", b""),
        ("/userdata/d%2Fb.txt/move/e%2Fc.txt", "POST", b""), ("/userdata/nope/move/x", "POST", b""),
        ("/userdata/a.txt/move/e%2Fc.txt?overwrite=false", "POST", b""), ("/userdata?dir=e", "GET", b""),
        ("/userdata/..%2Fx", "GET", b""), ("/userdata/..%2Fx", "POST", b"x"),
        ("/userdata/%252e%252e%252fx", "GET", b""),
        ("/userdata/a.txt/move/..%2F..%2Fx", "POST", b""), ("/userdata/a.txt?overwrite=False", "POST", b"three"),
        ("/userdata/e", "POST", b"a folder"), ("/v2/userdata?path=e%2Fc.txt", "GET", b""),
        ("/userdata/a.txt", "DELETE", b""), ("/userdata/a.txt", "DELETE", b""), ("/userdata/..%2Fx", "DELETE", b""),
        ("/v2/userdata?path=nope", "GET", b""), ("/v2/userdata?path=../..", "GET", b""),
        ("/users", "POST", b'{"username": "default"}'), ("/users", "POST", b"{}"),
        ("/users", "POST", b'{"username": " "}'), ("/users", "POST", b'{"username": "__x"}'),
        ("/users", "POST", b'{"username": " __x "}'), ("/users", "POST", b'{"username": 5}'),
    ):  # fmt: skip
        yield Ask("user data", path, method, body)
    for path in (
        "/userdata/i.txt?full_info=true",
        "/userdata?dir=.&full_info=true&recurse=true",
        "/userdata?dir=.&recurse=true&split=true",
        "/v2/userdata",
        "/v2/userdata?path=%2565",
    ):
        yield Ask("user data", path, "POST" if "i.txt" in path else "GET", b"info", look="keys")


def lists() -> Iterator[Ask]:
    """Lists of models and files, history pages, logs."""
    yield from (Ask("lists", path) for path in ("/models", "/embeddings", "/models/loras", "/models/unet", "/models/x"))
    yield from (Ask("lists", f"/experiment/models/{path}") for path in ("loras", "x"))
    for path in (
        "loras/0/x.safetensors",
        "x/0/y",
        *(f"loras/{end}" for end in ("9/y", "x/y", "-1/y", "0/", "0/../../y")),
    ):
        yield Ask("lists", f"/experiment/models/preview/{path}")
    yield Ask("lists", "/experiment/models", look="keys")
    for query in ("", "?filename=", "?filename=x.safetensors", "?filename=x.txt", "?filename=../x.safetensors"):
        yield Ask("lists", f"/view_metadata/loras{query}")
        yield Ask("lists", f"/view_metadata/nope{query}")
    for query in ("?max_items=0", "?max_items=-1", "?max_items=x", "?offset=x", "?max_items=2&offset=100000"):
        yield Ask("lists", f"/history{query}")
    yield Ask("lists", "/internal/folder_paths", look="keys")
    yield Ask("lists", "/internal/logs", look="nothing")
    yield Ask("lists", "/internal/logs/raw", look="keys")
    yield Ask("lists", "/internal/files/nope")
    yield from (Ask("lists", f"/internal/files/{kind}", look="nothing") for kind in ("input", "output", "temp"))
    yield from (Ask("lists", f"/api/internal/{path}", look="nothing") for path in ("logs", "folder_paths"))
    for body in (b'{"clientId": "x", "enabled": true}', b'{"clientId": "x", "enabled": false}', b"{}", b"x"):
        yield Ask("lists", "/internal/logs/subscribe", "PATCH", body)


def jobs() -> Iterator[Ask]:
    """Jobs that are not there, wrong questions, and cancellations of nothing."""
    for query in (
        "", "?status=nope", "?status=completed,nope,%20x", "?status=,", "?status=", "?status=COMPLETED", "?limit=0",
        "?limit=-1", "?limit=x", "?limit=", "?limit=1.5", "?limit=1", "?offset=-3", "?offset=x", "?offset=5",
        "?sort_by=x", "?sort_by=Execution_Duration", "?sort_order=x", "?sort_order=ASC", "?workflow_id=none",
        "?workflow_id=", "?status=nope&limit=x", "?limit=x&offset=x", "?other=1",
    ):  # fmt: skip
        yield Ask("jobs", f"/api/jobs{query}")
    unknown = "00000000-0000-0000-0000-000000000000"
    for path in (f"/api/jobs/{unknown}", "/api/jobs/x", "/api/jobs/", "/api/api/jobs", "/api/jobs/cancel"):
        yield Ask("jobs", path)
        yield Ask("jobs", path, "HEAD")
        yield Ask("jobs", path, "DELETE")
    for path in (f"/api/jobs/{unknown}/cancel", "/api/jobs/x/cancel", "/jobs/x/cancel", "/api/jobs//cancel"):
        yield Ask("jobs", path, "POST")
        yield Ask("jobs", path, "POST", b"{")
        yield Ask("jobs", path)
    for ids in ([], [unknown], [unknown.replace("-", "")], ["x", 5, None, [unknown], unknown], "x", None, {}, 5):
        yield Ask("jobs", "/api/jobs/cancel", "POST", json.dumps({"job_ids": ids}).encode())
    for body in (b"", b"{", b"[]", b"null", b"5", b"{}"):
        yield Ask("jobs", "/api/jobs/cancel", "POST", body)


def assets() -> Iterator[Ask]:
    """Assets, which neither server has switched on."""
    name = "00000000-0000-0000-0000-000000000000"
    for path in (
        "", "/hash/blake3:0", f"/{name}", f"/{name.upper()}", "/x", f"/{name}/content", f"/{name}/tags", "/from-hash",
        "/tags/refine", "/seed", "/seed/status", "/seed/cancel", "/prune", "/nothing",
    ):  # fmt: skip
        for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
            yield Ask("assets", f"/api/assets{path}", method)
    for path in ("/api/tags", "/tags", "/api/api/assets"):
        yield Ask("assets", path)
        yield Ask("assets", path, "POST")


def answer(server: Server, ask: Ask, names: Sequence[str] = HEADERS) -> Any:
    """Status, headers of these names and body of an answer, as far as they are compared."""
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    try:
        connection.request(ask.method, ask.path, ask.body or None, dict(ask.headers))
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if ask.method == "HEAD" and response.status == 404:
        return {"status": 404}  # of no body, servers say as they like what kind it has
    headers = {name: value for name in names if (value := response.getheader(name)) is not None}
    body = uncompressed(body, headers.get("Content-Encoding", ""))
    return {"status": response.status, "headers": headers, "body": content(body, headers, ask.look)}


def uncompressed(body: bytes, coding: str) -> bytes:
    """A body without its coding."""
    return zlib.decompress(body, wbits=zlib.MAX_WBITS | 32) if coding in ("gzip", "deflate") and body else body


def content(body: bytes, headers: dict[str, str], look: str) -> Any:
    """What is compared of a body."""
    if look == "nothing":
        return None
    if body and "json" in headers.get("Content-Type", ""):
        # An uploaded file of that name may hold anything.
        with contextlib.suppress(ValueError):
            value = json.loads(body)
            return shape(value) if look == "keys" else value
    return body.decode("latin-1")[:2000]


def shape(value: Any) -> Any:
    """The keys of a JSON value; of a list, the kinds of its elements."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items() if key != "discomfort"}
    return sorted({json.dumps(shape(item)) for item in value}) if isinstance(value, list) else ""


def compare(ours: Server, theirs: Server) -> dict[str, Row]:
    """All requests on both servers; a row for each group."""
    rows: dict[str, Row] = {}
    for server in (ours, theirs):
        # Earlier parts leave prompts in the history, whose times differ.
        server.send("/history", b'{"clear": true}')
    ports = (urlsplit(ours.url).port or 80, urlsplit(theirs.url).port or 80)
    for mine, yours in zip(*(list(asks(port)) for port in ports), strict=True):
        row = rows.setdefault(mine.group, Row())
        note = first_difference(answer(ours, mine), answer(theirs, yours))
        if note is None:
            row.add(0)
        else:
            row.differs(f"{mine.method} {mine.path} {mine.body[:300]!r} {mine.headers}\n    {note}")
    rows["jobs, run and cancelled"] = job_lists.compare(ours, theirs)
    return rows
