"""A check's access to the server: requests, sockets, its own prompts, and comparison of the answers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import struct
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from comfyui_conformance.changes import rules_for
from comfyui_conformance.model import Difference, Skip, shown
from discomfort import _json
from discomfort._json import JsonObject

PREFIX = "discomfort-conformance"
"""Prefix of the names of all files that checks leave on a server."""

OTHERS = 10.0
"""Seconds that a check waits for other users' prompts if it needs an idle server."""
_CACHE_FLAGS = {
    "--cache-none": "none",
    "--cache-lru": "lru",
    "--cache-ram": "ram",
    "--cache-classic": "classic",
    "--high-ram": "classic",
}
_POLL = 0.02
_PATIENCE = 60.0
_TIDY = 30.0
_unique = itertools.count(secrets.randbits(20) << 4)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response with its complete body."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON. Raises ValueError."""
        return _json.loads(self.body)


class Socket:
    """A WebSocket to the server, with all its messages in order."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, sid: str) -> None:
        self.ws, self.sid = ws, sid
        self.messages: list[JsonObject] = []
        self.frames: list[tuple[int, bytes]] = []
        self._reader = asyncio.create_task(self._read())
        self._news = asyncio.Event()

    async def until(self, matches: Callable[[JsonObject], bool], what: str) -> JsonObject:
        """Wait for the first message that matches. Raises LookupError if none arrives."""
        async with contextlib.AsyncExitStack() as stack:
            with contextlib.suppress(TimeoutError):
                await stack.enter_async_context(asyncio.timeout(_PATIENCE))
                while True:
                    self._news.clear()
                    for message in self.messages:
                        if matches(message):
                            return message
                    if self._reader.done():
                        break
                    await self._news.wait()
        types = [message.get("type") for message in self.messages]
        raise LookupError(f"{what} did not arrive on the socket, only {types}")

    async def ended(self, prompt_id: str) -> None:
        """Wait for the last message of a run: ``executing`` without a node."""
        await self.until(
            lambda m: m["type"] == "executing" and m["data"].get("node") is None
            and m["data"].get("prompt_id") == prompt_id, f"the end of {prompt_id}",
        )  # fmt: skip

    def of(self, prompt_id: str, *, states: bool = False) -> list[JsonObject]:
        """The messages about one prompt, with ``progress_state`` only if ``states`` is true."""
        return [
            message for message in self.messages
            if isinstance(message.get("data"), dict) and message["data"].get("prompt_id") == prompt_id
            and (states or message["type"] != "progress_state")
        ]  # fmt: skip

    async def _read(self) -> None:
        try:
            async for message in self.ws:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self.messages.append(_json.loads(message.data))
                elif message.type is aiohttp.WSMsgType.BINARY:
                    self.frames.append((struct.unpack(">I", message.data[:4])[0], message.data[4:]))
                self._news.set()
        finally:
            self._news.set()

    async def aclose(self) -> None:
        """Close the socket. Idempotent."""
        await self.ws.close()
        self._reader.cancel()
        await asyncio.wait([self._reader])


class Probe:
    """One check's view of the server. ``classes`` are the node classes that it has, ``rules`` its expected behaviour.

    ``system`` comes from the server's ``/system_stats``.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        classes: frozenset[str],
        system: JsonObject | None = None,
        *,
        exclusive: bool = False,
    ) -> None:
        self.url, self.classes, self.exclusive = url, classes, exclusive
        self.system = system or {}
        self.rules = rules_for(self.system)
        self.differences: list[Difference] = []
        self._session = session
        self._prompts: list[str] = []

    # --- what is found -----------------------------------------------------------------------------------------------

    def same(self, what: str, found: object, expected: object) -> bool:
        """Note a difference unless both are equal."""
        if found == expected:
            return True
        self.differences.append(Difference(what, shown(expected), shown(found)))
        return False

    def holds(self, what: str, condition: object, expected: str, found: object) -> bool:
        """Note a difference unless the condition is true."""
        if condition:
            return True
        self.differences.append(Difference(what, expected, shown(found)))
        return False

    def has(self, what: str, found: object, expected: object) -> bool:
        """Note a difference unless ``found`` has all that ``expected`` has. Objects may have more keys."""
        return self.same(what, _part(found, expected), expected)

    def keys(self, what: str, found: object, expected: set[str]) -> bool:
        """Note a difference unless ``found`` is an object with at least these keys."""
        missing = sorted(expected - set(found)) if isinstance(found, dict) else sorted(expected)
        return self.holds(f"keys of {what}", not missing, f"{', '.join(sorted(expected))}", found)

    @property
    def cache(self) -> str:
        """How the server keeps results, by its command line: ``none``, ``lru``, ``ram`` or ``classic``."""
        said = set(map(str, self.system.get("argv") or []))
        for flag, kind in _CACHE_FLAGS.items():
            if flag in said:
                return kind
        return "ram" if self.rules.has("ram-pressure") else "classic"

    # --- requests ----------------------------------------------------------------------------------------------------

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        """Send one request, with ``path`` unchanged. Raises aiohttp's errors."""
        timeout = aiohttp.ClientTimeout(total=_PATIENCE)
        url = URL(self.url + path, encoded=True)
        async with self._session.request(method, url, timeout=timeout, allow_redirects=False, **options) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, **options: Any) -> Answer:
        """``GET``."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, value: object = None, **options: Any) -> Answer:
        """Send a ``POST`` with a JSON body, or with ``data=``."""
        if "data" not in options:
            options["data"] = _json.dumps(value)
        return await self.request("POST", path, **options)

    async def read(self, path: str) -> Any:
        """The JSON response to a ``GET``. A status other than 200 is noted as a difference."""
        answer = await self.get(path)
        self.same(f"status of GET {path}", answer.status, 200)
        return answer.json()

    async def put(self, name: str, content: bytes = b"x", subfolder: str = "") -> JsonObject:
        """Upload a file to the temporary folder, and return its name, subfolder and type."""
        form = aiohttp.FormData(quote_fields=False)
        for key, value in {"type": "temp", "subfolder": subfolder, "overwrite": "true"}.items():
            form.add_field(key, value)
        form.add_field("image", content, filename=name)
        stored = (await self.post("/upload/image", data=form)).json()
        return {"filename": stored["name"], "subfolder": stored["subfolder"], "type": stored["type"]}

    # --- prompts -----------------------------------------------------------------------------------------------------

    def name(self) -> str:
        """A new unique name for a file or a text."""
        return f"{PREFIX}-{next(_unique)}"

    def new_id(self) -> str:
        """A new prompt id that every version accepts: a UUID in its canonical form."""
        return str(uuid.uuid4())

    def own(self, prompt_id: str) -> str:
        """Mark a prompt for removal at the end of the check and return its id."""
        self._prompts.append(prompt_id)
        return prompt_id

    async def submit(self, prompt: object, **fields: Any) -> Answer:
        """Send ``POST /prompt`` with a new id unless ``prompt_id`` is given. The answer is not checked."""
        body = {"prompt": prompt, "prompt_id": self.new_id(), **fields}
        self.own(str(body["prompt_id"]))
        return await self.post("/prompt", body)

    async def queued(self, prompt: object, **fields: Any) -> str:
        """Queue a valid prompt and return its id. Raises ValueError if it is refused."""
        answer = await self.submit(prompt, **fields)
        if answer.status != 200:
            raise ValueError(f"a valid prompt was answered with {answer.status}: {shown(answer.body)}")
        return str(answer.json()["prompt_id"])

    async def run(self, prompt: object, **fields: Any) -> JsonObject:
        """Run a prompt and return its record."""
        return await self.record(await self.queued(prompt, **fields))

    async def record(self, prompt_id: str) -> JsonObject:
        """Wait for the record of a prompt. Raises LookupError if none appears."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            found = (await self.get(f"/history/{quote(prompt_id, safe='')}")).json()
            if prompt_id in found:
                return dict(found[prompt_id])
            await asyncio.sleep(_POLL)
        raise LookupError(f"no record of {prompt_id} in {_PATIENCE:g} s")

    async def listing(self) -> tuple[list[Any], list[Any]]:
        """The running and the pending prompts, the latter in the order in which they will run."""
        queue = (await self.get("/queue")).json()
        return queue["queue_running"], sorted(queue["queue_pending"], key=lambda item: (item[0], item[1]))

    async def idle(self) -> None:
        """Wait until nothing is queued. Raises Skip if other users keep the server busy."""
        deadline = time.monotonic() + OTHERS
        while (await self.get("/prompt")).json()["exec_info"]["queue_remaining"]:
            if time.monotonic() > deadline:
                raise Skip("other prompts are queued on the server")
            await asyncio.sleep(_POLL)

    @contextlib.asynccontextmanager
    async def busy(self, owner: Socket | None = None) -> AsyncIterator[str]:
        """Keep a run of our own busy during the block, for a few seconds unless it is ended, and yield its id.

        ``owner`` is the socket that gets its messages. The block starts once the first node runs, because the server
        drops earlier interrupts. Raises Skip if other users keep the server busy.
        """
        await self.idle()
        async with contextlib.AsyncExitStack() as stack:
            socket = await stack.enter_async_context(self.socket()) if owner is None else owner
            prompt_id = await self.queued(brake(next(_unique)), client_id=socket.sid)
            await socket.until(
                lambda m: m["type"] == "executing" and m["data"].get("prompt_id") == prompt_id,
                "the first node of a run",
            )
            yield prompt_id

    async def still_runs(self, prompt_id: str) -> None:
        """Raise Skip if the run has already ended, because the observations then prove nothing."""
        if not any(item[1] == prompt_id for item in (await self.listing())[0]):
            raise Skip("the server is too fast: the run that should have delayed the others ended")

    async def stop(self, *prompt_ids: str) -> None:
        """Remove our prompts from the server, pending or running, and wait until they are gone."""
        deadline = time.monotonic() + _TIDY
        wanted = set(prompt_ids)
        while time.monotonic() < deadline:
            running, pending = await self.listing()
            if waiting := [item[1] for item in pending if item[1] in wanted]:
                await self.post("/queue", {"delete": waiting})
            ours = [item[1] for item in running if item[1] in wanted]
            for prompt_id in filter(None, ours):
                await self.post("/interrupt", {"prompt_id": prompt_id})
            if not waiting and not ours:
                return
            await asyncio.sleep(_POLL)

    async def tidy(self) -> None:
        """Remove the check's prompts and records from the server. Never raises, even if the server is gone."""
        if self._prompts:
            with contextlib.suppress(aiohttp.ClientError, OSError, LookupError, TypeError, ValueError):
                await self.stop(*self._prompts)
                await self.post("/history", {"delete": self._prompts})
        self._prompts.clear()

    # --- sockets -----------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def socket(self, sid: str | None = None, features: object = None) -> AsyncIterator[Socket]:
        """A socket that has received its greeting. ``features``, if given, are sent first."""
        sid = sid or f"{PREFIX}-client-{next(_unique)}"
        async with self._session.ws_connect(f"{self.url}/ws?clientId={sid}", max_msg_size=0) as ws:
            if features is not None:
                await ws.send_json({"type": "feature_flags", "data": features})
            socket = Socket(ws, sid)
            try:
                await socket.until(lambda m: m["type"] == "status", "the greeting")
                yield socket
            finally:
                await socket.aclose()


