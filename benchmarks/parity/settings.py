"""Both servers under other command lines: compression, CORS, small bodies, several users, other caches, addresses.

A *talk* is a conversation with one server; each of its questions is a case. What the server itself makes (ids of users)
is named before both are compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from PIL import Image

from benchmarks.parity import routes, sequences, servers
from benchmarks.parity.building import Graph
from benchmarks.parity.comparing import Row
from benchmarks.parity.ordering import SetOrder
from benchmarks.parity.routes import Ask, form
from benchmarks.parity.samples import pictures
from benchmarks.parity.sequences import first_difference
from benchmarks.parity.servers import Server

MEBIBYTES = 0.05
"""The small limit of a body; of no whole number of bytes."""

USERS = ("--multi-user", "--max-upload-size", str(MEBIBYTES), "--disable-metadata", "--cache-none")
FLAGS = ("x=1", "show_signin_button", "enable_telemetry=ture", "assets=true", " y = z=1 ", "=none", "n=true")
OFFLINE = ("--disable-api-nodes", *(word for flag in FLAGS for word in ("--feature-flag", flag)))
_USER_ID = re.compile(r"(?<=_)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SCENARIOS = ("cached wholly and partly", "renamed nodes", "change tokens", "lists", "lazy inputs", "expansion")
SCENARIOS += ("blocked", "an error in the middle", "pictures", "kept and dropped", "coroutines as hooks")
SCENARIOS += ("needed and forgotten", "records of cached runs", "lazy inputs of cached nodes", "ids taken over")


class Talk:
    """A conversation with one server: what was asked and what came, in a form that two servers can be compared in."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.told: list[tuple[str, Any]] = []

    @property
    def port(self) -> int:
        """The server's port."""
        return urlsplit(self.server.url).port or 80

    def ask(self, path: str, method: str = "GET", body: bytes = b"", look: str = "all", **headers: str) -> Any:
        """One request, its answer noted; the answer's content. Underscores in names of headers are hyphens."""
        named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return self.send(Ask("", path, method, body, named, look))

    def send(self, ask: Ask) -> Any:
        """The same for a request with any headers."""
        found = routes.answer(self.server, ask)
        about = f"{ask.method} {ask.path} {ask.body[:60]!r} {dict(ask.headers)}"
        self.note(about.replace(str(self.port), "PORT"), found)
        return found.get("body")

    def note(self, about: str, found: Any) -> None:
        """Keep what was found."""
        named = _USER_ID.sub("id", json.dumps(found))
        self.told.append((_USER_ID.sub("id", about), json.loads(named.replace(f":{self.port}", ":PORT"))))

    def run(self, graph: Graph, **fields: Any) -> dict[str, Any]:
        """Queue a prompt and wait for its record."""
        answer = json.loads(self.server.request("/prompt", json.dumps({"prompt": graph, **fields}).encode()))
        return self.server.record(answer["prompt_id"])


def compression(talk: Talk) -> None:
    """Which answers are compressed, and how, for clients that take one or the other."""
    codings = ("", "gzip", "gzip, deflate", "deflate", "deflate, gzip, br", "GZIP", "gzip;q=0", "br", "*", "identity")
    for coding in codings:
        for path, look in (
            ("/prompt", "all"), ("/queue", "all"), ("/object_info/EmptyImage", "keys"), ("/i18n", "all"),
            ("/history/none", "all"), ("/userdata", "all"), ("/nothing", "nothing"), ("/", "nothing"),
            ("/view?filename=p_alpha.png&type=input", "nothing"),
            ("/view?filename=p_alpha.png&type=input&preview=webp", "nothing"), ("/internal/logs", "nothing"),
            ("/object_info", "nothing"), ("/extensions/parity-scripts/one.js", "all"),
        ):  # fmt: skip
            talk.ask(path, look=look, Accept_Encoding=coding)
        for path, body in (("/queue", b"{}"), ("/prompt", b"{}"), ("/prompt", b"{")):
            talk.ask(path, "POST", body, Accept_Encoding=coding)
        talk.ask("/prompt", "HEAD", look="nothing", Accept_Encoding=coding)


