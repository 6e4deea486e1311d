"""Checks of routes that describe the server, and of responses in general."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

from comfyui_conformance.model import Skip, add, check
from comfyui_conformance.probe import PREFIX, Probe

_SHAPES: dict[str, type | tuple[type, ...]] = {
    "/prompt": dict,
    "/queue": dict,
    "/history": dict,
    "/object_info": dict,
    "/system_stats": dict,
    "/features": dict,
    "/embeddings": list,
    "/models": list,
    "/models/checkpoints": list,
    "/experiment/models": list,
    "/extensions": list,
    "/users": dict,
    "/i18n": dict,
    "/workflow_templates": dict,
    "/global_subgraphs": dict,
    "/node_replacements": dict,
}
_SINCE = {"/global_subgraphs": "subgraphs", "/node_replacements": "node-replacements"}
_JSON = "application/json; charset=utf-8"


def _add_shape(path: str, kind: type | tuple[type, ...]) -> None:
    async def run(server: Probe) -> None:
        bodies = []
        for prefix in ("", "/api"):
            answer = await server.get(prefix + path)
            server.same(f"status of GET {prefix}{path}", answer.status, 200)
            server.same("its Content-Type", answer.headers.get("Content-Type"), _JSON)
            bodies.append(answer.json())
            server.holds("its body", isinstance(bodies[-1], kind), f"a JSON {kind}", bodies[-1])
            head = await server.request("HEAD", prefix + path)
            server.same(f"status and body of HEAD {prefix}{path}", (head.status, head.body), (200, b""))
        if isinstance(bodies[0], dict):
            server.same("keys with and without /api", sorted(bodies[0]), sorted(bodies[1]))

    name = path.strip("/").replace("/", "-").replace("_", "-")
    expects = f"GET {path} returns JSON, also under /api; HEAD works too."
    add("routes", name, expects, f"server.py: GET {path}", run, since=_SINCE.get(path, ""))


for _path, _kind in _SHAPES.items():
    _add_shape(_path, _kind)


@check("server.py: system_stats")
async def system_stats_fields(server: Probe) -> None:
    """The response has the system's versions, memory and command line, and a list of devices."""
    found = await server.read("/system_stats")
    names = {"os", "ram_total", "ram_free", "comfyui_version", "python_version", "pytorch_version", "argv"}
    server.keys("system", found.get("system"), names | {"embedded_python", "required_frontend_version"})
    memory = {"vram_total", "vram_free", "torch_vram_total", "torch_vram_free"}
    for device in found.get("devices", []):
        server.keys("a device", device, {"name", "type", "index"} | memory)
    server.holds("devices", found.get("devices"), "at least one", found.get("devices"))


@check("comfy_api/feature_flags.py: get_server_features")
async def features_fields(server: Probe) -> None:
    """The response lists support for previews with metadata, and the maximum body size in bytes."""
    found = await server.read("/features")
    server.same("supports_preview_metadata", found.get("supports_preview_metadata"), True)
    size = found.get("max_upload_size")
    server.holds("max_upload_size", isinstance(size, int | float) and size > 0, "a number of bytes", size)


@check("server.py: get_prompt")
async def queue_length(server: Probe) -> None:
    """GET /prompt returns the number of running and pending prompts."""
    found = await server.read("/prompt")
    server.holds("queue_remaining", isinstance(found["exec_info"]["queue_remaining"], int), "a number", found)


@check("server.py: node_info", nodes=["EmptyImage"])
async def definition_fields(server: Probe) -> None:
    """A definition has the inputs with their order, the outputs, names, category and the output node flag."""
    names = {"input", "input_order", "output", "output_is_list", "output_name", "name", "display_name", "description"}
    names |= {"python_module", "category", "output_node"}
    found = await server.read("/object_info/EmptyImage")
    server.same("classes of /object_info/EmptyImage", list(found), ["EmptyImage"])
    server.keys("EmptyImage", found["EmptyImage"], names)
    server.same("output", found["EmptyImage"]["output"], ["IMAGE"])
    order = {"required": ["width", "height", "batch_size", "color"]}
    server.same("order of inputs", found["EmptyImage"]["input_order"], order)
    server.same("width", found["EmptyImage"]["input"]["required"]["width"][0], "INT")


@check("server.py: node_info")
async def definition_unknown(server: Probe) -> None:
    """The definition of an unknown class is an empty object with 200."""
    server.same("body", await server.read(f"/object_info/{PREFIX}"), {})


