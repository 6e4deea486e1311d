"""A scripted ComfyUI for the client's tests: real HTTP and WebSocket on a port of its own, faults on demand.

It runs nothing. Each accepted prompt becomes a :class:`Job`, and ``server.script`` decides what is said about it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Self

from aiohttp import WSCloseCode, web
from aiohttp.test_utils import TestServer

from discomfort.client.runs import Limits
from discomfort.server_features import JOB_CANCEL, server_features

Json = dict[str, Any]

FAST = Limits(
    connect=30,
    poll=0.05,
    poll_blind=0.03,
    request=30,
    post=30,
    ping=5,
    refused=0.3,
    silent=0.5,
    lost=0.05,
    withdraw=30,
    drain=30,
)
"""Short where waiting is what is tested, long where only a broken client would wait."""

DEFINITIONS: Json = {
    "EmptyImage": {
        "input": {"required": {"width": ["INT", {"min": 1, "max": 16384}], "color": ["INT", {"min": 0}]}},
        "output": ["IMAGE"],
        "output_node": False,
    },
    "Scale": {"input": {"required": {"image": ["IMAGE"], "method": [["near", "far"], {}]}}, "output_node": False},
    "PreviewImage": {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_node": True},
}


def tiny_prompt(color: int = 0) -> Json:
    """Two nodes, the second an output."""
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "color": color}, "_meta": {"title": "Canvas"}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }


class Job:
    """One prompt on the server, and the words to tell about it."""

    def __init__(self, server: FakeComfy, number: float, body: Json) -> None:
        self.server, self.number, self.body = server, number, body
        self.prompt_id, self.client_id = body["prompt_id"], body.get("client_id")
        self.prompt, self.extra = body["prompt"], body.get("extra_data", {})
        self.messages: list[list[Any]] = []
        self.interrupted = asyncio.Event()

    @property
    def item(self) -> list[Any]:
        """As ``/queue`` lists it."""
        return [self.number, self.prompt_id, self.prompt, self.extra, ["2"]]

    async def tell(self, kind: str, **data: Any) -> None:
        """Send a message about this prompt to whoever queued it."""
        message = {"type": kind, "data": {"prompt_id": self.prompt_id, **data}}
        if kind.startswith("execution_"):
            self.messages.append([kind, message["data"]])
        await self.server.send(self.client_id, json.dumps(message))

    async def start(self) -> None:
        """From pending to running."""
        self.server.pending.pop(self.prompt_id, None)
        self.server.running[self.prompt_id] = self
        await self.tell("execution_start")

    def record(self, outputs: Json | None = None, *, success: bool = True, status_str: str | None = None) -> None:
        """Write the history."""
        self.server.running.pop(self.prompt_id, None)
        self.server.pending.pop(self.prompt_id, None)
        outputs = outputs if outputs is not None else {"2": {"images": [{"filename": "a.png", "type": "temp"}]}}
        self.server.history[self.prompt_id] = {
            "prompt": [self.number, self.prompt_id, self.prompt, self.extra, ["2"]],
            "outputs": outputs,
            "status": {
                "status_str": status_str or ("success" if success else "error"),
                "completed": success,
                "messages": self.messages,
            },
            "meta": {},
        }

    async def nodes(self) -> None:
        """Say that each node runs."""
        await self.tell("execution_cached", nodes=[])
        for node_id in self.prompt:
            await self.tell("executing", node=node_id, display_node=node_id)

    async def succeed(self) -> None:
        """Everything that follows the nodes of a success."""
        await self.tell("execution_success")
        self.record()
        await self.tell("executing", node=None)


Script = Callable[[Job], Awaitable[None]]


async def succeed(job: Job) -> None:
    """A run as it should be."""
    await job.start()
    await job.nodes()
    await job.succeed()


async def run_until_interrupted(job: Job) -> None:
    """A node that runs for ever, and heeds an interrupt."""
    await job.start()
    await job.nodes()
    await job.interrupted.wait()
    await job.tell("execution_interrupted", node_id="1", node_type="EmptyImage")
    job.record({}, success=False)
    await job.tell("executing", node=None)


async def stay_pending(job: Job) -> None:
    """A prompt behind other people's work."""


