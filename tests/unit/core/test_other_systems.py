"""A system without ``fcntl`` and ``/proc``: the library imports, attaches, runs and saves; it owns no server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discomfort._system import locks, process_table, system_support
from discomfort.testing.emulated import EmulatorServer

ROOT = Path(__file__).parents[3]

BARE = """
import asyncio, builtins, importlib, json, os, pkgutil, sys

sys.modules["fcntl"] = None  # its import fails

def without_proc(call):
    def refusing(path=".", *args, **options):
        if isinstance(path, (str, os.PathLike)) and (os.fspath(path) + "/").startswith("/proc/"):
            raise FileNotFoundError(2, "No such file or directory", path)
        return call(path, *args, **options)
    return refusing

builtins.open = without_proc(open)
for name in ("open", "listdir", "scandir", "stat", "lstat", "readlink"):
    setattr(os, name, without_proc(getattr(os, name)))
for name in ("waitid", "pidfd_open", "copy_file_range", "sendfile", "fork", "register_at_fork"):
    delattr(os, name)
"""

EVERYTHING = """
import discomfort
for module in pkgutil.walk_packages(discomfort.__path__, "discomfort."):
    if not module.name.startswith(("discomfort.testing", "discomfort.emulator")) and "__main__" not in module.name:
        importlib.import_module(module.name)
print(json.dumps(sorted(name for name in sys.modules if name.startswith("discomfort."))))
"""

ATTACHED = """
from discomfort import ComfyConnector

async def main():
    connector = await ComfyConnector.attach(sys.argv[1], browser="lazy")
    try:
        uploaded = connector.upload_data(sys.argv[3])
        prompt = {
            "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 255}},
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "bare"}},
        }
        history = await connector.run_workflow(prompt, False)
        saved = [str(await output.save(sys.argv[2])) for output in connector.outputs(history)]
        print(json.dumps({"saved": saved, "uploaded": uploaded}))
    finally:
        await connector.kill_api()

asyncio.run(main())
"""

OWNED = """
from discomfort import ComfyConnector, ServerStartError

async def main():
    try:
        await ComfyConnector.create(engine="emulator", browser="lazy")
    except ServerStartError as error:
        print(json.dumps({"problem": error.problem, "remedy": error.remedy}))

asyncio.run(main())
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmulatorServer]:
    """An emulator on this system, for a program that runs on the bare one."""
    with EmulatorServer(tmp_path / "server") as started:
        yield started


def on_bare_system(tmp_path: Path, code: str, *arguments: str) -> Any:
    """The JSON that ``code`` prints in a new process that finds neither module nor folder."""
    done = subprocess.run(
        [sys.executable, "-c", BARE + code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_everything_imports(tmp_path: Path) -> None:
    """Each module of the library, lazy ones included."""
    assert "discomfort.files.store" in on_bare_system(tmp_path, EVERYTHING)


def test_attached_runs_work(server: EmulatorServer, tmp_path: Path) -> None:
    """A run, an upload and an output's file."""
    (tmp_path / "given.txt").write_text("given")
    told = on_bare_system(tmp_path, ATTACHED, server.url, str(tmp_path / "out"), str(tmp_path / "given.txt"))

    (saved,) = told["saved"]
    assert Path(saved).read_bytes().startswith(b"\x89PNG")
    assert (server.folders.input / "given.txt").read_text() == "given"


def test_owning_says_why_not(tmp_path: Path) -> None:
    """A typed error with the reason and a way out; nothing was started or made for a server."""
    told = on_bare_system(tmp_path, OWNED)

    assert "no server can be started and owned here" in told["problem"]
    assert "no fcntl" in told["problem"]
    assert "ComfyConnector.attach" in told["remedy"]


@pytest.mark.parametrize(
    ("owner", "name", "value", "reason"),
    [
        (sys, "platform", "darwin", "needs Linux, and this is darwin"),
        (locks, "AVAILABLE", False, "no file locks"),
        (process_table, "_read", None, "/proc cannot be read"),
    ],
)
def test_each_obstacle_is_named(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, value: object, reason: str
) -> None:
    """What Linux, locks and /proc each stand for is missing without it; with all of them nothing is."""
    assert system_support.obstacle() == ""

    def unreadable(path: str) -> bytes:
        raise PermissionError(path)

    monkeypatch.setattr(owner, name, unreadable if value is None else value)
    assert reason in system_support.obstacle()
