"""What the page's gateway serves, passes on, answers for itself, and refuses."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from waiting import until
from yarl import URL

from discomfort.conversion.gateway.server import HOST_NAME, Gateway, front_end_version
from discomfort.exceptions import StateError
from discomfort.workflow.port_definition import DEFINITION


class Server:
    """Answers everything, and remembers what it was asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.forms: list[dict[str, Any]] = []
        self.settings: dict[str, Any] = {"Comfy.Locale": "fr"}
        self.definitions: bytes | None = None
        self.index = b"<p>server"
        self.url = ""
        self.status = 200

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.raw_path, dict(request.headers)))
        if request.content_type == "multipart/form-data":
            fields = await request.post()
            self.forms.append({k: len(v.file.read()) if isinstance(v, web.FileField) else v for k, v in fields.items()})
        if request.path == "/":
            return web.Response(body=self.index, status=self.status)
        if request.path == "/api/settings":
            return web.json_response(self.settings)
        if request.path == "/api/object_info" and self.definitions is not None:
            return web.Response(body=self.definitions, content_type="application/json")
        if request.path == "/api/system_stats":
            return web.json_response({"system": {"required_frontend_version": "1.2.3"}})
        headers = {"X-Kind": "server", "Set-Cookie": "a=b", "Content-Security-Policy": "default-src *"}
        return web.Response(text=f"{request.method} {request.raw_path}", headers=headers)

    def paths(self) -> list[str]:
        """Method and path of every request."""
        return [f"{method} {path}" for method, path, _ in self.seen]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server on a free port."""
    handler = Server()
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", handler.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    handler.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield handler
    await runner.cleanup()


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """A frontend's static folder, inside an installed package of version 9.8.7."""
    root = tmp_path / "site" / "comfyui_frontend_package" / "static"
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_text("<p>disk")
    (root / "assets" / "main.js").write_text("main()")
    (tmp_path / "site" / "comfyui_frontend_package-9.8.7.dist-info").mkdir()
    (tmp_path / "site" / "secret.txt").write_text("secret")
    return root


class Page:
    """A client that the gateway takes for its page."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.headers = {
            "Host": f"{HOST_NAME}:{gateway.port}",
            "Cookie": "; ".join(f"{k}={v}" for k, v in gateway.cookies("p").items()),
        }
        self.session = aiohttp.ClientSession()

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """One request."""
        headers = self.headers | options.pop("headers", {})
        url = URL(f"http://127.0.0.1:{self.gateway.port}{path}", encoded=True)
        return self.session.request(method, url, headers=headers, **options)


@pytest.fixture
async def open_page(server: Server) -> AsyncIterator[Any]:
    """Makes gateways with a client each."""
    made: list[Page] = []

    async def build(**options: Any) -> Page:
        gateway = Gateway(server.url, **options)
        await gateway.start()
        made.append(Page(gateway))
        return made[-1]

    yield build
    for page in made:
        await page.session.close()
        await page.gateway.aclose()
        await page.gateway.aclose()


async def test_static_files_come_from_disk(open_page: Any, server: Server, static: Path) -> None:
    """The frontend's own files never reach the server; what is not among them does."""
    page = await open_page(front_end_root=static)

    for path, text in (
        ("/", "<p>disk"),
        ("/assets/main.js", "main()"),
        ("/extensions/a/b.js", "GET /extensions/a/b.js"),
    ):
        async with page.ask("GET", path) as answer:
            assert await answer.text() == text
            assert "'self'" in answer.headers["Content-Security-Policy"]
    assert server.paths() == ["GET /extensions/a/b.js"]


@pytest.mark.parametrize(
    "path", ["/../../secret.txt", "/%2e%2e/%2e%2e/secret.txt", "/assets/..%2f..%2f..%2fsecret.txt"]
)
async def test_static_files_stay_in_their_folder(open_page: Any, static: Path, path: str) -> None:
    """A path that leaves the folder is not served from disk."""
    page = await open_page(front_end_root=static)

    async with page.ask("GET", path) as answer:
        assert "secret" not in (await answer.text()).splitlines()


async def test_requests_carry_the_credentials(open_page: Any, server: Server) -> None:
    """The server gets the configured headers, and neither the page's cookie nor its origin."""
    page = await open_page(headers={"Authorization": "Bearer token"})

    async with page.ask("GET", "/api/object_info?x=%2F", headers={"Origin": page.gateway.origin}) as answer:
        assert await answer.text() == "GET /api/object_info?x=%2F"
        assert answer.headers["X-Kind"] == "server"
        assert "Set-Cookie" not in answer.headers

    headers = server.seen[0][2]
    assert headers["Authorization"] == "Bearer token"
    assert "Origin" not in headers
    assert "Cookie" not in headers
    assert headers["Host"] in server.url