class FakeComfy:
    """The server. Scripts run as tasks at once, without a worker that would put them one after the other."""

    def __init__(self) -> None:
        self.script: Script = succeed
        self.definitions: Any = DEFINITIONS
        self.version: str | None = None
        """What ``/system_stats`` tells; without one, that and all that came after 0.3.64 is 404."""
        self.features: Any = None
        self.replacements: Any = None
        self.pending: dict[str, Job] = {}
        self.running: dict[str, Job] = {}
        self.history: dict[str, Any] = {}
        self.jobs: dict[str, Job] = {}
        self.sockets: dict[str, web.WebSocketResponse] = {}
        self.first_messages: list[str] = []
        self.calls: list[tuple[str, str, Any]] = []
        self.called = asyncio.Condition()
        self.fault: Callable[[web.Request], Awaitable[web.StreamResponse | None]] | None = None
        self.post: Callable[[Job], Awaitable[web.StreamResponse | None]] | None = None
        self.accept_sockets = True
        self.answer_pings = True
        self.files: dict[str, bytes] = {}
        self.headers: list[Any] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._count = 0
        app = web.Application(middlewares=[self._middleware], client_max_size=1 << 30)
        app.add_routes(
            [
                web.get("/ws", self._socket),
                web.post("/prompt", self._prompt),
                web.get("/prompt", self._remaining),
                web.get("/queue", self._queue),
                web.post("/queue", self._delete),
                web.post("/interrupt", self._interrupt),
                web.get("/history/{id}", self._history),
                web.get("/object_info", self._object_info),
                web.get("/system_stats", self._system_stats),
                web.get("/features", self._features),
                web.get("/node_replacements", self._node_replacements),
                web.post("/api/jobs/{id}/cancel", self._cancel),
                web.get("/view", self._view),
                web.post("/upload/image", self._upload),
            ]
        )
        self.server = TestServer(app)

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(self.server.make_url("/")).rstrip("/")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen."""
        await self.server.start_server()

    async def close(self) -> None:
        """Stop, and with it everything that it says."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await self.drop_sockets()
        await self.server.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    def paths(self, method: str | None = None) -> list[str]:
        """The paths that were asked for, in order."""
        return [path for verb, path, _ in self.calls if method in {None, verb}]

    def bodies(self, path: str) -> list[Any]:
        """What was posted to a path."""
        return [body for verb, called, body in self.calls if verb == "POST" and called == path]

    async def until_called(self, path: str, times: int = 1) -> None:
        """Wait for requests."""
        async with asyncio.timeout(10), self.called:
            await self.called.wait_for(lambda: self.paths().count(path) >= times)

    async def send(self, client_id: str | None, data: str | bytes) -> None:
        """Send a frame to one socket; lost if it is not connected, as on the real one."""
        socket = self.sockets.get(client_id or "")
        if socket is not None and not socket.closed:
            with contextlib.suppress(ConnectionError):
                await (socket.send_str(data) if isinstance(data, str) else socket.send_bytes(data))

    async def drop_sockets(self) -> None:
        """Cut every socket without a close frame."""
        for socket in list(self.sockets.values()):
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()
        self.sockets.clear()
        await asyncio.sleep(0)

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        body = None
        if request.method == "POST" and request.path in {"/prompt", "/queue", "/interrupt"}:
            body = await request.json()
        self.headers.append(request.headers)
        async with self.called:
            self.calls.append((request.method, request.path, body))
            self.called.notify_all()
        if self.fault is not None and (answer := await self.fault(request)) is not None:
            return answer
        return await handler(request)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if not self.accept_sockets:
            return web.Response(status=503)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        client_id = request.query["clientId"]
        self.sockets[client_id] = socket
        status = {"status": {"exec_info": {"queue_remaining": 0}}, "sid": client_id}
        await socket.send_str(json.dumps({"type": "status", "data": status}))
        first = True
        async for message in socket:
            if message.type.name == "PING" and self.answer_pings:
                await socket.pong(message.data)
            elif first and message.type.name == "TEXT":
                self.first_messages.append(message.data)
                first = False
        if self.sockets.get(client_id) is socket:
            del self.sockets[client_id]
        return socket

    async def _prompt(self, request: web.Request) -> web.StreamResponse:
        job = Job(self, self._count, await request.json())
        self._count += 1
        if self.post is not None and (answer := await self.post(job)) is not None:
            return answer
        self.queue_job(job)
        return web.json_response({"prompt_id": job.prompt_id, "number": job.number, "node_errors": {}})

    def queue_job(self, job: Job) -> None:
        """Accept a prompt."""
        self.jobs[job.prompt_id] = self.pending[job.prompt_id] = job
        task = asyncio.get_running_loop().create_task(self.script(job))
        self._tasks[job.prompt_id] = task

    async def _remaining(self, _: web.Request) -> web.Response:
        return web.json_response({"exec_info": {"queue_remaining": len(self.pending) + len(self.running)}})

    async def _queue(self, _: web.Request) -> web.Response:
        pending = [job.item for job in self.pending.values()]
        running = [job.item for job in self.running.values()]
        return web.json_response({"queue_running": running, "queue_pending": pending})

    async def _delete(self, request: web.Request) -> web.Response:
        for prompt_id in (await request.json())["delete"]:
            self.forget(prompt_id)
        return web.Response()

    def forget(self, prompt_id: str) -> None:
        """Take a pending prompt off the queue; nobody is told."""
        if self.pending.pop(prompt_id, None) is not None:
            self._tasks[prompt_id].cancel()

    async def _interrupt(self, request: web.Request) -> web.Response:
        prompt_id = (await request.json()).get("prompt_id")
        for job in self.running.values():
            if not prompt_id or job.prompt_id == prompt_id:
                job.interrupted.set()
        return web.Response()

    async def _history(self, request: web.Request) -> web.Response:
        prompt_id = request.match_info["id"]
        found = {prompt_id: self.history[prompt_id]} if prompt_id in self.history else {}
        return web.Response(text=json.dumps(found), content_type="application/json")

    async def _object_info(self, _: web.Request) -> web.Response:
        return web.json_response(self.definitions)

    async def _system_stats(self, _: web.Request) -> web.Response:
        if self.version is None:
            return web.Response(status=404)
        return web.json_response({"system": {"comfyui_version": self.version}})

    async def _features(self, _: web.Request) -> web.Response:
        return web.Response(status=404) if self.features is None else web.json_response(self.features)

    async def _node_replacements(self, _: web.Request) -> web.Response:
        return web.Response(status=404) if self.replacements is None else web.json_response(self.replacements)

    async def _cancel(self, request: web.Request) -> web.Response:
        features = server_features({"system": {"comfyui_version": self.version}}, None)
        if not features.has(JOB_CANCEL):
            return web.Response(status=405)
        prompt_id = request.match_info["id"]
        found = prompt_id in self.pending or prompt_id in self.running
        self.forget(prompt_id)
        if prompt_id in self.running:
            self.running[prompt_id].interrupted.set()
        return web.json_response({"cancelled": found})

    async def _view(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        data = self.files.get(f"{query['type']}/{query['subfolder']}/{query['filename']}")
        return web.Response(status=404) if data is None else web.Response(body=data)

    async def _upload(self, request: web.Request) -> web.Response:
        form: Json = {}
        async for part in await request.multipart():
            data = await part.read()
            form[part.name] = data.decode() if part.name != "image" else data
            if part.name == "image":
                form["name"] = part.filename
        name = form["name"]
        if name in self.files and form["overwrite"] != "true":
            stem, _, extension = name.rpartition(".")
            name = f"{stem} (1).{extension}"
        self.files[name] = form["image"]
        return web.json_response({"name": name, "subfolder": form["subfolder"], "type": form["type"]})


async def close_socket(server: FakeComfy, client_id: str) -> None:
    """Close one socket in good order."""
    await server.sockets[client_id].close(code=WSCloseCode.GOING_AWAY)


def own_tasks() -> Iterator[asyncio.Task[Any]]:
    """Tasks of the client that are alive."""
    return (task for task in asyncio.all_tasks() if task.get_name().startswith("discomfort"))
