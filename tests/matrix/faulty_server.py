"""The emulator with faults on demand: a program, started as any server is.

``--rules`` is a JSON list; the first rule whose ``path`` (and ``method``) fits a request is applied to it: ``do`` is
``status`` (answer with ``value``), ``hang`` (until the rules change), ``delay`` (by ``value`` seconds), ``drop`` (abort
the connection), ``lose`` (do what was asked, then abort), ``late`` (do it, but answer only when the rules change).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from comfyui_emulator import command
from comfyui_emulator.http import app as emulator_app
from comfyui_emulator.server import EMULATOR

_LAST_WORDS = "Exception in thread Thread-1 (prompt_worker):\nTraceback (most recent call last):\nKeyError: '99'\n"


class Faults:
    """The rules in force, and how often they were applied."""

    def __init__(self, rules: list[dict[str, Any]]) -> None:
        self._changed = asyncio.Event()
        self._applied = asyncio.Condition()
        self.rules, self.count = rules, 0

    @web.middleware
    async def middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Apply the first rule that fits."""
        for rule in self.rules:
            if re.fullmatch(rule["path"], request.path) and rule.get("method", request.method) == request.method:
                return await self._apply(rule, request, handler)
        return await handler(request)

    async def _apply(self, rule: dict[str, Any], request: web.Request, handler: Any) -> web.StreamResponse:
        changed, what, value = self._changed, rule["do"], rule.get("value")
        answer = await handler(request) if what == "late" else None
        self.count += 1
        async with self._applied:
            self._applied.notify_all()
        if what in {"hang", "late"}:
            await changed.wait()
        elif what == "delay":
            await asyncio.sleep(value)
        elif what == "status":
            return web.Response(status=value, text="a fault")
        elif what in {"drop", "lose"} and request.transport is not None:
            if what == "lose":
                await handler(request)
            request.transport.abort()
            return web.Response()
        return answer or await handler(request)

    async def set_rules(self, request: web.Request) -> web.Response:
        """Replace the rules."""
        self.rules, self.count = await request.json(), 0
        self._changed.set()
        self._changed = asyncio.Event()
        return web.json_response({})

    async def reached(self, request: web.Request) -> web.Response:
        """Answer when the rules were applied as often as asked."""
        wanted = await request.json()
        async with self._applied:
            await self._applied.wait_for(lambda: self.count >= wanted)
        return web.json_response({})

    async def stall(self, request: web.Request) -> web.Response:
        """Hold the event loop."""
        time.sleep(await request.json())  # noqa: ASYNC251 - that is the fault
        return web.json_response({})

    async def end_worker(self, request: web.Request) -> web.Response:
        """End the execution, and nothing else."""
        worker = request.app[EMULATOR]._worker
        if worker is not None:
            worker.cancel()
        if await request.json():
            os.write(2, _LAST_WORDS.encode())
        return web.json_response({})

    async def exec_again(self, _: web.Request) -> web.Response:
        """Become a new server."""
        os.execv(sys.executable, [sys.executable, *sys.argv])

    def install(self, app: web.Application) -> web.Application:
        """Add the routes by which tests speak to it; the rules come before everything else."""
        app.middlewares.insert(0, self.middleware)
        for path, handler in (
            ("rules", self.set_rules),
            ("reached", self.reached),
            ("stall", self.stall),
            ("worker", self.end_worker),
            ("exec", self.exec_again),
        ):
            app.router.add_post(f"/matrix/{path}", handler)
        return app


def listen_and_stay_mute(port: int) -> None:
    """Open the port, accept, and never answer."""
    held = []
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        while True:
            held.append(listener.accept())


@contextlib.contextmanager
def _deaf(_: asyncio.Event) -> Iterator[None]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield


def main() -> int:
    """Take the own switches; the others are the emulator's."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rules", default="[]")
    parser.add_argument("--ignore-sigterm", action="store_true")
    parser.add_argument("--mute", action="store_true")
    parser.add_argument("--grandchildren", action="store_true")
    options, rest = parser.parse_known_args()
    if options.mute:
        listen_and_stay_mute(int(rest[rest.index("--port") + 1]))
    if options.ignore_sigterm:
        command._signals = _deaf
    if options.grandchildren:
        # One in the group, one in a session of its own, one whose parent is gone.
        ignoring = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        subprocess.Popen([sys.executable, "-c", ignoring])
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        subprocess.run(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 &"], check=True)
    create_app = emulator_app.create_app
    rules = json.loads(options.rules)
    emulator_app.create_app = lambda config: Faults(rules).install(create_app(config))
    return command.main(rest)


if __name__ == "__main__":
    sys.exit(main())
