"""No shell, loopback only, no secrets in what is shown, and bounds on what a server may send."""

from __future__ import annotations

import ast
import logging
import secrets
from pathlib import Path

import pytest
from unit.client.fake_comfy import DEFINITIONS, FakeComfy, tiny_prompt

from comfyui_emulator.flags import parser
from discomfort import _json
from discomfort._system.server_command import ServerCommand
from discomfort.cli.connect import ServerTarget
from discomfort.client import multiplexer, rest
from discomfort.client.comfy import ComfyClient
from discomfort.client.protocol import decode_text
from discomfort.config import load_settings
from discomfort.connector.resources import Resources
from discomfort.exceptions import ConfigurationError, ServerResponseError

ROOT = Path(__file__).parents[3]
PACKAGES = ("discomfort", "comfyui_emulator", "comfyui_conformance")
_SHELLS = {
    "os.system", "os.popen", "os.spawnl", "os.spawnv", "os.posix_spawn", "subprocess.getoutput",
    "subprocess.getstatusoutput", "asyncio.create_subprocess_shell", "create_subprocess_shell", "pty.spawn",
}  # fmt: skip
_EVALUATION = {"eval", "exec", "pickle.loads", "pickle.load", "marshal.loads", "yaml.load", "__import__"}


def _calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


def _is_shell(call: ast.Call) -> bool:
    shell = next((k.value for k in call.keywords if k.arg == "shell"), None)
    is_true = shell is not None and not (isinstance(shell, ast.Constant) and shell.value is False)
    return is_true or ast.unparse(call.func) in _SHELLS


def test_no_shell_and_no_evaluation() -> None:
    """Nothing is given to a shell, and no text or bytes are evaluated or unpickled."""
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for call in _calls(path)
        if _is_shell(call) or ast.unparse(call.func) in _EVALUATION
    ]
    assert found == []


@pytest.mark.parametrize("text", ["subprocess.run('x', shell=True)", "os.system('x')", "run(x, shell=flag)"])
def test_the_check_would_notice(text: str) -> None:
    """Each of these is found."""
    (statement,) = ast.parse(text).body

    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Call)
    assert _is_shell(statement.value)


def test_loopback_unless_told_otherwise(tmp_path: Path) -> None:
    """The emulator listens on loopback by default, and a started server is given no other address."""
    assert parser().parse_args([]).listen == "127.0.0.1"
    settings = load_settings(engine="emulator", emulator_directory=tmp_path)
    from discomfort.connector.resources import engine_request
    from discomfort.discovery.engines import resolve_engine

    engine = resolve_engine(engine_request(settings))
    argv = engine.command(1).argv
    engine.discard()
    assert settings.connect_host == "127.0.0.1"
    assert not any("0.0.0.0" in word for word in argv)
    assert argv[argv.index("--host") + 1] == "127.0.0.1"


async def test_nothing_shows_the_headers() -> None:
    """No repr of what holds headers or an environment has their values."""
    secret = secrets.token_hex(8)
    headers = {"Authorization": f"Bearer {secret}"}
    client = ComfyClient("http://127.0.0.1:9", headers=headers)
    parts = Resources(load_settings(), attach_url="http://127.0.0.1:9", headers=headers)
    shown = [
        client,
        parts,
        parts.get_converter(),
        ServerTarget(headers=headers),
        ServerCommand(("x",), Path("/"), headers),
    ]

    assert [thing for thing in map(repr, shown) if secret in thing] == []


async def test_secrets_reach_no_log_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """Header and API key go to the server, and appear in no log record at any level and in no error."""
    caplog.set_level(logging.DEBUG)
    secret, key = secrets.token_hex(8), secrets.token_hex(8)
    server = FakeComfy()
    await server.start()
    client = ComfyClient(server.url, headers={"X-Token": secret})
    await client.open()
    try:
        server.definitions = []
        with pytest.raises(ServerResponseError) as caught:
            await client.definitions()
        server.definitions = DEFINITIONS
        await client.run(tiny_prompt(), extra_data={"api_key_comfy_org": key})
        await client.refresh_socket()
    finally:
        await client.aclose()
        await server.close()

    assert any(headers.get("X-Token") == secret for headers in server.headers)
    assert server.bodies("/prompt")[0]["extra_data"] == {"api_key_comfy_org": key}
    words = caplog.text + str(caught.value) + repr(caught.value)
    assert secret not in words
    assert key not in words


async def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer without end is given up at the limit, as a typed error."""
    monkeypatch.setattr(rest, "LARGEST_ANSWER", 1000)
    server = FakeComfy()
    await server.start()
    client = ComfyClient(server.url)
    await client.open()
    try:
        server.definitions = {"A": "x" * 2000}
        with pytest.raises(ServerResponseError, match="larger than"):
            await client.definitions()
    finally:
        await client.aclose()
        await server.close()
    assert multiplexer.LARGEST_FRAME == 256 << 20


def test_a_wrong_setting_does_not_show_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message of a configuration error names key and source; what looks like a secret is not in it."""
    monkeypatch.setenv("DISCOMFORT_API_COMMAND_LINE", "python3 'main.py --api-token hunter2")

    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    with pytest.raises(ConfigurationError) as unknown:
        load_settings(api_token="hunter2")

    assert "hunter2" not in str(caught.value) + str(unknown.value)
    assert "API_COMMAND_LINE" in str(caught.value)


def test_depth_is_bounded() -> None:
    """JSON that is nested too deep is refused, or dropped where it came on the socket; nothing overflows."""
    deep = "[" * 200_000 + "]" * 200_000

    with pytest.raises((ValueError, RecursionError)):
        _json.loads(deep)
    assert decode_text('{"type": "executing", "data": {"prompt_id": "a", "x": ' + deep + "}}") is None