def foreign(talk: Talk) -> None:
    """Requests of pages from elsewhere, and what they are allowed."""
    for origin in ("", "http://evil.example", "http://some.example", f"http://127.0.0.1:{talk.port}", "null"):
        for method, path in (
            ("GET", "/prompt"), ("POST", "/queue"), ("OPTIONS", "/prompt"), ("OPTIONS", "/nothing"),
            ("GET", "/nothing"), ("GET", "/"), ("POST", "/nothing"), ("DELETE", "/prompt"), ("PATCH", "/prompt"),
            ("GET", "/history?max_items=x"), ("HEAD", "/queue"), ("GET", "/internal/files/nope"),
        ):  # fmt: skip
            talk.ask(path, method, b"{}" if method == "POST" else b"", "nothing", Origin=origin)
        headers = (("Origin", origin), *routes.UPGRADE)
        talk.send(Ask("", "/ws", headers=headers, look="nothing"))
    talk.ask("/prompt", "OPTIONS", Origin="http://x", Access_Control_Request_Method="PUT")


def large_bodies(talk: Talk) -> None:
    """Bodies up to the limit and beyond it; the server goes on."""
    limit = round(MEBIBYTES * 1024 * 1024)
    talk.ask("/features")
    for size in (limit - 1, limit, limit + 1, 2 * limit):
        for path in ("/prompt", "/settings", "/queue", "/interrupt", "/api/prompt"):
            head = b'{"pad": "'
            talk.ask(path, "POST", head + b"x" * (size - len(head) - 2) + b'"}')
        for spare in (0, 400):
            body, headers = form(("image", f"large{size}.bin", b"x" * (size - spare)))
            talk.send(Ask("", "/upload/image", "POST", body, headers))
        talk.ask("/prompt")


def several_users(talk: Talk) -> None:
    """Users are made, and each has settings and files of their own."""
    talk.ask("/users")
    names: tuple[Any, ...] = ("Ada", "Ada", " Ada ", "Bob B", "ä/b\\c.d", "", " ", "default", "../x", "_", "Ada_", 5)
    made = [talk.ask("/users", "POST", json.dumps({"username": name}).encode()) for name in (*names, None, ["x"])]
    for body in (b"{}", b"{", b"[]", b'{"username": "' + b"n" * 100 + b'"}'):
        talk.ask("/users", "POST", body)
    talk.ask("/users")
    ada, bob = made[0], made[3]
    for user in (ada, bob, "unknown", "", "default", "Ada", "../x", None):
        headers = {} if user is None else {"comfy_user": user}
        for path, method, body in (
            ("/settings", "GET", b""), ("/settings/a", "POST", json.dumps(user).encode()), ("/settings/a", "GET", b""),
            ("/settings", "POST", b'{"b": 1}'), ("/settings", "GET", b""), ("/userdata?dir=.", "GET", b""),
            ("/userdata?dir=nope", "GET", b""), ("/userdata?dir=../..", "GET", b""), ("/userdata", "GET", b""),
            ("/userdata/w%2Fa.json", "POST", b"{}"), ("/userdata/w%2Fa.json", "GET", b""),
            ("/userdata/w%2Fa.json?overwrite=false", "POST", b"{}"), ("/userdata/..%2Fusers.json", "GET", b""),
            ("/userdata/w%2Fa.json/move/w%2Fb.json", "POST", b""), ("/userdata?dir=w&recurse=true", "GET", b""),
            ("/userdata/w%2Fb.json", "DELETE", b""), ("/userdata/w%2Fb.json", "GET", b""),
            ("/v2/userdata?path=nope", "GET", b""), ("/v2/userdata?path=../..", "GET", b""),
        ):  # fmt: skip
            talk.ask(path, method, body, **headers)
        talk.ask("/v2/userdata", look="keys", **headers)
    # What one wrote, the other does not see.
    talk.ask("/userdata/own.txt", "POST", b"of ada", comfy_user=ada)
    for user in (ada, bob):
        for path in ("/userdata/own.txt", "/settings", "/userdata?dir=.", f"/userdata/..%2F{ada}%2Fown.txt"):
            talk.ask(path, comfy_user=user)


