"""Messages of a server to its clients during a scenario, in a form that can be compared.

Ids that the server made and times are taken out, tracebacks are reduced to their form and to a node's own frame; sets
that a server lists in any order are sorted.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import struct
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

from benchmarks.parity.building import Graph
from benchmarks.parity.ordering import SetOrder

WAIT_SECONDS = 60.0
Event = tuple[str, Any]
UNORDERED = ("executed", "current_outputs", "nodes")
_FRAME = re.compile(r' {2}File "(?P<file>[^"\n]+)", line \d+, in .+\n( {4}.*\n)*')
_ARRAY = re.compile(r"(tensor\()?\[\[|tensor\(\[\], size|\[\]$")
"""An array as text, which each server's library writes its own way."""
_TEMPORARY_NAME = re.compile(r"ComfyUI_temp_[a-z]{5}_")


class Client:
    """One socket, and the messages that came over it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.events: list[Event] = []

    async def receive(self) -> Event:
        """The next message. Raises ``TimeoutError``."""
        message = await self.socket.receive(timeout=WAIT_SECONDS)
        if message.type is aiohttp.WSMsgType.BINARY:
            event: Event = ("binary", binary(message.data))
        elif message.type is aiohttp.WSMsgType.TEXT:
            content = json.loads(message.data)
            event = (content["type"], content["data"])
        else:
            raise ConnectionError(f"the socket ended: {message}")
        self.events.append(event)
        return event

    async def until(self, kind: str, **fields: Any) -> None:
        """Read up to a message of that kind whose data has these fields."""
        while True:
            found, data = await self.receive()
            if found == kind and all(data.get(name) == value for name, value in fields.items()):
                return


class Stage:
    """One server during one scenario."""

    def __init__(self, session: aiohttp.ClientSession, folder: Path, order: SetOrder) -> None:
        self.session, self.folder, self._order = session, folder, order
        self.clients: dict[str, Client] = {}
        self.told: list[Event] = []
        self._names: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._gates: set[str] = set()
        self._replaced: list[Client] = []
        self.mark = uuid.uuid4().hex[:8]
        self._names[self.mark] = "mark"

    async def join(self, name: str, *, features: bool = False, query: str | None = None) -> Client:
        """A client with that id connects; with a ``query`` of its own it goes by the id that the server tells."""
        asked = f"?clientId={name}-{self.mark}" if query is None else query
        socket = await self.session.ws_connect(f"/ws{asked}", max_msg_size=0)
        if name in self.clients:
            # Were it forgotten, it would be closed, by which ComfyUI deafens the new one.
            self._replaced.append(self.clients[name])
        self.clients[name] = client = Client(socket)
        if features:
            await socket.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
            await client.until("feature_flags")
        else:
            await client.until("status")
        self._ids[name] = f"{name}-{self.mark}" if query is None else client.events[0][1]["sid"]
        self._names[self._ids[name]] = name
        return client

    async def post(self, path: str, body: Any, name: str = "") -> Any:
        """A POST, its answer noted; the answer's content."""
        async with self.session.post(path, json=body) as answer:
            text = await answer.text()
        content = json.loads(text) if text[:1] in "{[" and text else text[:60]
        self.told.append((f"{name or path} {answer.status}", content))
        return content

    async def queue(self, graph: Graph, client: str | None = "a", prompt_id: str = "p", **fields: Any) -> str:
        """Queue a prompt under a name; its id."""
        graph = self._order.arranged(graph, fields.get("partial_execution_targets"))
        body: dict[str, Any] = {"prompt": graph, "prompt_id": self.real(prompt_id), **fields}
        if client is not None:
            body["client_id"] = self._ids.get(client, f"{client}-{self.mark}")
            self._names[body["client_id"]] = client
        self._names[body["prompt_id"]] = prompt_id
        await self.post("/prompt", body)
        return str(body["prompt_id"])

    def real(self, name: str) -> str:
        """The id of the prompt of that name in this scenario: a UUID, since 0.25 takes no other."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name}-{self.mark}"))

    async def finish(self, prompt_id: str) -> None:
        """Wait for the record of a prompt, and note it."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                async with self.session.get(f"/history/{prompt_id}") as answer:
                    found = await answer.json()
                if found:
                    break
                await asyncio.sleep(0.005)
        self.told.append(("record", found[prompt_id]))

    async def run(self, graph: Graph, client: str | None = "a", prompt_id: str = "p", **fields: Any) -> None:
        """Queue a prompt and wait for its end, as the client is told it."""
        found = await self.queue(graph, client, prompt_id, **fields)
        if self.told[-1][0].endswith(" 200"):
            if client in self.clients:
                await self.clients[client].until("executing", node=None, prompt_id=found)
            await self.finish(found)

    async def look(self) -> None:
        """Note the pictures of the last record, level by level."""
        records = [data for kind, data in self.told if kind == "record"]
        for output in records[-1]["outputs"].values() if records else ():
            for reference in output.get("images", ()):
                async with self.session.get("/view", params=reference) as answer:
                    content = await answer.read()
                with Image.open(io.BytesIO(content)) as picture:
                    self.told.append(("levels", [*picture.size, *picture.convert("RGB").tobytes()]))

    def open(self, gate: str) -> None:
        """Let what waits for that file go on."""
        (self.folder / gate).touch()

    def gate(self, name: str) -> str:
        """The path of a file that does not exist yet."""
        self._gates.add(name)
        for path in (self.folder / name, self.folder / f"{name}.entered"):
            path.unlink(missing_ok=True)
        return str(self.folder / name)

    async def entered(self, name: str) -> None:
        """Wait until a node waits at that gate."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not (self.folder / f"{name}.entered").exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.005)

    async def release(self) -> None:
        """Let all that waits or runs come to its end."""
        for name in self._gates:
            self.open(name)
        await self.idle()

    async def idle(self) -> None:
        """Wait until nothing runs or waits."""
        while True:
            async with self.session.get("/prompt") as answer:
                if not (await answer.json())["exec_info"]["queue_remaining"]:
                    return
            await asyncio.sleep(0.05)

    async def settle(self) -> None:
        """Read every client up to the end of a last tiny prompt of its own."""
        for name, client in self.clients.items():
            if not client.socket.closed:
                graph = {"1": {"class_type": "PreviewAny", "inputs": {"source": f"last of {name} {self.mark}"}}}
                found = await self.queue(graph, name, f"last of {name}")
                await client.until("executing", node=None, prompt_id=found)

    def sockets(self) -> list[Client]:
        """Every client that is or was there."""
        return [*self.clients.values(), *self._replaced]

    def result(self) -> dict[str, list[Any]]:
        """All that was told: answers and records, and for every client its messages."""
        result = {"answers": [self.plain(event) for event in self.told]}
        for name, client in self.clients.items():
            result[f"client {name}"] = [self.plain(event) for event in client.events if event[0] != "status"]
            result[f"status of {name}"] = [sum(event[0] == "status" for event in client.events)]
        return result

    def plain(self, value: Any, key: str = "") -> Any:
        """A value without what differs between any two runs."""
        if isinstance(value, dict):
            return {self.plain(name): self.plain(item, name) for name, item in sorted(value.items())}
        if key == "traceback":
            return frames(value)
        if key in ("timestamp", "create_time"):
            return key if isinstance(value, int) else value
        if key == "number":
            return "number"
        if isinstance(value, list | tuple):
            items = [self.plain(item) for item in value]
            if key == "prompt" and len(items) == 5:
                items[0], items[4] = "number", sorted(items[4])
            unordered = key in (*UNORDERED, "dependent_outputs", "errors")
            return sorted(items, key=json.dumps) if unordered else items
        if isinstance(value, str):
            if _ARRAY.match(value):
                return "array"
            value = _TEMPORARY_NAME.sub("ComfyUI_temp_", value)
            for found in sorted(self._names, key=len, reverse=True):
                value = value.replace(found, self._names[found])
            if key == "details":
                value = "\n".join(sorted(value.split("\n")))
        return value


def frames(traceback: Any) -> Any:
    """Of a traceback, whether each of its parts is one frame in Python's form, and the last frame, if a node's."""
    if not isinstance(traceback, list) or not all(isinstance(part, str) for part in traceback):
        return traceback
    found = [_FRAME.fullmatch(part) for part in traceback]
    last = found[-1] if found else None
    own = last is not None and "/parity/nodes/" in last["file"]
    return [bool(found), None not in found, traceback[-1].split("\n")[:2] if own else "elsewhere"]


def binary(data: bytes) -> dict[str, Any]:
    """A binary message in words: its kind, and what it holds."""
    kind = struct.unpack(">I", data[:4])[0]
    if kind == 1:
        return {"kind": 1, "format": struct.unpack(">I", data[4:8])[0], "picture": described(data[8:])}
    length = struct.unpack(">I", data[4:8])[0]
    head, rest = data[8 : 8 + length].decode(), data[8 + length :]
    if kind == 3:
        return {"kind": 3, "node": head, "text": rest.decode()}
    return {"kind": kind, "about": json.loads(head), "picture": described(rest)}


def described(data: bytes) -> list[Any]:
    """Format, mode, size and the first pixel of a picture."""
    with Image.open(io.BytesIO(data)) as picture:
        return [picture.format, picture.mode, list(picture.size), list(picture.convert("RGB").getpixel((0, 0)))]


@contextlib.asynccontextmanager
async def stage(session: aiohttp.ClientSession, folder: Path, order: SetOrder) -> AsyncIterator[Stage]:
    """A scenario's view of a server; sockets are closed at the end."""
    made = Stage(session, folder, order)
    try:
        yield made
    finally:
        for client in made.sockets():
            await client.socket.close()
