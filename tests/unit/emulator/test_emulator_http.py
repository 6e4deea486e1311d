"""Routes: status codes, shapes and headers."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

N = Any


def png(color: tuple[int, ...] = (1, 2, 3), size: tuple[int, int] = (4, 4)) -> bytes:
    """A picture."""
    buffer = io.BytesIO()
    Image.new("RGBA" if len(color) == 4 else "RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


async def upload(emulator: N, content: bytes, name: str = "p.png", route: str = "image", **fields: str) -> Any:
    """Upload a file; status and JSON (or text)."""
    form = aiohttp.FormData(quote_fields=False)
    for key, value in fields.items():
        form.add_field(key, value)
    form.add_field("image", content, filename=name, content_type="image/png")
    status, body = await emulator.post(f"/upload/{route}", data=form)
    return status, (json.loads(body) if status == 200 else body)


async def test_says_what_it_is(launch: N) -> None:
    """System statistics give ComfyUI's version, and mark the emulator."""
    async with launch(argv=("a", "b")) as client:
        stats = await client.get("/system_stats")

    assert stats["system"]["comfyui_version"] == "0.33.0"
    assert stats["system"]["discomfort"]["emulator"] is True
    assert stats["system"]["argv"] == ["a", "b"]
    assert stats["system"]["os"] == sys.platform
    assert stats["system"]["deploy_environment"] == "local-git"
    assert [sorted(entry) for entry in stats["system"]["comfy_package_versions"]] == [
        ["installed", "name", "required"]
    ] * 3
    assert stats["devices"][0]["type"] == "cpu"


@pytest.mark.parametrize("prefix", ["", "/api"])
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/prompt", {"exec_info": {"queue_remaining": 0}}),
        ("/queue", {"queue_running": [], "queue_pending": []}),
        ("/global_subgraphs", {}),
        ("/global_subgraphs/unknown", None),
        ("/history/unknown", {}),
        ("/object_info/Unknown", {}),
        ("/embeddings", []),
        ("/models/checkpoints", []),
        ("/settings", {}),
        ("/settings/unknown", None),
        ("/i18n", {}),
        ("/workflow_templates", {}),
        ("/users", {"storage": "server", "migrated": False}),
    ],
)
async def test_simple_routes_under_both_prefixes(emulator: N, prefix: str, path: str, expected: Any) -> None:
    """Routes with fixed JSON answer with and without ``/api``, and to HEAD."""
    assert await emulator.get(prefix + path) == expected
    async with emulator.http.head(prefix + path) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("POST", "/nope", 405),
        ("GET", "/models/unet", 404),
        ("GET", "/userdata", 400),
        ("GET", "/userdata?dir=nope", 404),
        ("GET", "/userdata?dir=../..", 403),
        ("GET", "/userdata/..%2F..%2Fx", 403),
        ("GET", "/userdata/nope", 404),
        ("DELETE", "/userdata/nope", 404),
        ("GET", "/internal/files/nope", 400),
        ("GET", "/api/internal/folder_paths", 404),
        ("GET", "/history?max_items=x", 500),
        ("GET", "/ws", 400),
        ("OPTIONS", "/anything", 200),
        ("GET", "/view", 404),
        ("GET", "/view?filename=", 400),
        ("GET", "/view?filename=x.png", 404),
        ("GET", "/view?filename=/x.png", 400),
        ("GET", "/view?filename=a..b.png", 400),
        ("GET", "/view?filename=x.png&type=zzz", 400),
        ("GET", "/view?filename=x.png&subfolder=..", 403),
        ("GET", "/view_metadata/checkpoints?filename=x", 404),
        ("GET", "/view?filename=blake3:00", 404),
        ("POST", "/userdata/nope/move/..%2F..%2Fx", 404),
        ("GET", "/v2/userdata?path=nope", 404),
        ("GET", "/v2/userdata?path=..%2F..", 400),
        ("GET", "/templates/nope.json", 404),
    ],
)
async def test_refusals(emulator: N, method: str, path: str, status: int) -> None:
    """Missing, forbidden and malformed requests have ComfyUI's status."""
    async with emulator.http.request(method, path) as answer:
        assert answer.status == status


