"""The bundle for a report: complete, JSON, and without secrets."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from discomfort.config import load_settings
from discomfort.connector.diagnostics import collect, frontend_version, process_facts, server_facts
from discomfort.connector.event_log import EventLog
from discomfort.connector.recovery import Recovery, RestartBudget
from discomfort.connector.resources import Resources
from discomfort.connector.states import Lifecycle, State
from discomfort.exceptions import ServerConnectionError, ServerDiedError
from discomfort.server_features import ServerFeatures, server_features

SECTIONS = {
    "made", "versions", "state", "settings", "engine", "server", "processes", "browser", "connections", "runs",
    "events", "log", "disks",
}  # fmt: skip


def bundle(parts: Resources, server: dict[str, Any] | None = None) -> Any:
    """What a connector with these parts would tell."""
    lifecycle, chronicle = Lifecycle(), EventLog()
    lifecycle.to(State.INITIALIZING, "why not")
    recovery = Recovery("restart", RestartBudget(3), start=nothing, spawn=lambda w, n: asyncio.ensure_future(w),
                        events=chronicle)  # fmt: skip
    recovery.note(ServerDiedError("it died", log_tail=["Authorization: Bearer abcdefghijk"]))
    return collect(parts, lifecycle, recovery, chronicle, server or {})


async def nothing() -> None:
    """Start nothing."""


async def test_before_any_start() -> None:
    """A connector that holds nothing yet can be reported on too."""
    found = bundle(Resources(load_settings()))

    assert set(found) == SECTIONS
    assert found["state"]["state"] == "initializing"
    assert found["state"]["transitions"][0]["reason"] == "why not"
    assert found["events"][0]["kind"] == "server lost"
    assert found["settings"]["initial_port"] == {"value": 8188, "source": "default"}
    assert found["processes"][0]["pid"] == os.getpid()
    assert found["versions"]["python"]
    assert found["disks"][0]["free"] > 0
    assert "abcdefghijk" not in json.dumps(found)
    assert found["engine"] == {"kind": None}
    assert found["browser"] == {"is_running": False}
    assert found["connections"] == {"is_open": False}
    assert found["runs"] == found["log"] == []


async def test_with_everything_there(tmp_path: Path) -> None:
    """Engine, browser, connection and runs are told as they are."""
    folders = {name: tmp_path / name for name in ("base", "input", "output", "temp", "models")}
    parts: Any = Resources(load_settings())
    parts.engine = SimpleNamespace(
        kind="emulator",
        reason="it was asked for",
        argv=["python3", "-m", "discomfort"],
        cwd=tmp_path,
        python="python3",
        folders=SimpleNamespace(**folders),
        front_end_root=None,
    )
    parts.converter = SimpleNamespace(healthy=True, counts={"paths": {"browser": 2}})
    parts.client = SimpleNamespace(connected=True, runs=[SimpleNamespace(prompt_id="p", stage="queued")])

    found = bundle(parts)

    assert found["engine"] == {
        "kind": "emulator",
        "reason": "it was asked for",
        "command": ["python3", "-m", "discomfort"],
        "cwd": str(tmp_path),
        "python": "python3",
        "folders": {name: str(path) for name, path in folders.items()},
        "url": parts.url,
        "contexts": None,
    }
    assert found["browser"]["conversions"] == {"paths": {"browser": 2}}
    assert found["connections"]["socket_connected"] is True
    assert found["runs"] == [{"prompt_id": "p", "stage": "queued"}]
    assert str(folders["output"]) in {disk["path"] for disk in found["disks"]}


async def test_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers, the environment, tokens on command lines and in settings are not in it, wherever they were echoed."""
    header, token, variable = (secrets.token_hex(8) for _ in range(3))
    monkeypatch.setenv("MY_OWN_SECRET", variable)
    settings = load_settings(api_command_line=f"python3 main.py --api-token {token}")
    parts = Resources(settings, attach_url="http://127.0.0.1:9", headers={"X-Proxy": header})
    parts.supervisor = SimpleNamespace(  # type: ignore[assignment]
        pid=os.getpid(), log_tail=lambda count: (f"the proxy sent {header}", f"--api-token={token}")
    )

    text = json.dumps(bundle(parts, {"system": {"argv": ["main.py"], "echo": header}}))

    assert "python3 main.py --api-token ***" in text
    assert [secret for secret in (header, token, variable) if secret in text] == []
    assert '"headers": 1' in text