@check("server.py: get_models")
async def models_unknown(server: Probe) -> None:
    """An unknown model folder, or an alias of one, is 404."""
    for folder in (PREFIX, "unet"):
        server.same(f"status of {folder}", (await server.get(f"/models/{folder}")).status, 404)


@check("app/model_manager.py: get_experiment_models")
async def model_folders(server: Probe) -> None:
    """Model folders are listed with their paths on the server."""
    for folder in await server.read("/experiment/models"):
        server.keys("a folder", folder, {"name", "folders"})


@check("app/user_manager.py: get_users")
async def users_storage(server: Probe) -> None:
    """Users are stored on the server."""
    server.same("storage", (await server.read("/users")).get("storage"), "server")


@check("app/app_settings.py: get_setting")
async def settings_unknown(server: Probe) -> None:
    """All settings are an object, and a setting that was never set is null."""
    if "users" in await server.read("/users"):
        raise Skip("the server has several users, whose settings need a login")
    server.holds("settings", isinstance(await server.read("/settings"), dict), "an object", None)
    server.same("an unknown setting", await server.read(f"/settings/{PREFIX}"), None)


@check("api_server/routes/internal/internal_routes.py")
async def internal(server: Probe) -> None:
    """Internal routes return the log and the folders, and do not exist under /api."""
    server.keys("/internal/logs/raw", await server.read("/internal/logs/raw"), {"entries", "size"})
    server.holds("/internal/logs", isinstance(await server.read("/internal/logs"), str), "a text", None)
    folders = await server.read("/internal/folder_paths")
    server.holds("/internal/folder_paths", isinstance(folders, dict), "an object", folders)
    for folder in ("input", "temp"):
        found = await server.read(f"/internal/files/{folder}")
        server.holds(f"/internal/files/{folder}", isinstance(found, list), "a list", found)
    server.same("status of another folder", (await server.get(f"/internal/files/{PREFIX}")).status, 400)
    server.same("status under /api", (await server.get("/api/internal/folder_paths")).status, 404)


@check("server.py: static route")
async def unknown_paths(server: Probe) -> None:
    """An unknown path is 404 without a body, and a POST to it 405 with the allowed methods."""
    answer = await server.get(f"/{PREFIX}")
    server.same("status and body of GET", (answer.status, answer.body), (404, b""))
    answer = await server.post(f"/{PREFIX}", {})
    server.same("status of POST", answer.status, 405)
    server.same("its Allow", answer.headers.get("Allow"), "GET,HEAD")


async def _index(server: Probe, caching: str) -> None:
    answer = await server.get("/")
    server.same("status", answer.status, 200)
    server.holds("Content-Type", "text/html" in answer.headers.get("Content-Type", ""), "text/html", answer.body)
    found = {name: answer.headers.get(name) for name in ("Cache-Control", "Pragma", "Expires")}
    server.same("headers", found, {"Cache-Control": caching, "Pragma": "no-cache", "Expires": "0"})


@check("server.py: get_root", before="no-store")
async def index(server: Probe) -> None:
    """The page is HTML that browsers must ask for each time."""
    await _index(server, "no-cache")


@check("server.py: get_root", since="no-store")
async def index_not_stored(server: Probe) -> None:
    """The page is HTML that browsers must not store."""
    await _index(server, "no-store, must-revalidate")


async def _script_caching(server: Probe) -> str | None:
    answer = await server.get("/scripts/app.js")
    if answer.status != 200:
        raise Skip("the server has no frontend")
    return answer.headers.get("Cache-Control")


@check("middleware/cache_middleware.py", before="no-store")
async def scripts(server: Probe) -> None:
    """Browsers must ask for the frontend's scripts each time."""
    server.same("Cache-Control", await _script_caching(server), "no-cache")


@check("middleware/cache_middleware.py", since="no-store")
async def scripts_not_stored(server: Probe) -> None:
    """Browsers must not store the frontend's scripts."""
    server.same("Cache-Control", await _script_caching(server), "no-store")


@check("server.py: middlewares")
async def options(server: Probe) -> None:
    """OPTIONS is 200 without a body on any path."""
    for path in ("/prompt", f"/{PREFIX}"):
        answer = await server.request("OPTIONS", path)
        server.same(f"status and body of {path}", (answer.status, answer.body), (200, b""))


@check("server.py: websocket_handler")
async def socket_without_upgrade(server: Probe) -> None:
    """A plain GET of the socket's path is 400."""
    server.same("status", (await server.get("/ws")).status, 400)