def _part(found: object, expected: object) -> object:
    """``found`` without the keys of its objects that ``expected`` does not have."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return {key: _part(found[key], value) for key, value in expected.items() if key in found}
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        return [_part(*pair) for pair in zip(found, expected, strict=True)]
    return found


# --- prompts for all -------------------------------------------------------------------------------------------------


def node(class_type: str, **inputs: Any) -> JsonObject:
    """One node of a prompt."""
    return {"class_type": class_type, "inputs": inputs}


def picture(color: int | None = None, *, out: str = "PreviewImage", **inputs: Any) -> JsonObject:
    """A prompt that previews a small image (nodes 1 and 2); by default in a colour that no other check uses."""
    color = next(_unique) % 0x1000000 if color is None else color
    return {
        "1": node("EmptyImage", width=8, height=8, batch_size=1, color=color),
        "2": node(out, images=["1", 0], **inputs),
    }


def failing() -> JsonObject:
    """A prompt that is accepted but fails during execution: node 1, of nodes 1 and 2, has an invalid pattern."""
    text = f"{PREFIX} {next(_unique)}"
    return {
        "1": node("RegexReplace", string=text, regex_pattern="(", replace=""),
        "2": node("PreviewAny", source=["1", 0]),
    }


def brake(color: int) -> JsonObject:
    """A prompt that takes seconds on any machine, because Pillow quantizes on the CPU. Interruptible between nodes."""
    prompt = {"0": node("EmptyImage", width=1024, height=1024, batch_size=1, color=color % 0x1000000)}
    steps = 40
    for step in range(1, steps + 1):
        previous = [str(step - 1), 0]
        prompt[str(step)] = node("ImageQuantize", image=previous, colors=200 - step, dither="floyd-steinberg")
    prompt["out"] = node("PreviewImage", images=[str(steps), 0])
    return prompt