async def test_a_section_that_fails_is_told() -> None:
    """What cannot be collected has its reason in its place, and the rest is there."""
    parts = Resources(load_settings())
    parts.supervisor = SimpleNamespace(pid=os.getpid())  # type: ignore[assignment]

    found = bundle(parts)

    assert found["log"]["problem"].startswith("AttributeError")
    assert set(found) == SECTIONS


def test_process_facts() -> None:
    """A process in numbers; one that is gone says so."""
    facts = process_facts(os.getpid(), "this")
    assert facts["rss"] > 0
    assert facts["open_files"] > 0
    assert facts["started"] < facts["started"].replace(facts["started"][:4], "9999")

    assert "NoSuchProcess" in process_facts(4194304, "gone")["problem"]


async def test_server_facts() -> None:
    """The server's own words, with its command line cleaned; a server that does not answer is a problem told."""
    answers: list[Any] = [
        {"system": {"comfyui_version": "0.3.64", "argv": ["main.py", "--token", "abcdef"]}, "devices": []},
        {"odd": 1},
        ServerConnectionError("silent", url="http://x"),
    ]

    async def system_stats(**_: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def features() -> ServerFeatures:
        return server_features({"system": {"comfyui_version": "0.33.0"}}, {})

    rest = SimpleNamespace(system_stats=system_stats)
    parts: Any = SimpleNamespace(client=SimpleNamespace(rest=rest, features=features))
    found = await server_facts(parts)
    assert found["system"] == {"comfyui_version": "0.3.64", "argv": ["main.py", "--token", "***"]}
    assert found["features"]["facts"]["job_cancel"] is True
    assert await server_facts(parts) == {"system": {}, "devices": None, "features": found["features"]}
    assert "silent" in (await server_facts(parts))["problem"]
    parts.client = None
    assert await server_facts(parts) == {"problem": "not connected"}


def test_frontend_version(tmp_path: Path) -> None:
    """It is read from the package's metadata beside the files."""
    (tmp_path / "comfyui_frontend_package-1.27.10.dist-info").mkdir()
    root = tmp_path / "comfyui_frontend_package" / "static"

    assert frontend_version(root) == "1.27.10"
    assert frontend_version(tmp_path / "a" / "b" / "c") is None
    assert frontend_version(None) is None


def test_the_ring_is_bounded() -> None:
    """Old events go, long texts are cut."""
    chronicle = EventLog()
    for number in range(300):
        chronicle.note("x", number=number, text="y" * 1000)

    events = chronicle.events

    assert [event["number"] for event in events] == list(range(100, 300))
    assert len(events[0]["text"]) == 500


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_events_are_read_while_threads_note_them() -> None:
    """Every reading is of one moment: the last 200 at most, those of each thread without a gap."""
    log, readings = EventLog(), list[list[Any]]()

    def write(thread: int) -> None:
        for number in range(1000):
            log.note("x", thread=thread, number=number)

    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(write, thread) for thread in range(4)]
        while not all(each.done() for each in work):
            readings.append(log.events)
        for each in work:
            each.result()
    readings.append(log.events)
    for events in readings:
        for thread in range(4):
            numbers = [event["number"] for event in events if event["thread"] == thread]
            assert numbers == list(range(min(numbers, default=0), max(numbers, default=-1) + 1))
    assert max(len(events) for events in readings) == 200