async def test_only_its_own_page_is_served(open_page: Any, server: Server) -> None:
    """Without the cookie, or under another name, nothing is served and nothing passed on."""
    page = await open_page()

    for headers in ({"Cookie": ""}, {"Cookie": "discomfort=guess"}, {"Host": f"127.0.0.1:{page.gateway.port}"}):
        async with page.ask("GET", "/api/object_info", headers=headers) as answer:
            assert answer.status == 403
    assert server.seen == []


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_nothing_is_written(open_page: Any, server: Server, prefix: str) -> None:
    """Writes are dropped with a friendly answer, what would run or change something is refused."""
    page = await open_page()
    dropped = (
        "POST /settings/Comfy.X",
        "POST /userdata/a.json",
        "DELETE /userdata/a.json",
        "POST /interrupt",
        "POST /queue",
    )
    refused = ("POST /prompt", "POST /upload/image", "PATCH /internal/logs/subscribe", "POST /manager/reboot")

    for line in (*dropped, *refused):
        method, path = line.split()
        async with page.ask(method, prefix + path, data="{}") as answer:
            assert (answer.status < 300) == (line in dropped), line
    assert server.seen == []


def upload(folder: str) -> aiohttp.FormData:
    """A picture for one of the server's folders, as the frontend sends it."""
    form = aiohttp.FormData()
    form.add_field("image", io.BytesIO(b"pixels" * 400_000), filename="scene_1.png", content_type="image/png")
    form.add_field("subfolder", "threed")
    form.add_field("type", folder)
    form.add_field("overwrite", "true")
    return form


async def test_what_a_node_records_of_itself_is_uploaded(open_page: Any, server: Server) -> None:
    """A file for the temporary folder reaches the server, whole and never over another; one for another folder not."""
    page = await open_page()

    async with page.ask("POST", "/api/upload/image", data=upload("temp")) as answer:
        assert answer.status == 200
    for refused in (upload("input"), b"--x\r\nno form"):
        headers = {"Content-Type": "multipart/form-data; boundary=x"} if isinstance(refused, bytes) else {}
        async with page.ask("POST", "/api/upload/image", data=refused, headers=headers) as answer:
            assert answer.status == 403

    assert server.paths() == ["POST /api/upload/image"]
    assert server.forms == [{"image": 2_400_000, "subfolder": "threed", "type": "temp"}]


async def test_reads_that_need_no_server(open_page: Any, server: Server) -> None:
    """Users, queue and history are answered at once, styles of the user are absent."""
    page = await open_page()
    answers = {"/api/users": {"storage": "server", "migrated": True}, "/history?max_items=64": {}}
    answers["/api/queue"] = {"queue_running": [], "queue_pending": []}

    for path, expected in answers.items():
        async with page.ask("GET", path) as answer:
            assert await answer.json() == expected
    for path in ("/user.css", "/api/userdata/user.css"):
        async with page.ask("GET", path) as answer:
            assert answer.status == 404
    assert server.seen == []


@pytest.mark.parametrize(
    ("told", "names"),
    [(b"{}", ["DiscomfortPort"]), (b' {"A": {"x": "DiscomfortPort"}}\n', ["A", "DiscomfortPort"]),
     (b'{"DiscomfortPort": {}, "A": {}}', ["DiscomfortPort", "A"])],
)  # fmt: skip
async def test_definition_of_ports(open_page: Any, server: Server, told: bytes, names: list[str]) -> None:
    """A page of a server without our nodes knows ports too. One that has them keeps its own; nothing else changes."""
    server.definitions = told
    page = await open_page()
    async with page.ask("GET", "/api/object_info", headers={"Accept-Encoding": "gzip"}) as answer:
        found = await answer.json()

    assert list(found) == names
    expected = {"DiscomfortPort": DEFINITION, **json.loads(told)}
    assert found == expected
    assert await page.gateway.get("/api/object_info") == (200, told)
    assert server.seen[0][2]["Accept-Encoding"] == "identity"


async def test_settings_are_the_servers_with_dialogs_off(open_page: Any, server: Server, static: Path) -> None:
    """A user's settings stay; a server that never saw a browser gets the version that a first boot would write."""
    page = await open_page(front_end_root=static)

    async with page.ask("GET", "/api/settings") as answer:
        first = await answer.json()
    server.settings = {"Comfy.TutorialCompleted": True, "Comfy.InstalledVersion": "1.0.0"}
    async with page.ask("GET", "/settings") as answer:
        later = await answer.json()

    assert first["Comfy.Locale"] == "fr"
    assert first["Comfy.InstalledVersion"] == "9.8.7"
    assert first["Comfy.Workflow.ShowMissingModelsWarning"] is False
    assert later["Comfy.InstalledVersion"] == "1.0.0"