def metadata(talk: Talk) -> None:
    """What saved and shown pictures contain about how they were made."""
    savers: dict[str, dict[str, Any]] = {
        "SaveImage": {"filename_prefix": "meta"},
        "PreviewImage": {},
        "SaveAnimatedPNG": {"filename_prefix": "meta", "fps": 6.0, "compress_level": 4},
        "SaveAnimatedWEBP": {
            "filename_prefix": "meta", "fps": 6.0, "lossless": True, "quality": 80, "method": "default"
        },
    }  # fmt: skip
    for number, (name, inputs) in enumerate(savers.items()):
        graph: Graph = {
            "1": {
                "class_type": "EmptyImage",
                "inputs": {"width": 8, "height": 8, "batch_size": 2, "color": 830 + number},
            },
            "2": {"class_type": name, "inputs": {"images": ["1", 0], **inputs}},
        }
        record = talk.run(graph, extra_data={"extra_pnginfo": {"workflow": {"made": number}}})
        for reference in record["outputs"]["2"]["images"]:
            query = "&".join(f"{key}={value}" for key, value in reference.items())
            content = talk.server.request(f"/view?{query}")
            with Image.open(io.BytesIO(content)) as picture:
                exif = {key: str(value) for key, value in picture.getexif().items()}
                found = {key: value for key, value in picture.info.items() if isinstance(value, str | int)}
            talk.note(name, [b"comf" in content, exif, found])


def hosts(talk: Talk) -> None:
    """Which host may be asked by which origin's pages."""
    named = [
        f"127.0.0.1:{talk.port}",
        "127.0.0.1",
        f"localhost:{talk.port}",
        "localhost",
        f"[::1]:{talk.port}",
        "[::1]",
    ]
    named += ["127.1.2.3", f"LOCALHOST:{talk.port}", "evil.invalid", "10.1.2.3", "10.1.2.3:80", "0.0.0.0", "[::]"]
    origins = [f"http://{name}" for name in (*named, "127.0.0.1:1", "localhost:1")]
    origins += [
        f"https://127.0.0.1:{talk.port}",
        "null",
        "file://",
        "chrome-extension://abc",
        "127.0.0.1",
        "",
        "http://",
    ]
    for host in named:
        for origin in origins:
            talk.ask("/prompt", look="nothing", Host=host, Origin=origin)
        talk.ask("/prompt", look="nothing", Host=host)


def addresses(talk: Talk) -> None:
    """Where the server can be reached."""
    for address in ("127.0.0.1", "[::1]", "127.0.0.2"):
        found: Any = "refused"
        with contextlib.suppress(OSError):
            found = Server(f"http://{address}:{talk.port}").send("/prompt")[0]
        talk.note(address, found)


def offline(talk: Talk) -> None:
    """The policy that keeps pages from other hosts, where answers have it; and feature flags."""
    for method in ("GET", "POST", "OPTIONS", "HEAD"):
        for path in (
            "/",
            "/prompt",
            "/nothing",
            "/nothing.png",
            "/internal/logs",
            "/history?max_items=x",
            "/api/assets",
        ):
            talk.ask(path, method, look="nothing")
    talk.ask("/prompt", look="nothing", Origin="http://evil.example")
    talk.ask("/prompt", look="nothing", Sec_Fetch_Site="cross-site")
    talk.ask("/features")


def scripts(talk: Talk) -> None:
    """Scripts of packs, which ``pyproject.toml`` names."""
    _, body = talk.server.send("/extensions")
    talk.note("/extensions", sorted(name for name in json.loads(body) if "parity" in name))
    for path in ("one.js", "deeper/two.js", "nope.js", "", "../__init__.py", "..%2f__init__.py"):
        for pack in ("parity-scripts", "parity_schema"):
            talk.ask(f"/extensions/{pack}/{path}", look="nothing" if not path else "all")


