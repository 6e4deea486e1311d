"""The page's only peer: a small HTTP server on loopback between the frontend's page and ComfyUI.

It serves the frontend's static files from disk, so that a page loads while ComfyUI still imports. It forwards other
requests, with the credentials of an attached server. It answers by itself what must not reach the server (writes of
settings and user data, prompts, all uploads but one, see ``forwarding``) and what a conversion does not need (queue,
history, the event socket). Which requests a boot makes, and which of them it needs, was measured on frontends 1.27.10
and 1.58.1.
"""

# Longer than 400 lines: what may pass the gateway is decided in one place.

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import mimetypes
import re
import secrets
import uuid
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp import web
from yarl import URL

from discomfort._json import JsonObject, loads
from discomfort._system.concurrency import EndableScopes, finish, to_thread
from discomfort._system.http_sessions import DIRECT, Route, open_session
from discomfort.conversion.gateway.forwarding import MAX_BYTES, parse_capture_upload, request_headers, response_headers
from discomfort.exceptions import ServerConnectionError, StateError
from discomfort.workflow.port_definition import with_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aiohttp.typedefs import Handler

logger: logging.Logger = logging.getLogger("discomfort.conversion")

HOST_NAME: Final = "frontend.localhost"
"""The name under which the page sees the gateway.

With a name of its own, one resolver rule of Chromium can admit this host and port alone; excluding ``127.0.0.1`` would
admit every service of the machine. Names below ``localhost`` are trustworthy origins, so the page can use interfaces
that need one (``crypto.randomUUID``).
"""

READY_WAIT: Final = 900.0
"""Seconds that a page's request waits for a server that is starting; the connector's start budget ends sooner."""

REQUEST_TIMEOUT: Final = 60.0
"""Seconds for one request to ComfyUI. ``/object_info`` takes 0.1 s for 496 classes; slow packs take several."""

SOCKET_TIMEOUT: Final = 5.0
"""Seconds to open a WebSocket to the server."""

HEARTBEAT: Final = 20.0
"""Seconds between pings on it; a peer that vanished is noticed after half as long again."""

# Answered with success, so that the frontend does not handle an error, but never forwarded.
_DROPPED_WRITES = frozenset({"settings", "userdata", "v2", "users", "free", "interrupt", "queue", "history"})
# Refused with 403 and a warning: a page that sends these does more than convert.
_REFUSED_WRITES = frozenset({"prompt", "upload", "manager", "customnode", "internal"})
_EXPECTED = frozenset(
    {
        *("users", "settings", "userdata", "i18n", "extensions", "object_info", "system_stats", "features", "ws"),
        *("queue", "history", "jobs", "experiment", "workflow_templates", "templates", "global_subgraphs"),
        *("node_replacements", "view", "assets", "scripts", "fonts", "cursor"),
    }
)
"""First path segments of the requests of a boot, some of them after the page is ready, and of pictures in nodes.

No value of a prompt comes from a request under these names during a conversion.
"""

_COOKIE: Final = "discomfort"
_PAGE_COOKIE: Final = "discomfort_page"
_OWN_SETTINGS: Final[JsonObject] = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
    "Comfy.Workflow.ShowMissingNodesWarning": False,
    # The page must neither restore nor store a workflow, so that no conversion depends on an earlier one.
    "Comfy.Workflow.Persist": False,
    # Startup requests to the frontend's vendor: useless here, and blocked anyway.
    "Comfy.Notification.ShowVersionUpdates": False,
    # Every workflow opens a tab and a breadcrumb, of which 1.27.10 keeps 0.9 MB for good where they are shown.
    "Comfy.UseNewMenu": "Disabled",
    "Comfy.Workflow.WorkflowTabsPosition": "Sidebar",
}
_INSTALLED_VERSION = "Comfy.InstalledVersion"
_DIST_INFO = re.compile(r"comfyui_frontend_package-(?P<version>[^-]+)\.dist-info")


def front_end_version(root: Path) -> str | None:
    """The version of the installed ``comfyui-frontend-package`` whose ``static`` folder is ``root``, if any.

    Read from the name of the ``dist-info`` folder beside the package (PEP 376), so that packages of other Python
    environments are recognised too.
    """
    package = root.resolve().parent
    found = (_DIST_INFO.fullmatch(entry.name) for entry in package.parent.glob("comfyui_frontend_package-*.dist-info"))
    return next((match["version"] for match in found if match), None)


def _no_answer(request: web.Request, error: Exception) -> web.Response:
    """The page's answer if the server does not answer."""
    logger.debug("no answer to %s %s: %r", request.method, request.path, error)
    return web.Response(status=502, text=json.dumps({"error": type(error).__name__}))