async def test_version_from_the_server(open_page: Any) -> None:
    """Without files on disk the server's own statement is used."""
    page = await open_page()

    async with page.ask("GET", "/api/settings") as answer:
        assert (await answer.json())["Comfy.InstalledVersion"] == "1.2.3"


async def test_socket_is_silent(open_page: Any) -> None:
    """The event socket gives a status with a session id and then nothing; closing the gateway ends it."""
    page = await open_page()
    async with page.session.ws_connect(f"http://127.0.0.1:{page.gateway.port}/ws", headers=page.headers) as socket:
        message = await socket.receive_json()
        await socket.send_str("feature flags")
        await page.gateway.aclose()

        assert message["type"] == "status"
        assert message["data"]["sid"]
        assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


async def test_requests_wait_for_the_server(open_page: Any, server: Server, static: Path) -> None:
    """Before the server is ready files are served, and questions to it wait."""
    ready = asyncio.Event()
    page = await open_page(front_end_root=static, server_ready=ready)
    asking = asyncio.ensure_future(page.ask("GET", "/api/object_info").__aenter__())
    async with page.ask("GET", "/") as answer:
        assert await answer.text() == "<p>disk"
    assert server.seen == []

    ready.set()

    answer = await asking
    assert await answer.text() == "GET /api/object_info"
    answer.release()


