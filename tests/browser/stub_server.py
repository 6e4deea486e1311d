"""The recorded data, and a stand-in for ComfyUI's server: just enough for its frontend to boot."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import saved
from aiohttp import web

INCOMPLETE = "video_wan2_2_14B_animate.json"
"""The one workflow of the set with nodes that the server does not have."""


def read_json(path: Path) -> Any:
    """A JSON file of the test data; skips where that is a saved one and there are none."""
    if path.is_relative_to(saved.FOLDER):
        saved.require()
    return json.loads(path.read_bytes())


def front_end_root() -> Path:
    """The static folder of the frontend that is installed beside the tests."""
    import comfyui_frontend_package

    return Path(comfyui_frontend_package.__file__).parent / "static"


class StubServer:
    """Serves a saved ``/object_info`` and counts what is asked of it; ``static`` adds the frontend itself.

    ``definitions`` replaces the saved ones of 0.3.64, ``nodes`` adds to them.
    """

    def __init__(
        self,
        *,
        static: Path | None = None,
        nodes: dict[str, Any] | None = None,
        extensions: dict[str, str] | None = None,
        definitions: dict[str, Any] | None = None,
    ) -> None:
        known = saved.definitions() if definitions is None else definitions
        self.object_info = json.dumps(known | (nodes or {})).encode()
        self.settings: dict[str, Any] = {}
        self.answers: dict[str, Any] = {}
        self.extensions = extensions or {}
        self.static = static
        self.uploads: dict[str, bytes] = {}
        self.requests: Counter[tuple[str, str]] = Counter()
        self.sockets: set[web.WebSocketResponse] = set()
        self._runner: web.AppRunner | None = None
        self.url = ""

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.url.rpartition(":")[2])

    async def start(self, port: int = 0) -> StubServer:
        """Listen on ``port``, or on a free one."""
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def aclose(self) -> None:
        """Stop listening, end all connections."""
        for socket in tuple(self.sockets):
            await socket.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        name = request.path.removeprefix("/api").lstrip("/")
        self.requests[request.method, name] += 1
        if name == "upload/image" and request.method == "POST":
            return web.json_response(await self._keep(request))
        if request.method != "GET":
            return web.Response(status=405)
        if name == "ws":
            return await self._socket(request)
        if name == "object_info":
            return web.Response(body=self.object_info, content_type="application/json")
        if name == "settings":
            return web.json_response(self.settings)
        if name == "users":
            return web.json_response({"storage": "server", "migrated": True})
        if name in self.answers:
            return web.json_response(self.answers[name])
        if name == "extensions":
            return web.json_response([f"/extensions/pack/{key}" for key in self.extensions])
        script = self.extensions.get(name.removeprefix("extensions/pack/"))
        if script is not None:
            return web.Response(text=script, content_type="text/javascript")
        return self._static(name)

    async def _keep(self, request: web.Request) -> dict[str, str]:
        fields = await request.post()
        image = fields["image"]
        assert isinstance(image, web.FileField)
        place = {"name": image.filename, "subfolder": str(fields["subfolder"]), "type": str(fields["type"])}
        self.uploads["{subfolder}/{name} [{type}]".format(**place)] = image.file.read()
        return place

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.add(socket)
        async for _ in socket:
            pass
        self.sockets.discard(socket)
        return socket

    def define(self, name: str, definition: Any) -> None:
        """Add or change a node class; ``None`` removes it."""
        definitions = json.loads(self.object_info)
        definitions.pop(name, None)
        if definition is not None:
            definitions[name] = definition
        self.object_info = json.dumps(definitions).encode()

    def _static(self, name: str) -> web.StreamResponse:
        found = self.static / (name or "index.html") if self.static else None
        return web.FileResponse(found) if found is not None and found.is_file() else web.Response(status=404)
