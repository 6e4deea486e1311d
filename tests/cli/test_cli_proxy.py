"""``--proxy``: the commands that take a running server reach it through the proxy alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from cli.fakes_cli import workflow, write
from cli.served import served

from discomfort.cli import main

ADDRESS = "http://comfyui.invalid"
"""A server that no resolver knows."""
DEFINITIONS = {"Zebra": {"input": {}, "output": [], "name": "Zebra"}}
CREDENTIALS = "Basic " + base64.b64encode(b"me:s3cret").decode()


class Proxy:
    """Answers requests for a server itself, and keeps their hosts and what authorises them."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str | None]] = set()
        self.url = ""

    def app(self) -> web.Application:
        """The application."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    @property
    def url_with_password(self) -> str:
        """The proxy as a user of it writes it."""
        return self.url.replace("http://", "http://me:s3cret@")

    async def _answer(self, request: web.Request) -> web.Response:
        self.seen.add((request.host, request.headers.get("Proxy-Authorization")))
        return web.json_response(DEFINITIONS) if request.path == "/object_info" else web.Response(status=404)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy with a password."""
    made = Proxy()
    with served(made.app) as made.url:
        yield made


def test_snapshot_through_a_proxy(proxy: Proxy, capsys: pytest.CaptureFixture[str]) -> None:
    """The definitions come through it, and its password is sent and not shown."""
    assert main(["snapshot", ADDRESS, "--proxy", proxy.url_with_password, "-v"]) == 0

    shown = capsys.readouterr()
    assert json.loads(shown.out) == DEFINITIONS
    assert "s3cret" not in shown.err
    assert proxy.seen == {("comfyui.invalid", CREDENTIALS)}


@pytest.mark.parametrize("command", ["run", "convert", "explain"])
def test_attached_through_a_proxy(
    command: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server there is not ComfyUI: the error names the server, and only the proxy was asked."""
    monkeypatch.setenv("DISCOMFORT_BROWSER", "lazy")
    monkeypatch.chdir(tmp_path)
    write(Path("a.json"), workflow("Zebra"))

    assert main([command, "a.json", "--attach", ADDRESS, "--proxy", proxy.url_with_password]) != 0

    shown = "".join(capsys.readouterr())
    assert ADDRESS in shown
    assert "s3cret" not in shown
    assert proxy.seen == {("comfyui.invalid", CREDENTIALS)}


@pytest.mark.parametrize("words", [["run", "a.json", "--attach", ADDRESS], ["snapshot", ADDRESS]])
def test_other_proxies_are_refused(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only HTTP proxies are supported; the value, which may contain a password, is not shown."""
    monkeypatch.chdir(tmp_path)
    write(Path("a.json"), workflow("Zebra"))

    assert main([*words, "--proxy", "socks5://me:s3cret@x"]) == 2

    shown = capsys.readouterr().err
    assert "must be an http URL" in shown
    assert "s3cret" not in shown