class Setting(NamedTuple):
    """A command line, and what is looked at under it. With ``samples``, the pictures are uploaded first."""

    flags: tuple[str, ...]
    talks: tuple[Callable[[Talk], None], ...]
    scenarios: tuple[str, ...] = ()
    samples: bool = False


SETTINGS = (
    Setting(
        ("--enable-compress-response-body", "--enable-cors-header", "--cache-classic"),
        (compression, foreign, scripts, metadata),
        SCENARIOS,
        samples=True,
    ),
    Setting(
        (*USERS, "--enable-cors-header", "http://some.example"),
        (several_users, large_bodies, metadata, foreign),
        SCENARIOS,
    ),
    Setting(("--cache-lru", "3", "--listen", "127.0.0.1,::1"), (hosts, addresses), SCENARIOS),
    Setting(("--cache-lru", "100", "--listen"), (addresses,), SCENARIOS),
    Setting((*OFFLINE, "--cache-classic"), (offline,)),
    Setting(("--cache-ram", "0", "0"), (), SCENARIOS),
    Setting(("--cache-ram", "1000"), (), SCENARIOS),
)


@contextlib.contextmanager
def both(path: Path, python: Path | None, setting: Setting) -> Iterator[tuple[Server, Server]]:
    """Both servers under the same command line."""
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(servers.emulator(*setting.flags))
        theirs = stack.enter_context(servers.comfyui(path, python, *setting.flags))
        for name, content in pictures().items() if setting.samples else ():
            ours.upload(name, content)
            theirs.upload(name, content)
        yield ours, theirs


def relevant(function: Callable[[Talk], None], flags: Sequence[str]) -> str:
    """The name of a talk with the flag that it is about."""
    flag = {
        compression: "--enable-compress-response-body", foreign: "--enable-cors-header",
        large_bodies: "--max-upload-size", several_users: "--multi-user", metadata: "--disable-metadata",
        addresses: "--listen", offline: "--disable-api-nodes",
    }.get(function)  # fmt: skip
    name = function.__name__.replace("_", " ")
    if flag not in flags:
        return name
    given = list(flags[flags.index(flag) : flags.index(flag) + 2])
    return f"{name}: {' '.join(given[:1] if given[-1].startswith('--') else given)}"


def conversation(row: Row, function: Callable[[Talk], None], ours: Server, theirs: Server) -> None:
    """One talk with both servers."""
    talks = Talk(ours), Talk(theirs)
    for talk in talks:
        function(talk)
    for (about, mine), (_, yours) in zip(talks[0].told, talks[1].told, strict=True):
        note = first_difference(mine, yours)
        if note is None:
            row.add(0)
        else:
            row.differs(f"{about}\n    {note}")


def compare(path: Path, python: Path | None, chosen: Sequence[int] = ()) -> dict[str, Row]:
    """Both servers under every command line (or those of these numbers); a row for each talk and for each cache."""
    rows: dict[str, Row] = {}
    for number, setting in enumerate(SETTINGS):
        if chosen and number not in chosen:
            continue
        with both(path, python, setting) as (ours, theirs):
            for function in setting.talks:
                row = rows.setdefault(relevant(function, setting.flags), Row())
                conversation(row, function, ours, theirs)
            if not setting.scenarios:
                continue
            with SetOrder(python or servers.own_python(path), ours.output_classes()) as order:
                found = asyncio.run(sequences.compare((ours.url, theirs.url), setting.scenarios, order))
            cache = setting.flags[next(k for k, flag in enumerate(setting.flags) if flag.startswith("--cache")) :]
            name = "messages: " + " ".join(cache[: 2 if cache[0] == "--cache-lru" else 1])
            row = rows.setdefault(name, Row())
            for each in found.values():
                row.cases, row.equal = row.cases + each.cases, row.equal + each.equal
                row.largest = max(row.largest, each.largest)
                row.notes += each.notes
    return rows