@pytest.mark.parametrize("path", ["/prompt", "/queue", "/history", "/settings", "/free"])
async def test_malformed_json_is_500(emulator: N, path: str) -> None:
    """As in ComfyUI, a body that is not JSON is an internal error."""
    status, body = await emulator.post(path, data=b"{nope")

    assert status == 500
    assert b"Server got itself in trouble" in body


@pytest.mark.parametrize(("body", "status"), [(b"", 200), (b"x", 200), (b"{}", 200), (b"[]", 500), (b"null", 500)])
async def test_interrupt_bodies(emulator: N, body: bytes, status: int) -> None:
    """An interrupt takes an empty or malformed body, not one of another type."""
    assert (await emulator.post("/interrupt", data=body))[0] == status


async def test_upload_names(emulator: N) -> None:
    """Equal content keeps its name, other content gets a number, overwriting replaces."""
    first = await upload(emulator, png())
    same = await upload(emulator, png())
    other = await upload(emulator, png((9, 9, 9)))
    over = await upload(emulator, png((7, 7, 7)), overwrite="true")
    deep = await upload(emulator, png(), subfolder="a/b/")

    assert first == same == over == (200, {"name": "p.png", "subfolder": "", "type": "input"})
    assert other[1]["name"] == "p (1).png"
    assert deep[1] == {"name": "p.png", "subfolder": "a/b/", "type": "input"}
    assert (emulator.base / "input" / "p.png").read_bytes() == png((7, 7, 7))
    assert sorted(path.name for path in (emulator.base / "input").iterdir()) == ["a", "p (1).png", "p.png"]


@pytest.mark.parametrize(
    ("name", "fields", "status"),
    [
        ("p.png", {"subfolder": "../x"}, 400),
        ("../p.png", {}, 400),
        ("p.png", {"subfolder": "/abs"}, 400),
        ("p.png", {"type": "zzz"}, 500),
        ("nodir/p.png", {}, 500),
    ],
)
async def test_uploads_that_are_refused(emulator: N, name: str, fields: Any, status: int) -> None:
    """Nothing is written outside the folder, or for an unknown type."""
    answer = await upload(emulator, png(), name, **fields)

    assert answer[0] == status
    assert not list(emulator.base.rglob("p.png"))


async def test_mask_upload_joins_picture_and_alpha(emulator: N) -> None:
    """The result has the original's colours and texts and the upload's alpha; a lost original writes nothing."""
    await upload(emulator, png((10, 20, 30)))
    reference = json.dumps({"filename": "p.png", "type": "input"})
    _, answer = await upload(emulator, png((0, 0, 0, 99)), "m.png", "mask", original_ref=reference)
    lost = await upload(emulator, png(), "n.png", "mask", original_ref='{"filename": "lost.png"}')

    with Image.open(emulator.base / "input" / answer["name"]) as picture:
        assert picture.getpixel((0, 0)) == (10, 20, 30, 99)
    assert lost[0] == 200
    assert not (emulator.base / "input" / "n.png").exists()


