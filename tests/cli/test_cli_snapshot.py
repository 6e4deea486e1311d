"""``discomfort snapshot``: what it writes, and that ``discomfort serve`` takes it."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cli.served import served

from comfyui_emulator.server import read_object_info
from discomfort.cli import main

DEFINITIONS: dict[str, Any] = {
    "Zebra": {
        "input": {"required": {"n": ["INT", {"default": 1, "max": 18446744073709551615}]}},
        "output": [],
        "name": "Zebra",
    },
    "Ärger": {"input": {}, "output": [], "name": "Ärger"},
}
STATS = {"system": {"comfyui_version": "9.9.9", "required_frontend_version": "1.2.3"}, "devices": []}


class Server:
    """Answers with what it is told to, and keeps the headers that came."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"/object_info": DEFINITIONS, "/system_stats": STATS}
        self.headers: list[str | None] = []
        self.url = ""

    def app(self) -> web.Application:
        """The application."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        self.headers.append(request.headers.get("Authorization"))
        answer = self.answers.get(request.path)
        if isinstance(answer, int):
            return web.Response(status=answer)
        if isinstance(answer, str):
            return web.Response(text=answer)
        return web.json_response(answer)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server with two node classes."""
    made = Server()
    with served(made.app) as made.url:
        yield made


@pytest.mark.parametrize("name", ["info.json", "deep/er/info.json.gz"])
def test_writes_what_serve_reads(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """The file holds the definitions in the server's order, plain or gzipped by its name, and is named on stdout."""
    target = tmp_path / name

    assert main(["snapshot", server.url, "-o", str(target)]) == 0

    assert list(read_object_info(target).items()) == list(DEFINITIONS.items())
    assert target.read_bytes().startswith(b"\x1f\x8b") is name.endswith(".gz")
    told = capsys.readouterr()
    assert told.out == f"{target}\n"
    assert "2 node classes of ComfyUI 9.9.9, frontend 1.2.3" in told.err
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_equal_definitions_are_equal_files(server: Server, tmp_path: Path) -> None:
    """A file that is committed changes only when the definitions do."""
    first, second = tmp_path / "a.json.gz", tmp_path / "b.json.gz"

    assert [main(["snapshot", server.url, "-q", "-o", str(path)]) for path in (first, second)] == [0, 0]

    assert first.read_bytes() == second.read_bytes()


def test_stdout(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a file, and with -, the JSON goes to stdout, plain."""
    assert main(["snapshot", server.url, "-q"]) == 0
    bare = capsys.readouterr()
    assert main(["snapshot", server.url, "-q", "-o", "-"]) == 0

    assert json.loads(bare.out) == DEFINITIONS
    assert bare.err == ""
    assert capsys.readouterr().out == bare.out


def test_a_file_that_is_there(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It stays, and the server is not asked, unless --force is given."""
    target = tmp_path / "info.json"
    target.write_text("mine")

    assert main(["snapshot", server.url, "-o", str(target)]) == 2
    assert target.read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    assert server.headers == []

    assert main(["snapshot", server.url, "-f", "-o", str(target)]) == 0
    assert read_object_info(target) == DEFINITIONS


def test_headers(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Headers go with every request, also those that stand for credentials in the URL; neither is shown."""
    address = server.url.replace("http://", "http://me:geheim@")

    assert main(["snapshot", server.url, "--header", "Authorization: Bearer geheim", "-v", "-o", "-"]) == 0
    assert main(["snapshot", address, "-v", "-o", str(tmp_path / "x.json")]) == 0

    assert server.headers == ["Bearer geheim"] * 2 + ["Basic bWU6Z2VoZWlt"] * 2
    assert "geheim" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (404, "answered 404: not found"),
        (401, "not authorized; pass the credentials as headers"),
        ("<html>", "the answer is not JSON"),
        ([1], "the answer is not a JSON object"),
        ({}, "this is not ComfyUI: it has no node definitions"),
        ({"status": "ok"}, "this is not ComfyUI: 'status' is not a node definition"),
    ],
)
def test_not_comfyui(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: Any, told: str
) -> None:
    """What answers, but not as ComfyUI does, is named, and no file is left."""
    server.answers["/object_info"] = answer

    assert main(["snapshot", server.url, "-o", str(tmp_path / "x.json")]) == 1

    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_versions_are_no_condition(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """A server, or a proxy before it, that keeps its statistics to itself is snapshot all the same."""
    server.answers["/system_stats"] = 403

    assert main(["snapshot", server.url]) == 0
    assert "2 node classes\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("http://127.0.0.1:1", 1, "http://127.0.0.1:1: cannot connect"),
        ("http://", 2, "a server's address"),
        ("ftp://host", 2, "a server's address"),
        ("http://host:port", 2, "a server's address"),
    ],
)
def test_no_server(capsys: pytest.CaptureFixture[str], url: str, code: int, told: str) -> None:
    """Nothing there is a failure; an address that cannot be one is bad usage."""
    assert main(["snapshot", url]) == code
    assert told in capsys.readouterr().err


def test_folders(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder in the place of the file is told before the server is asked."""
    assert main(["snapshot", server.url, "-o", str(tmp_path)]) == 2

    assert "is a folder; name a file" in capsys.readouterr().err
    assert server.headers == []


def test_served_again(server: Server, tmp_path: Path) -> None:
    """An emulator on the snapshot and another frontend folder serves both as they are."""
    target, front = tmp_path / "info.json.gz", tmp_path / "front"
    front.mkdir()
    (front / "index.html").write_text("<p>mine</p>")
    assert main(["snapshot", server.url, "-q", "-o", str(target)]) == 0
    words = [sys.executable, "-m", "discomfort", "serve", "--port", "0", "--base-directory", str(tmp_path / "base")]
    words += ["--object-info", str(target), "--front-end-root", str(front)]

    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env={**os.environ}) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "To see the GUI go to: " in line)
            url = line.rpartition(" ")[2].strip()
            assert main(["snapshot", url, "-q", "-o", str(tmp_path / "again.json")]) == 0
            page = asyncio.run(_page(url))
        finally:
            process.terminate()

    served = read_object_info(tmp_path / "again.json")
    assert served["Zebra"] == DEFINITIONS["Zebra"]
    assert "EmptyImage" in served
    assert page == "<p>mine</p>"
    assert gzip.decompress(target.read_bytes()).endswith(b"}\n")


async def _page(url: str) -> str:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()
