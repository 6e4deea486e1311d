"""The sockets of one server, by client id, with a bounded queue for each.

Unlike in ComfyUI, a client that stops reading does not delay the others: it is disconnected once its backlog passes a
limit. Of two sockets with one id, the newer receives; when either closes, the other continues, or takes over again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import struct
from collections import deque
from typing import Any

from aiohttp import ClientError, WSCloseCode, WSMsgType, web

from comfyui_emulator.faults import Faults
from comfyui_emulator.registry import JsonObject

log = logging.getLogger("comfyui_emulator")

BACKLOG_BYTES = 64 * 1024 * 1024
"""A client with a larger backlog is disconnected."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Longer messages from a client close its connection (aiohttp's default, and so ComfyUI's)."""

# Types of binary messages, sent as their first four bytes (ComfyUI protocol).
PREVIEW_IMAGE, TEXT, PREVIEW_IMAGE_WITH_METADATA = 1, 3, 4


class Client:
    """One socket: its client id, its features, and its queue of messages to send."""

    def __init__(self, socket: web.WebSocketResponse, sid: str, faults: Faults | None = None) -> None:
        self.socket, self.sid = socket, sid
        self._faults = faults or Faults()
        self._sent = 0
        self.transport: asyncio.Transport | None = None
        self.features: JsonObject = {}
        self._waiting: deque[str | bytes] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()

    @property
    def previews_with_metadata(self) -> bool:
        """Whether this client wants previews as message type 4."""
        return self.features.get("supports_preview_metadata") is True

    def put(self, message: str | bytes) -> bool:
        """Queue a message without waiting; ``False`` if the backlog is over its limit; the caller then disconnects."""
        if self._bytes > BACKLOG_BYTES:
            return False
        self._waiting.append(message)
        self._bytes += len(message)
        self._wake.set()
        return True

    async def write(self) -> None:
        """Send queued messages until cancelled or until the connection closes."""
        while not self.socket.closed:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            message = self._waiting.popleft()
            self._bytes -= len(message)
            if not await self._may_send():
                return
            if isinstance(message, str):
                await self.socket.send_str(message)
            else:
                await self.socket.send_bytes(message)

    async def _may_send(self) -> bool:
        """Whether the next message may be sent; the two socket faults are applied here."""
        faults, self._sent = self._faults, self._sent + 1
        if faults.stall_socket_after is not None and self._sent > faults.stall_socket_after:
            await asyncio.Event().wait()
        if faults.drop_socket_after is None or self._sent <= faults.drop_socket_after:
            return True
        if self.transport is not None:
            self.transport.abort()
        return False


class Hub:
    """All connected clients. Every method runs in the event loop's thread."""

    def __init__(self, features: JsonObject, faults: Faults | None = None) -> None:
        self._features, self._faults = features, faults
        self._clients: dict[str, list[Client]] = {}
        self._closing: set[asyncio.Task[bool]] = set()

    def newest(self, sid: object) -> Client | None:
        """The client that receives messages for ``sid``."""
        clients = self._clients.get(sid) if isinstance(sid, str) else None
        return clients[-1] if clients else None

    def everyone(self) -> list[Client]:
        """The receiving client of every id."""
        return [clients[-1] for clients in self._clients.values()]

    def receivers(self, sid: object) -> list[Client]:
        """The clients that get a message for ``sid``; ``None`` means all."""
        if sid is None:
            return self.everyone()
        client = self.newest(sid)
        return [client] if client else []

    def send(self, event: str, data: JsonObject, sid: object = None) -> None:
        """Queue a text message for ``sid`` (``None``: all). It is lost if no such client is connected."""
        clients = self.receivers(sid)
        if clients:
            text = json.dumps({"type": event, "data": data})
            for client in clients:
                self._put(client, text)

    def send_binary(self, kind: int, payload: bytes, client: Client) -> None:
        """Queue a binary message of that type for one client."""
        self._put(client, struct.pack(">I", kind) + payload)

    def _put(self, client: Client, message: str | bytes) -> None:
        if not client.put(message) and not client.socket.closed:
            log.warning("client %s does not read its socket; disconnected", client.sid)
            self._drop(client)

    def _drop(self, client: Client) -> None:
        self._remove(client)
        task = asyncio.ensure_future(
            client.socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow", drain=False)
        )
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _remove(self, client: Client) -> None:
        clients = self._clients.get(client.sid, [])
        if client in clients:
            clients.remove(client)
        if not clients:
            self._clients.pop(client.sid, None)

    async def serve(
        self, request: web.Request, sid: str, greetings: list[tuple[str, JsonObject]]
    ) -> web.StreamResponse:
        """Serve one socket until it closes; sends ``greetings`` first."""
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE_BYTES)
        await socket.prepare(request)
        client = Client(socket, sid, self._faults)
        client.transport = request.transport
        for event, data in greetings:
            client.put(json.dumps({"type": event, "data": data}))
        self._clients.setdefault(sid, []).append(client)
        writer = asyncio.create_task(client.write())
        try:
            await self._read(client)
        finally:
            self._remove(client)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError, ClientError):
                await writer
        return socket

    async def _read(self, client: Client) -> None:
        first = True
        async for message in client.socket:
            if message.type is WSMsgType.ERROR:
                log.warning("socket of client %s failed: %s", client.sid, client.socket.exception())
            if message.type is not WSMsgType.TEXT:
                continue
            try:
                content = json.loads(message.data)
                is_features = first and content.get("type") == "feature_flags"
            except (ValueError, AttributeError):
                log.warning("client %s sent an invalid message", client.sid)
                continue
            first = False
            if is_features:
                declared = content.get("data")
                client.features = declared if isinstance(declared, dict) else {}
                self._put(client, json.dumps({"type": "feature_flags", "data": self._features}))

    async def close(self) -> None:
        """Close every socket, in bounded time: one that does not answer is left to its transport. Idempotent."""
        sockets = [client.socket for clients in self._clients.values() for client in clients]
        closing = [asyncio.ensure_future(s.close(code=WSCloseCode.GOING_AWAY, drain=False)) for s in sockets]
        if closing:
            await asyncio.wait(closing, timeout=0.5)
            for task in closing:
                task.cancel()


def preview_payloads(image: Any, image_format: str, max_size: int | None, metadata: JsonObject) -> tuple[bytes, bytes]:
    """A preview as the payloads of message types 1 and 4. Blocking: encodes the image."""
    import io

    from PIL import Image, ImageOps

    if max_size is not None:
        # Smaller pictures are enlarged, as in ComfyUI.
        image = ImageOps.contain(image, (max_size, max_size), Image.Resampling.BILINEAR)
    kind = "PNG" if image_format == "PNG" else "JPEG"
    if kind == "JPEG" and image.mode not in ("RGB", "L"):
        image = image.convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, format=kind, quality=95, compress_level=1)
    data = buffer.getvalue()
    header = json.dumps(metadata | {"image_type": f"image/{kind.lower()}"}).encode()
    legacy = struct.pack(">I", 2 if kind == "PNG" else 1) + data
    return legacy, struct.pack(">I", len(header)) + header + data