async def test_view_of_a_file(emulator: N) -> None:
    """A file is sent unchanged, in ranges, as a preview, or by channel; an annotation names its folder."""
    content = png((10, 20, 30, 127))
    await upload(emulator, content)
    base = "/view?filename=p.png&type=input"
    async with emulator.http.get(base) as answer:
        assert (await answer.read(), answer.headers["Content-Type"]) == (content, "image/png")
        assert answer.headers["Content-Disposition"] == 'filename="p.png"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert not {"Vary", "Cache-Control"} & set(answer.headers)
    async with emulator.http.get(base, headers={"Range": "bytes=0-3"}) as answer:
        assert (answer.status, await answer.read()) == (206, content[:4])
    async with emulator.http.get("/view", params={"filename": "p.png [input]"}) as answer:
        assert await answer.read() == content
    for query, kind, mode in (
        ("preview=webp;50", "image/webp", "RGBA"),
        ("preview=jpeg;90", "image/jpeg", "RGB"),
        ("preview=jpeg&channel=a", "image/webp", "RGBA"),
        ("channel=rgb", "image/png", "RGB"),
        ("channel=a", "image/png", "RGBA"),
    ):
        async with emulator.http.get(f"{base}&{query.replace(';', '%3B')}") as answer:
            assert answer.headers["Content-Type"] == kind
            with Image.open(io.BytesIO(await answer.read())) as picture:
                assert picture.mode == mode


@pytest.mark.parametrize("name", ["x.html", "x.js", "x.css", "x.xhtml", "x.svg", "x.xml", "x.rss", "x.mht"])
async def test_active_content_is_served_as_bytes(emulator: N, name: str) -> None:
    """Content that a browser would run does not keep its type, and is a download that nobody keeps."""
    (emulator.base / "output" / name).write_text("x")

    for destination in ("document", "empty", "image" if name != "x.svg" else "iframe"):
        async with emulator.http.get(f"/view?filename={name}", headers={"Sec-Fetch-Dest": destination}) as answer:
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert (answer.headers["Vary"], answer.headers["Cache-Control"]) == ("Sec-Fetch-Dest", "no-store")


async def test_svg_is_shown_in_an_image_element(emulator: N) -> None:
    """There its scripts do not run."""
    (emulator.base / "output" / "x.svg").write_text("<svg/>")

    async with emulator.http.get("/view?filename=x.svg", headers={"Sec-Fetch-Dest": "image"}) as answer:
        assert answer.headers["Content-Type"] == "image/svg+xml"
        assert answer.headers["Content-Disposition"] == 'filename="x.svg"'
        assert answer.headers["Vary"] == "Sec-Fetch-Dest"


async def test_quotes_in_a_name_are_escaped(emulator: N) -> None:
    """The header stays one quoted string."""
    (emulator.base / "output" / 'a"b\\c.bin').write_text("x")

    async with emulator.http.get("/view", params={"filename": 'a"b\\c.bin'}) as answer:
        assert answer.headers["Content-Disposition"] == 'filename="a\\"b\\\\c.bin"'


async def test_only_real_transparency_is_a_channel(emulator: N) -> None:
    """The channel of a picture without one is opaque, whatever its palette says."""
    picture = Image.new("P", (1, 1))
    picture.info["transparency"] = 0
    picture.save(emulator.base / "output" / "p.png", transparency=0)

    async with emulator.http.get("/view?filename=p.png&channel=a") as answer, emulator.http.get("/nope") as _:
        with Image.open(io.BytesIO(await answer.read())) as found:
            assert found.getpixel((0, 0)) == (0, 0, 0, 255)


async def test_settings_are_merged_and_kept(emulator: N) -> None:
    """Settings are stored in the user folder."""
    assert (await emulator.post("/settings", json={"a": 1, "b": 2}))[0] == 200
    assert (await emulator.post("/settings/a", json=[5]))[0] == 200

    assert await emulator.get("/settings") == {"a": [5], "b": 2}
    assert await emulator.get("/settings/b") == 2
    assert (await emulator.get("/users"))["migrated"] is True