async def test_server_that_never_gets_ready(open_page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait has an end."""
    monkeypatch.setattr("discomfort.conversion.gateway.server.READY_WAIT", 0.01)
    page = await open_page(server_ready=asyncio.Event())

    async with page.ask("GET", "/api/object_info") as answer:
        assert answer.status == 504


async def test_absent_server_is_an_error_answer(open_page: Any, server: Server) -> None:
    """A server that does not answer gives 502, so the page hears something."""
    page = await open_page()
    page.gateway._url = "http://127.0.0.1:1"

    async with page.ask("GET", "/api/object_info") as answer:
        assert answer.status == 502


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_lost_server_is_noted_until_it_answers(open_page: Any, server: Server, method: str) -> None:
    """By every request of the page: a conversion that fails then fails for the server."""
    page = await open_page()
    page.gateway._url = "http://127.0.0.1:1"
    async with page.ask(method, "/pack/list") as answer:
        assert answer.status == 502
    assert page.gateway.server_lost.is_set()

    page.gateway._url = server.url
    async with page.ask(method, "/pack/list") as answer:
        assert answer.status == 200
    assert not page.gateway.server_lost.is_set()


async def test_lost_server_is_noted_by_own_requests(open_page: Any, server: Server) -> None:
    """The gateway's own questions too; those that it asks for the page end as 502, with the error's name."""
    page = await open_page()
    page.gateway._url = "http://127.0.0.1:1"
    with pytest.raises(aiohttp.ClientConnectorError):
        await page.gateway.get("/x")
    assert page.gateway.server_lost.is_set()

    page.gateway._url = server.url
    await page.gateway.get("/x")
    assert not page.gateway.server_lost.is_set()

    page.gateway._url = "http://127.0.0.1:1"
    async with page.ask("GET", "/api/settings") as answer:
        assert (answer.status, await answer.text()) == (502, '{"error": "ClientConnectorError"}')
    assert page.gateway.server_lost.is_set()


async def test_silent_server_is_a_lost_one(open_page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that is not answered in time counts as one to nobody."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    monkeypatch.setattr("discomfort.conversion.gateway.server.REQUEST_TIMEOUT", 0.05)
    page = await open_page()
    page.gateway._url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    with pytest.raises(TimeoutError):
        await page.gateway.get("/x")
    assert page.gateway.server_lost.is_set()
    async with page.ask("GET", "/api/settings") as answer:
        assert answer.status == 502
        assert "Timeout" in await answer.text()
    silent.close()
    await silent.wait_closed()


async def test_equal_frontend_is_kept(open_page: Any, server: Server, static: Path) -> None:
    """The same index page: files go on to come from disk. A server without a frontend changes nothing either."""
    page = await open_page(front_end_root=static)
    server.index = b"<p>disk"
    first = await page.gateway.verify_front_end()
    server.index, server.status = b"", 404

    assert await page.gateway.verify_front_end() == first
    assert page.gateway.static_root == static


async def test_other_frontend_is_taken_from_the_server(open_page: Any, server: Server, static: Path) -> None:
    """Another index page: everything comes from the server from then on."""
    page = await open_page(front_end_root=static)

    first = await page.gateway.verify_front_end()

    assert page.gateway.static_root is None
    async with page.ask("GET", "/") as answer:
        assert await answer.text() == "<p>server"
    assert await page.gateway.verify_front_end() == first
    server.index = b"<p>upgraded"
    assert await page.gateway.verify_front_end() != first


async def test_requests_are_counted_by_page(open_page: Any, static: Path) -> None:
    """What every page asks for does not count; what a workflow's nodes ask for does, and so do writes."""
    page = await open_page(front_end_root=static)
    for path in ("/", "/assets/main.js", "/api/users", "/api/internal/files/output", "/pack/list"):
        async with page.ask("GET", path):
            pass

    assert page.gateway.asked("p") == 2
    assert page.gateway.asked("q") == 0


async def test_lists_are_held_back(open_page: Any, server: Server) -> None:
    """What a remote combo fetches reaches its page when the conversion is over; another page has it at once."""
    page = await open_page()
    with page.gateway.holding("p", frozenset({"internal/files/output"}), seconds=60):
        held = asyncio.ensure_future(page.ask("GET", "/api/internal/files/output").__aenter__())
        other = "; ".join(f"{k}={v}" for k, v in page.gateway.cookies("q").items())
        async with page.ask("GET", "/internal/files/output", headers={"Cookie": other}) as answer:
            assert answer.status == 200
        async with page.ask("GET", "/pack/list") as answer:
            assert answer.status == 200
        await until(lambda: "GET /api/internal/files/output" in server.paths())
        assert not held.done()
    answer = await held
    assert await answer.text() == "GET /api/internal/files/output"
    answer.release()


async def test_lists_are_not_held_back_for_good(open_page: Any) -> None:
    """A custom node that waits for such a list in the middle of a conversion gets it in time."""
    page = await open_page()
    with page.gateway.holding("p", frozenset({"pack/list"}), seconds=0.01):
        async with page.ask("GET", "/pack/list?a=1") as answer:
            assert await answer.text() == "GET /pack/list?a=1"


def test_version_of_a_folder(static: Path, tmp_path: Path) -> None:
    """Only an installed package's folder has a version."""
    assert front_end_version(static) == "9.8.7"
    assert front_end_version(tmp_path) is None


# --- ended by somebody else ------------------------------------------------------------------------------------------


async def status_of(request: Any) -> int | None:
    """The status of an answer, ``None`` where the connection broke."""
    try:
        async with request as answer:
            return int(answer.status)
    except aiohttp.ClientError:
        return None


async def test_close_ends_whoever_waits_for_the_server(open_page: Any) -> None:
    """A start that never comes to its end is not waited for: not by readers, not by sockets, not by the page."""
    page = await open_page(server_ready=asyncio.Event())
    waiting = [asyncio.create_task(work) for work in (page.gateway.get("/x"), page.gateway.open_socket())]
    asked = asyncio.create_task(status_of(page.ask("GET", "/api/object_info")))
    await until(lambda: len(page.gateway._waiting._scopes) == 3)
    await page.gateway.aclose()

    for task in waiting:
        with pytest.raises(StateError, match="closed"):
            await task
    # 503, or its connection was closed before that was out.
    assert await asked in (503, None)


async def test_close_ends_a_request_under_way(open_page: Any) -> None:
    """A server that does not answer holds up nobody after the end."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    page = await open_page()
    page.gateway._url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    waiting = asyncio.create_task(page.gateway.get("/x"))
    await until(lambda: page.gateway._waiting._scopes)
    await page.gateway.aclose()

    with pytest.raises(StateError, match="closed"):
        await waiting
    with pytest.raises(StateError, match="closed"):
        await page.gateway.get("/x")
    silent.close()
    await silent.wait_closed()


async def test_address_that_changes(open_page: Any, server: Server) -> None:
    """A port that was taken while the server started: requests go to where the server is now."""
    page = await open_page()
    page.gateway._url = lambda: addresses[-1]
    addresses = ["http://127.0.0.1:1/"]
    assert page.gateway.url == "http://127.0.0.1:1"
    addresses.append(server.url)
    assert (await page.gateway.get("/x"))[1] == b"GET /x"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_header_follows_a_redirect(open_page: Any, status: int) -> None:
    """Neither a request nor a socket carries the credentials to the server that an answer names."""
    other = Server()
    elsewhere = web.Application()
    elsewhere.router.add_route("*", "/{path:.*}", other.answer)
    runner = web.AppRunner(elsewhere, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    target = f"http://127.0.0.1:{runner.addresses[0][1]}/elsewhere"

    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": target})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", redirect)
    first = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await first.setup()
    await web.TCPSite(first, "127.0.0.1", 0).start()
    page = await open_page(headers={"X-Api-Key": "secret"})
    page.gateway._url = f"http://127.0.0.1:{first.addresses[0][1]}"

    for work in (page.gateway.get("/x"), page.gateway.open_socket()):
        with pytest.raises(aiohttp.ClientError, match="redirects"):
            await work
    async with page.ask("GET", "/api/object_info", allow_redirects=False) as answer:
        assert answer.status == status
    assert other.seen == []
    await runner.cleanup()
    await first.cleanup()