@check("aiohttp: web_protocol.py")
async def malformed_json(server: Probe) -> None:
    """A body that is not JSON is an internal error, not a bad request."""
    for path in ("/prompt", "/queue", "/history", "/free"):
        answer = await server.post(path, data=b"{nope")
        server.same(f"status of POST {path}", answer.status, 500)
        server.holds("its body", b"Server got itself in trouble" in answer.body, "aiohttp's text", answer.body)


@check("server.py: post_prompt")
async def content_type_is_ignored(server: Probe) -> None:
    """JSON is read whatever the Content-Type says."""
    answer = await server.post("/prompt", {}, headers={"Content-Type": "text/plain"})
    server.same("status", answer.status, 400)
    server.same("error", answer.json()["error"]["type"], "no_prompt")


# Exclusive, because a server that accepts these as objects would interrupt any running prompt.
@check("server.py: post_interrupt", exclusive=True)
async def interrupt_bodies(server: Probe) -> None:
    """An interrupt whose body is JSON but not an object is an internal error."""
    for body in (b"[]", b"null"):
        server.same(f"status for {body!r}", (await server.post("/interrupt", data=body)).status, 500)


@check("server.py: post_queue")
async def queue_bodies(server: Probe) -> None:
    """Unknown ids are ignored with an empty 200; any type other than a list is an internal error."""
    answer = await server.post("/queue", {"delete": [PREFIX]})
    server.same("status and body", (answer.status, answer.body), (200, b""))
    server.same("status of null", (await server.post("/queue", {"delete": None})).status, 500)
    server.same("status of nothing", (await server.post("/queue", {})).status, 200)


@check("server.py: post_free", exclusive=True)
async def free(server: Probe) -> None:
    """Freeing memory is answered at once with an empty 200."""
    answer = await server.post("/free", {"unload_models": True, "free_memory": True})
    server.same("status and body", (answer.status, answer.body), (200, b""))


async def _origin(server: Probe, origin: str) -> int:
    return (await server.get("/prompt", headers={"Origin": origin})).status


@check("server.py: create_origin_only_middleware")
async def origins(server: Probe) -> None:
    """On loopback, an origin with another host or port is refused with 403; no origin and null are accepted."""
    if (await server.get("/prompt")).headers.get("Access-Control-Allow-Origin"):
        raise Skip("the server allows other origins (--enable-cors-header)")
    parts = urlsplit(server.url)
    if parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise Skip("origins are checked only on loopback servers")
    own = f"{parts.scheme}://{parts.netloc}"
    senders = (own, "null", "http://evil.example", f"http://{parts.hostname}:1")
    statuses = await asyncio.gather(*(_origin(server, origin) for origin in senders))
    server.same("status from itself, null, elsewhere, another port", list(statuses), [200, 200, 403, 403])


async def _from_another_site(server: Probe) -> list[int]:
    """The statuses for a request that a page of the same site, and of another, makes in a browser."""
    if (await server.get("/prompt")).headers.get("Access-Control-Allow-Origin"):
        raise Skip("the server allows other origins (--enable-cors-header)")
    senders = ("same-site", "cross-site")
    return [(await server.get("/prompt", headers={"Sec-Fetch-Site": sender})).status for sender in senders]


@check("server.py: create_origin_only_middleware", before="cross-site")
async def any_site(server: Probe) -> None:
    """The header Sec-Fetch-Site is ignored."""
    server.same("status of same-site, cross-site", await _from_another_site(server), [200, 200])


@check("server.py: create_origin_only_middleware", since="cross-site")
async def cross_site(server: Probe) -> None:
    """A request that a browser marks as coming from another site is refused with 403."""
    server.same("status of same-site, cross-site", await _from_another_site(server), [200, 403])


@check("server.py: compress_body")
async def compression(server: Probe) -> None:
    """JSON is sent plain or gzipped as requested; the content is the same."""
    plain = await server.get("/object_info/EmptyImage", headers={"Accept-Encoding": "identity"})
    packed = await server.get("/object_info/EmptyImage", headers={"Accept-Encoding": "gzip"})
    server.same("encoding if none is requested", plain.headers.get("Content-Encoding"), None)
    server.same("content", packed.json(), plain.json())


async def _one_user(server: Probe) -> None:
    if "users" in await server.read("/users"):
        raise Skip("the server has several users, whose data needs a login")