async def test_user_files(emulator: N) -> None:
    """Files are stored, listed, moved and deleted."""
    assert await emulator.post("/userdata/a%2Fx.txt", data=b"hello") == (200, b'"a/x.txt"')
    assert (await emulator.post("/userdata/a%2Fx.txt?overwrite=false", data=b"other"))[0] == 409
    full = json.loads((await emulator.post("/userdata/y.txt?full_info=true", data=b"12"))[1])
    assert (full["path"], full["size"]) == ("y.txt", 2)
    assert full["modified"] == int((emulator.base / "user" / "default" / "y.txt").stat().st_mtime * 1000)
    assert isinstance((await emulator.get("/v2/userdata"))[1]["modified"], float)
    assert await emulator.get("/userdata?dir=.&recurse=true&split=true") == [
        ["y.txt", "y.txt"],
        ["a/x.txt", "a", "x.txt"],
    ]
    assert [entry["path"] for entry in await emulator.get("/v2/userdata")] == ["a", "a/x.txt", "y.txt"]
    assert await emulator.post("/userdata/y.txt/move/a%2Fz.txt") == (200, b'"a/z.txt"')
    async with emulator.http.get("/userdata/a%2Fx.txt") as answer:
        assert await answer.read() == b"hello"
        assert answer.headers["Content-Type"] == "text/plain"
        assert answer.headers["Content-Disposition"] == "attachment"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    async with emulator.http.delete("/userdata/a%2Fz.txt") as answer:
        assert answer.status == 204
    assert await emulator.get("/userdata?dir=a") == ["x.txt"]


async def test_user_files_that_a_browser_would_run(emulator: N) -> None:
    """They are plain bytes; only the user's own style sheet is applied."""
    kinds = {}
    for name in ("x.html", "x.js", "user.css", "a%2Fuser.css"):
        await emulator.post(f"/userdata/{name}", data=b"x")
        async with emulator.http.get(f"/userdata/{name}") as answer:
            kinds[name] = answer.headers["Content-Type"], answer.headers["Content-Disposition"]

    assert kinds.pop("user.css") == ("text/css", "inline")
    assert set(kinds.values()) == {("application/octet-stream", "attachment")}


async def test_user_file_with_a_bad_name(emulator: N) -> None:
    """What cannot be written or moved is refused, and leaves nothing behind."""
    await emulator.post("/userdata/a%2Fx.txt", data=b"1")
    async with emulator.http.post("/userdata/a", data=b"2") as answer:
        assert (answer.status, answer.reason.split(".")[0]) == (400, "Invalid filename")
    async with emulator.http.post("/userdata/a%2Fx.txt/move/..%2F..%2Fx") as answer:
        assert answer.status == 403
    async with emulator.http.post("/userdata/a%2Fx.txt?overwrite=False", data=b"3") as answer:
        assert answer.status == 200
    async with emulator.http.get("/v2/userdata?path=a%2Fx.txt") as answer:
        assert (answer.status, await answer.text()) == (400, "Requested path is not a directory")

    home = emulator.base / "user" / "default"
    assert [path.name for path in home.iterdir()] == ["a"]
    assert [path.name for path in (home / "a").iterdir()] == ["x.txt"]


async def test_listing_makes_no_folder(emulator: N) -> None:
    """A user who has stored nothing has no folder, before and after a look."""
    assert await emulator.get("/v2/userdata") == []
    assert (await emulator.get("/users"))["migrated"] is False


async def test_corrupted_settings_are_none(emulator: N) -> None:
    """A settings file that is not JSON counts as empty."""
    await emulator.post("/settings", json={"a": 1})
    (emulator.base / "user" / "default" / "comfy.settings.json").write_text("{")

    assert await emulator.get("/settings") == {}


@pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-site", 200), ("none", 200)])
async def test_pages_of_other_sites_are_refused(emulator: N, site: str, status: int) -> None:
    """What the browser calls cross-site is refused on every route and for the socket, whatever the origin."""
    for headers in ({"Sec-Fetch-Site": site}, {"Sec-Fetch-Site": site, "Origin": "null"}):
        for path in ("/prompt", "/", "/api/jobs"):
            async with emulator.http.get(path, headers=headers) as answer:
                assert answer.status == (status if path != "/" or status == 403 else answer.status)
        if status == 403:
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await emulator.http.ws_connect("/ws", headers=headers)


