"""Stand-in for ``server``: the server's routes and messages, for packs."""

from __future__ import annotations

from typing import Any, ClassVar

from aiohttp import web

from comfyui_emulator import runtime


class _Server:
    @property
    def routes(self) -> web.RouteTableDef:
        """The table to which a pack adds its routes. Routes that are added after the pack is loaded are not served."""
        table: web.RouteTableDef | None = runtime.context().routes
        return web.RouteTableDef() if table is None else table

    @property
    def client_id(self) -> str | None:
        """The client of the running prompt. Always ``None`` here: messages go to all clients."""
        return None

    @property
    def address(self) -> str | None:
        """The address on which the server listens, ``None`` before it does."""
        told = runtime.context().address
        return None if told is None else told[0]

    @property
    def port(self) -> int | None:
        """The port on which the server listens, ``None`` before it does."""
        told = runtime.context().address
        return None if told is None else told[1]

    def send_sync(self, event: str, data: Any, sid: str | None = None) -> None:
        """Send a message to one client or to all. Any thread may call this."""
        send = runtime.context().send
        if send is not None:
            send(event, data, sid)

    def send_progress_text(self, text: str, node_id: str, sid: str | None = None) -> None:
        """Show text on a node in the frontend."""
        del sid
        runtime.send_text(text, node_id)


class PromptServer:
    """Stand-in for ComfyUI's server class; packs use its ``instance``."""

    instance: ClassVar[_Server] = _Server()