def _closed() -> StateError:
    return StateError("the converter is closed")


class Gateway:
    """Serves one frontend to the pages of one converter.

    ``url`` is ComfyUI's address, or a function that returns the current one: a server's port may change while it
    starts. ``headers`` are sent with every request to it. ``front_end_root`` is the folder with the frontend's
    ``index.html`` (``None``: everything comes from the server). Every request to the server first waits for
    ``server_ready`` (``None``: the server is running), and takes the ``route``.
    """

    port: int

    def __init__(
        self,
        url: str | Callable[[], str],
        *,
        headers: Mapping[str, str] | None = None,
        front_end_root: Path | None = None,
        server_ready: asyncio.Event | None = None,
        route: Route = DIRECT,
    ) -> None:
        self._url, self._route = url, route
        self._headers = dict(headers or {})
        self._root = front_end_root.resolve() if front_end_root else None
        self._version = front_end_version(self._root) if self._root else None
        self._ready = server_ready
        self._session: aiohttp.ClientSession | None = None
        self._waiting = EndableScopes()
        self._runner: web.AppRunner | None = None
        self._sockets: set[web.WebSocketResponse] = set()
        self._asked: Counter[str] = Counter()
        self._held: dict[str, tuple[frozenset[str], float, asyncio.Event]] = {}
        self._key = secrets.token_urlsafe(32)
        self.port = 0
        self.server_lost: asyncio.Event = asyncio.Event()
        """Set while the last forwarded request got no answer."""

    def __repr__(self) -> str:
        return f"<Gateway {self.origin if self.port else 'closed'} -> {self.url}, static={self._root or 'server'}>"

    @property
    def url(self) -> str:
        """ComfyUI's current address, without a trailing slash."""
        return (self._url if isinstance(self._url, str) else self._url()).rstrip("/")

    @property
    def origin(self) -> str:
        """The gateway's address as the page sees it; valid after :meth:`start`."""
        return f"http://{HOST_NAME}:{self.port}"

    def cookies(self, page: str) -> dict[str, str]:
        """One page's cookies: the key that every request needs, and the name under which requests are counted."""
        return {_COOKIE: self._key, _PAGE_COOKIE: page}

    def asked(self, page: str) -> int:
        """How many requests this page made beyond those that every page makes."""
        return self._asked[page]

    @contextlib.contextmanager
    def holding(self, page: str, paths: frozenset[str], *, seconds: float) -> Iterator[None]:
        """Hold back the answers of ``paths`` to this page during a conversion, each for ``seconds`` at most.

        A remote combo selects its first choice when the choices arrive, whatever the workflow has. Whether they arrive
        before or after the prompt is made would be luck; held back, they never replace a value.
        """
        over = asyncio.Event()
        self._held[page] = (paths, seconds, over)
        try:
            yield
        finally:
            del self._held[page]
            over.set()

    @property
    def static_root(self) -> Path | None:
        """The folder that static files come from; ``None`` while they come from the server."""
        return self._root

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1. Raises ``OSError`` if that is impossible."""
        self._session = open_session(
            route=self._route,
            # Bodies are forwarded as they are, together with their Content-Encoding header.
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_BYTES)
        app.router.add_route("*", "/{path:.*}", self._dispatch)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        try:
            await self._runner.setup()
            site = web.TCPSite(self._runner, "127.0.0.1", 0)
            # Finished even if cancelled: asyncio would otherwise lose, and not close, the socket it has just opened.
            await finish(site.start())
            self.port = self._runner.addresses[0][1]
        except BaseException:
            await self.aclose()
            raise
        logger.debug("gateway listens on 127.0.0.1:%d for %s", self.port, self.url)

    async def aclose(self) -> None:
        """Stop listening and drop every connection; waiting calls raise StateError. Idempotent; ends within 2 s."""
        self._waiting.end(_closed)
        # Detached before the first await: a second call, or a request that arrives meanwhile, finds the gateway closed.
        runner, self._runner = self._runner, None
        session, self._session = self._session, None
        # The runner waits for its handlers, and those of the pages' sockets end only with their sockets.
        for socket in tuple(self._sockets):
            await socket.close()
        if runner is not None:
            await runner.cleanup()
        if session is not None:
            await session.close()

    async def verify_front_end(self) -> str:
        """Compare the frontend on disk with the server's; switch to the server's if they differ.

        Returns a digest of the index page in use. It identifies the whole build, because it names the build's files.
        Raises ``aiohttp.ClientError`` or ``TimeoutError`` if the server does not answer.
        """
        status, theirs = await self.get("/")
        if self._root is not None:
            ours = await to_thread((self._root / "index.html").read_bytes)
            if status != 200:
                logger.debug("the server has no frontend of its own (%d); using the one in %s", status, self._root)
                theirs = ours
            elif theirs != ours:
                # Another --front-end-root or --front-end-version: conversions must match what the user's browser shows.
                logger.info("the server's frontend is not the one in %s; loading the server's", self._root)
                self._root = self._version = None
        return hashlib.sha256(theirs).hexdigest()

    async def open_socket(self) -> aiohttp.ClientWebSocketResponse:
        """A WebSocket to the server, with a client id of its own. The caller must read from it and close it.

        Raises ``aiohttp.ClientError`` or ``TimeoutError``.
        """
        session = await self._server()
        async with self._waiting.enter(), asyncio.timeout(SOCKET_TIMEOUT):
            return await session.ws_connect(
                f"{self.url}/ws?clientId={uuid.uuid4().hex}", headers=self._headers, heartbeat=HEARTBEAT, max_msg_size=0
            )

    # -- requests ------------------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        # Every request forwarded here carries the credentials of an attached server, and every local process can reach
        # this port. The host check stops DNS rebinding, the key stops everything but our own pages.
        key = request.cookies.get(_COOKIE, "")
        if request.host != f"{HOST_NAME}:{self.port}" or not secrets.compare_digest(key.encode(), self._key.encode()):
            raise web.HTTPForbidden(text="this address serves one browser only")
        return await handler(request)

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        # Statuses, not exceptions: aiohttp would log each as a traceback, and the page could not read the reason.
        except StateError as error:
            return web.Response(status=503, text=str(error))
        except ServerConnectionError as error:
            return web.Response(status=504, text=str(error))
        except (aiohttp.ClientError, TimeoutError) as error:
            return _no_answer(request, error)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.lstrip("/")
        name = path.removeprefix("api/")
        if name == "ws":
            # Never forwarded: ComfyUI waits for its slowest listener when it sends, and a page may be busy for seconds.
            return await self._silent_socket(request)
        page = request.cookies.get(_PAGE_COOKIE, "")
        if request.method != "GET" or not self.is_expected(request.path):
            self._asked[page] += 1
        if request.method in ("GET", "HEAD"):
            answer = await self._read(request, path, name)
            await self._hold(page, name)
            return answer
        area = name.partition("/")[0]
        if name == "upload/image" and (form := await parse_capture_upload(request)) is not None:
            return await self._forward(request, form)
        if area in _REFUSED_WRITES:
            logger.warning("refused %s /%s from the conversion page", request.method, path)
            return web.Response(status=403, text="the conversion page may not change anything")
        if area in _DROPPED_WRITES:
            return web.json_response({}) if request.method != "DELETE" else web.Response(status=204)
        if request.method == "OPTIONS":
            return web.Response()
        # Routes of custom nodes: some packs fetch the contents of their widgets by POST. Such a route may change things
        # too, but the user's own browser would send the same request.
        return await self._forward(request)

    async def _hold(self, page: str, name: str) -> None:
        held = self._held.get(page)
        if held is None or name not in held[0]:
            return
        _, seconds, over = held
        try:
            async with asyncio.timeout(seconds):
                await over.wait()
        except TimeoutError:
            logger.debug("answering /%s although a conversion still runs", name)

    @staticmethod
    def is_expected(path: str) -> bool:
        """Whether every page requests the URL path ``path``, so that it does not depend on the workflow."""
        path = path.lstrip("/")
        name = path.removeprefix("api/")
        own_file = "/" not in path and ("." in path or not path)
        return own_file or name == "internal/folder_paths" or name.partition("/")[0] in _EXPECTED

    async def _read(self, request: web.Request, path: str, name: str) -> web.StreamResponse:
        if name == "users":
            # "server" storage makes the frontend read the settings from us, and not from the page's empty storage.
            return web.json_response({"storage": "server", "migrated": True})
        if name == "settings":
            return web.json_response(await self._settings())
        if name == "queue":
            return web.json_response({"queue_running": [], "queue_pending": []})
        if name == "history" or name.startswith("history/"):
            return web.json_response({})
        if name in ("user.css", "userdata/user.css"):
            return web.Response(status=404)
        if name == "object_info":
            return await self._definitions(request)
        if self._root is not None and not path.startswith("api/"):
            found = await to_thread(self._static_file, path)
            if found is not None:
                # aiohttp's FileResponse would read in asyncio's default thread pool, which a program may keep busy.
                kind = mimetypes.guess_type(found.name)[0] or "application/octet-stream"
                headers = {"Cache-Control": "no-cache", "Content-Type": kind}
                return self._with_policy(web.Response(body=await to_thread(found.read_bytes), headers=headers))
        return await self._forward(request)

    async def _definitions(self, request: web.Request) -> web.StreamResponse:
        """The server's node definitions, with that of our port: workflows with ports then convert on any server."""
        answer = await self._forward(request, encoding="identity")
        body = answer.body if isinstance(answer, web.Response) and answer.status == 200 else None
        if isinstance(answer, web.Response) and isinstance(body, bytes) and "Content-Encoding" not in answer.headers:
            answer.body = await to_thread(with_port, body)
        return answer

    def _static_file(self, path: str) -> Path | None:
        root = self._root
        if root is None or "\0" in path:
            return None
        # Resolved before the check, so that neither ".." nor a symlink leads out of the folder.
        target = (root / (path or "index.html")).resolve()
        return target if target.is_relative_to(root) and target.is_file() else None

    def _with_policy(self, response: web.StreamResponse) -> web.StreamResponse:
        # The frontend compiles code and uses inline styles, so 'unsafe-eval' and 'unsafe-inline' are needed. What
        # matters is that scripts of custom nodes cannot send data anywhere but here.
        own = f"'self' ws://{HOST_NAME}:{self.port} blob: data:"
        response.headers["Content-Security-Policy"] = (
            f"default-src {own} 'unsafe-inline' 'unsafe-eval'; connect-src {own}; object-src 'none'; "
            "frame-src 'none'; form-action 'none'; base-uri 'self'"
        )
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    async def _silent_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=1 << 20)
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            status = {"status": {"exec_info": {"queue_remaining": 0}}, "sid": uuid.uuid4().hex}
            await socket.send_json({"type": "status", "data": status})
            async for _ in socket:
                pass
        finally:
            self._sockets.discard(socket)
        return socket

    async def _settings(self) -> JsonObject:
        status, body = await self.get("/api/settings")
        found: Any = loads(body) if status == 200 else {}
        settings: JsonObject = found if isinstance(found, dict) else {}
        version = self._version or await self._required_version()
        if version and not settings.get("Comfy.TutorialCompleted"):
            # A first boot writes the frontend's version here, and defaults of settings depend on it. Our page's writes
            # are dropped, so the value that it would write is supplied.
            settings[_INSTALLED_VERSION] = version
        return settings | _OWN_SETTINGS

    async def _required_version(self) -> str | None:
        status, body = await self.get("/api/system_stats")
        try:
            version = loads(body)["system"]["required_frontend_version"] if status == 200 else None
        except (ValueError, KeyError, TypeError):
            return None
        return version if isinstance(version, str) else None

    async def _server(self) -> aiohttp.ClientSession:
        """The session for requests, once the server is ready. Raises ServerConnectionError; StateError if closed."""
        if self._session is not None and self._ready is not None and not self._ready.is_set():
            try:
                async with self._waiting.enter(), asyncio.timeout(READY_WAIT):
                    await self._ready.wait()
            except TimeoutError:
                raise ServerConnectionError("the server did not become ready", url=self.url) from None
        # Checked after the wait: the gateway may have been closed meanwhile.
        if self._session is None:
            raise _closed()
        return self._session

    async def get(self, path: str) -> tuple[int, bytes]:
        """Read ``path`` from the server with its credentials: status and body. Waits for the server to be ready.

        Raises ``aiohttp.ClientError`` or ``TimeoutError`` if there is no answer, ``StateError`` if closed meanwhile.
        """
        session = await self._server()
        headers = self._headers | {"Accept-Encoding": "identity"}
        try:
            async with self._waiting.enter(), session.get(self.url + path, headers=headers) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            self.server_lost.set()
            raise
        self.server_lost.clear()
        return answer.status, body

    async def _forward(
        self, request: web.Request, form: aiohttp.FormData | None = None, *, encoding: str | None = None
    ) -> web.StreamResponse:
        session = await self._server()
        body = form if form is not None else await request.read() if request.can_read_body else None
        headers = request_headers(request, new_body=form is not None) | self._headers
        if encoding is not None:
            headers = {name: value for name, value in headers.items() if name.lower() != "accept-encoding"}
            headers["Accept-Encoding"] = encoding
        # The raw path: file names of userdata contain encoded slashes, which decoding would turn into folders.
        target = URL(self.url + request.raw_path, encoded=True)
        try:
            async with session.request(
                request.method, target, headers=headers, data=body, allow_redirects=False
            ) as answer:
                content = await answer.read()
                self.server_lost.clear()
                return self._with_policy(
                    web.Response(status=answer.status, body=content, headers=response_headers(answer))
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            self.server_lost.set()
            return _no_answer(request, error)