async def test_external_requests_can_be_blocked(launch: N) -> None:
    """With ``--disable-api-nodes``, a policy keeps the page from other hosts; otherwise there is none."""
    async with launch(block_external=True) as client, client.http.get("/prompt") as answer:
        policy = answer.headers["Content-Security-Policy"]
    async with launch() as client, client.http.get("/prompt") as answer:
        assert "Content-Security-Policy" not in answer.headers

    assert policy.startswith("default-src 'self'; ")
    assert "connect-src 'self' data:; " in policy


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:9", "http://127.0.0.1:9", 200),
        ("127.0.0.1:9", "http://127.0.0.1", 200),
        ("127.0.0.1:9", "https://127.0.0.1:9", 200),
        ("127.0.0.1:9", "null", 200),
        ("127.0.0.1:9", "file://", 200),
        ("127.0.0.1:9", "http://localhost:9", 403),
        ("127.0.0.1:9", "http://127.0.0.1:8", 403),
        ("127.0.0.1:9", "http://evil.com", 403),
        ("127.0.0.1:9", "http://user@127.0.0.1:9", 403),
        ("localhost:9", "http://localhost:9", 200),
        ("localhost", "http://evil.com", 403),
        ("[::1]:9", "http://evil.com", 403),
        ("[::1]:9", "http://[::1]:9", 200),
        ("[::1]:9", "http://[::1]", 403),
        ("127.0.0.1", "http://user@127.0.0.1:9", 200),
        ("192.0.2.1:9", "http://evil.com", 200),
    ],
)
async def test_origin_check(emulator: N, host: str, origin: str, status: int) -> None:
    """On loopback, another site's page is refused, for the socket as well."""
    headers = {"Host": host, "Origin": origin}
    async with emulator.http.get("/prompt", headers=headers) as answer:
        assert answer.status == status
    if status == 403:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await emulator.http.ws_connect("/ws", headers=headers)


async def test_cors_replaces_the_origin_check(launch: N) -> None:
    """With CORS enabled another site's page is answered, with the headers that it needs to read the answer."""
    async with launch(enable_cors="*") as client:
        headers = {"Host": "127.0.0.1", "Origin": "http://evil.com"}
        async with client.http.get("/prompt", headers=headers) as answer:
            assert answer.status == 200
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert answer.headers["Access-Control-Allow-Methods"].endswith(", PATCH")
        async with client.http.get("/prompt", headers={"Sec-Fetch-Site": "cross-site"}) as answer:
            assert answer.status == 200


async def test_body_limit(launch: N) -> None:
    """A larger body is 413 on every route."""
    async with launch(max_upload_size=0.001) as client:
        status, body = await client.post("/prompt", data=b" " * 5000)

    assert status == 413
    assert body.startswith(b"Maximum request body size 1049 exceeded")


async def test_compression(launch: N) -> None:
    """JSON is compressed for clients that accept gzip: with deflate if they accept that as well, as in ComfyUI."""
    async with launch(compress_response_body=True) as client:
        for accepted, coding in (("gzip", "gzip"), ("gzip, deflate", "deflate"), ("deflate", None), ("br", None)):
            async with client.http.get("/object_info", headers={"Accept-Encoding": accepted}) as answer:
                assert answer.headers.get("Content-Encoding") == coding
                assert "EmptyImage" in await answer.json()


async def test_front_end_is_served(launch: N, tmp_path: Path) -> None:
    """A given frontend folder is served with ComfyUI's cache headers; its scripts are listed."""
    root = tmp_path / "web"
    (root / "extensions" / "core").mkdir(parents=True)
    for name in ("index.html", "a.js", "b.png", "c.gif", "index_logo.json", "extensions/core/x.js"):
        (root / name).write_text("content")
    async with launch(front_end_root=root) as client:
        for path, expected in (
            ("/", "no-store, must-revalidate"),
            ("/a.js", "no-store"),
            ("/index_logo.json", "no-store"),
            ("/b.png", "public, max-age=86400"),
            ("/c.gif", None),
        ):
            async with client.http.get(path) as answer:
                assert (answer.status, answer.headers.get("Cache-Control")) == (200, expected)
        assert await client.get("/extensions") == ["/extensions/core/x.js"]