@check("app/user_manager.py: userdata")
async def userdata(server: Probe) -> None:
    """A file of user data is stored, refused a second time, listed, read, moved and deleted."""
    await _one_user(server)
    one, two = f"/userdata/{PREFIX}%2Fa.txt", f"/userdata/{PREFIX}%2Fb.txt"
    answer = await server.post(f"{one}?overwrite=true", data=b"first")
    server.same("status and body of the first", (answer.status, answer.json()), (200, f"{PREFIX}/a.txt"))
    server.same("status without overwrite", (await server.post(f"{one}?overwrite=false", data=b"x")).status, 409)
    server.same("listing", await server.read(f"/userdata?dir={PREFIX}"), ["a.txt"])
    full = await server.read(f"/userdata?dir={PREFIX}&full_info=true")
    server.keys("an entry with full_info", full[0], {"path", "size", "modified"})
    server.same("content", (await server.get(one)).body, b"first")
    moved = await server.post(f"{one}/move/{PREFIX}%2Fb.txt?overwrite=true", data=b"")
    server.same("status of the move", moved.status, 200)
    server.same("status of the old name", (await server.get(one)).status, 404)
    server.same("status of deleting", (await server.request("DELETE", two)).status, 204)
    server.same("status of deleting again", (await server.request("DELETE", two)).status, 404)


@check("app/user_manager.py: userdata")
async def userdata_refusals(server: Probe) -> None:
    """User data needs a folder name, refuses unknown folders, and never leaves its own."""
    for query, status in (("", 400), (f"?dir={PREFIX}-none", 404), ("?dir=../..", 403)):
        server.same(f"status of /userdata{query}", (await server.get(f"/userdata{query}")).status, status)
    for path, status in (("..%2F..%2Fx", 403), (f"{PREFIX}-none", 404)):
        server.same(f"status of /userdata/{path}", (await server.get(f"/userdata/{path}")).status, status)


async def _entry(server: Probe) -> dict[str, Any]:
    """The entry that full_info gives for a new file."""
    await _one_user(server)
    path = f"/userdata/{PREFIX}%2Ftimes.txt"
    await server.post(f"{path}?overwrite=true", data=b"x")
    try:
        return dict((await server.read(f"/userdata?dir={PREFIX}&full_info=true"))[0])
    finally:
        await server.request("DELETE", path)


@check("app/user_manager.py: get_file_info", before="milliseconds")
async def userdata_seconds(server: Probe) -> None:
    """Times of user data are seconds since 1970 with a fraction."""
    found = (await _entry(server)).get("modified")
    server.holds("modified", isinstance(found, float) and 1e9 < found < 1e11, "seconds", found)


@check("app/user_manager.py: get_file_info", since="milliseconds")
async def userdata_milliseconds(server: Probe) -> None:
    """Times of user data are whole milliseconds since 1970."""
    found = await _entry(server)
    for name in ("modified", "created"):
        time = found.get(name)
        server.holds(name, isinstance(time, int) and time > 1e11, "whole milliseconds", time)


@check("app/user_manager.py: getuserdata", since="downloads")
async def userdata_downloads(server: Probe) -> None:
    """User data is sent as a download, and never with a type that a browser would run."""
    await _one_user(server)
    for name, kind in (("a.txt", "text/plain"), ("a.html", "application/octet-stream")):
        path = f"/userdata/{PREFIX}%2F{name}"
        await server.post(f"{path}?overwrite=true", data=b"x")
        answer = await server.get(path)
        await server.request("DELETE", path)
        told = (answer.headers.get("Content-Disposition"), answer.headers.get("X-Content-Type-Options"))
        server.same(f"how {name} is to be shown", told, ("attachment", "nosniff"))
        server.same(f"type of {name}", answer.headers.get("Content-Type"), kind)


async def _moved_out(server: Probe) -> int:
    """The status of moving user data out of its folder."""
    await _one_user(server)
    path = f"/userdata/{PREFIX}%2Fmoved.txt"
    await server.post(f"{path}?overwrite=true", data=b"x")
    status = (await server.post(f"{path}/move/..%2F..%2F..%2Fx.txt", data=b"")).status
    await server.request("DELETE", path)
    return status


@check("app/user_manager.py: move_userdata", before="move-refusals")
async def userdata_moved_out(server: Probe) -> None:
    """Moving user data out of its folder fails with 403 or 500."""
    # ComfyUI answers with 500, because it forgets the refusal.
    status = await _moved_out(server)
    server.holds("status", status in (403, 500), "403 or 500", status)


@check("app/user_manager.py: move_userdata", since="move-refusals")
async def userdata_move_refused(server: Probe) -> None:
    """Moving user data out of its folder is refused with 403."""
    server.same("status", await _moved_out(server), 403)