async def test_missing_front_end_is_said(launch: N, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a frontend the page names the remedy; a wrong folder is an error at the start."""
    monkeypatch.setattr("comfyui_emulator.http.routes_system.package_folder", lambda *_: None)
    async with launch() as client, client.http.get("/") as answer:
        assert answer.status == 503
        assert "pip install comfyui-frontend-package" in await answer.text()
    with pytest.raises(FileNotFoundError, match=r"index\.html"):
        async with launch(front_end_root=tmp_path / "none"):
            pass


IDS = {name: str(uuid.UUID(int=ord(name))) for name in "abcde"}
NAMES = {prompt_id: name for name, prompt_id in IDS.items()}


async def test_queue_order_delete_and_clear(emulator: N, make: N, nodes: N) -> None:
    """Numbers decide, ``front`` overtakes, deleting and clearing do not affect the running prompt."""
    gate = nodes["Gate"]
    gate.entered, gate.leave = threading.Event(), threading.Event()
    graph = {"1": make("PreviewAny", source="x")}
    _, first = await emulator.submit({"1": make("Gate", value=1), "2": make("PreviewAny", source=["1", 0])})
    assert await asyncio.to_thread(gate.entered.wait, 20)
    numbers = {}
    for name, fields in {"a": {}, "b": {"front": True}, "c": {"number": 0.5}, "d": {"number": -1e9}, "e": {}}.items():
        status, answer = await emulator.submit(graph, prompt_id=IDS[name], **fields)
        assert status == 200
        numbers[name] = answer["number"]
    await emulator.post("/queue", json={"delete": [IDS["e"], "unknown", first["prompt_id"]]})
    queue = await emulator.get("/queue")
    order = [NAMES[item[1]] for item in sorted(queue["queue_pending"])]
    assert numbers == {"a": 1, "b": -2, "c": 0.5, "d": -1e9, "e": 3}
    assert order == ["d", "b", "c", "a"]
    assert [item[1] for item in queue["queue_running"]] == [first["prompt_id"]]
    assert (await emulator.get("/prompt"))["exec_info"]["queue_remaining"] == 5
    await emulator.post("/queue", json={"delete": [IDS["c"]]})
    gate.leave.set()
    await emulator.run(graph)
    assert [NAMES[key] for key in await emulator.get("/history") if key in NAMES] == ["d", "b", "a"]
    await emulator.post("/queue", json={"clear": True})
    assert (await emulator.get("/prompt"))["exec_info"]["queue_remaining"] == 0


async def test_history_pages_and_deletion(emulator: N, make: N) -> None:
    """Records are listed as ComfyUI pages them; without secrets."""
    for name in "abcd":
        await emulator.run(
            {"1": make("PreviewAny", source=name)}, prompt_id=IDS[name], extra_data={"api_key_comfy_org": "s"}
        )

    async def page(query: str) -> list[str]:
        return [NAMES[key] for key in await emulator.get(f"/history?{query}")]

    assert await page("max_items=2") == ["c", "d"]
    assert await page("max_items=2&offset=1") == ["b", "c"]
    assert await page("offset=3") == ["d"]
    assert await page("max_items=0") == []
    assert "api_key_comfy_org" not in json.dumps(await emulator.get(f"/history/{IDS['a']}"))
    await emulator.post("/history", json={"delete": [IDS["b"], "unknown"]})
    assert await page("") == ["a", "c", "d"]
    await emulator.post("/history", json={"clear": True})
    assert await page("") == []
