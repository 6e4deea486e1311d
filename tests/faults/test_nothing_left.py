"""Nothing is left after shutdown, after a failed start at any stage, after a start that was cancelled anywhere."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contract.engines import EngineUnderTest
from contract.graphs import node, picture_workflow, record_of, show_prompt, texts_of
from faults.conftest import PORT
from faults.traces import Trace
from waiting import until

from discomfort import ComfyConnector
from discomfort.client.comfy import ComfyClient
from discomfort.client.runs import Limits
from discomfort.connector.resources import Resources
from discomfort.conversion import Converter
from discomfort.exceptions import (
    BrowserError,
    ConfigurationError,
    SelfTestError,
    ServerConnectionError,
    ServerStartError,
    ServerStartTimeout,
)
from discomfort.server.supervisor import Supervisor

FAKE = Path(__file__).with_name("fake_server.py")


def fake(*options: str) -> dict[str, Any]:
    """Settings for a command line that misbehaves."""
    command = shlex.join([sys.executable, str(FAKE), *options])
    return {"engine": "comfyui", "api_command_line": command, "comfyui_path": None, "initial_port": PORT}


async def works_again(engine: EngineUnderTest) -> bool:
    """Whether a sound start works now."""
    async with await ComfyConnector.create(**{**engine.settings, "browser": "lazy"}) as connector:
        return texts_of(await connector.run_workflow(show_prompt(1), False)) == ["1"]


@pytest.mark.browser
async def test_after_kill_api(any_engine: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """Server, browser, driver, watchdog, ephemeral uploads, temporary folders, port: all gone when it returns."""
    connector = await ComfyConnector.create(**any_engine.settings)
    trace.note_port(connector.server_address)
    history = await connector.run_workflow(picture_workflow())
    assert record_of(history)["status"]["completed"] is True
    source = tmp_path / "upload.bin"
    source.write_bytes(b"x")
    uploaded = Path(connector.upload_data(source, subfolder="ephemeral", is_ephemeral=True))
    uploaded_temp = Path(connector.upload_data(source, "temp", is_ephemeral=True))
    names = {process.name() for process in trace.record()}
    assert len(names) >= 3, names

    await connector.kill_api()

    assert not uploaded.exists()
    assert not uploaded.parent.exists()
    assert not uploaded_temp.exists()
    assert trace.left() == []


@pytest.mark.browser
async def test_nothing_grows_from_one_life_to_the_next(emulator: EngineUnderTest, trace: Trace) -> None:
    """Descriptors and threads after the third life are as many as after the second."""
    counts = []
    for _ in range(3):
        async with await ComfyConnector.create(**emulator.settings) as connector:
            await connector.run_workflow(picture_workflow())
        # The folder's own descriptor is among them, each time.
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert counts[2] <= counts[1]


STAGES: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "no such ComfyUI": ({"engine": "comfyui", "comfyui_path": "/no", "api_command_line": None}, ConfigurationError),
    "no such program": (fake() | {"api_command_line": "no-such-program --serve"}, ConfigurationError),
    "server exits at once": (fake("--exit", "3", "--say", "ImportError: no module named torch"), ServerStartError),
    "server never opens its port": (
        fake("--mute", "--say", "loading…")
        | {"max_comfy_start_attempts": 1, "comfy_start_attempts_sleep": 0.5},
        ServerStartTimeout,
    ),
    "server has no socket": (fake(), ServerConnectionError),
    "browser is missing": ({"chromium_path": "/nowhere/chromium"}, BrowserError),
    "browser does not start": ({"chromium_path": "/bin/false"}, BrowserError),
    "self-test fails": ({"test_payload_file": "failing.json"}, SelfTestError),
    "self-test is missing": ({"test_payload_file": "missing.json"}, SelfTestError),
    "self-test is not a payload": ({"test_payload_file": "nonsense.json"}, SelfTestError),
}  # fmt: skip


@pytest.mark.parametrize("stage", STAGES)
async def test_after_an_exception_out_of_create(
    stage: str, emulator: EngineUnderTest, trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that fails gives everything back, whatever it had taken; the next one works."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("discomfort.client.comfy.Limits", lambda: Limits(connect=0.5))
    (tmp_path / "failing.json").write_text(json.dumps({"1": node("ContractFail", kind="ValueError", message="x")}))
    (tmp_path / "nonsense.json").write_text("[]")
    changes, kind = STAGES[stage]
    lazy = {} if "chromium_path" in changes else {"browser": "lazy"}
    with pytest.raises(kind) as caught:
        await ComfyConnector.create(**{**emulator.settings, **lazy, **changes})
    assert isinstance(caught.value, RuntimeError | ValueError)
    if isinstance(caught.value, ServerStartError):
        assert caught.value.log_tail
    assert ComfyConnector.current() is None
    assert trace.left() == [] or await trace.settle() == []
    assert await works_again(emulator)


async def test_the_failure_is_the_one_that_happened(emulator: EngineUnderTest, trace: Trace) -> None:
    """A server that exits at once is reported with its exit code and its last words, not as a broken browser."""
    with pytest.raises(ServerStartError) as caught:
        await ComfyConnector.create(**{**emulator.settings, **fake("--exit", "7", "--say", "the true reason")})
    assert caught.value.exit_code == 7
    assert any("the true reason" in line for line in caught.value.log_tail)
    assert "the true reason" in str(caught.value)


POINTS: list[tuple[type, str, str]] = [
    (Resources, "prepare", "before"),
    (Resources, "prepare", "after"),
    (Resources, "take_port", "after"),
    (Supervisor, "start", "after"),
    (Resources, "start_server", "before"),
    (Resources, "start_server", "after"),
    (Resources, "start_browser", "before"),
    (Resources, "start_browser", "after"),
    (Resources, "open_client", "before"),
    (Resources, "open_client", "after"),
    (ComfyConnector, "_test_server", "before"),
    (Converter, "convert", "before"),
    (Converter, "convert", "after"),
    (ComfyClient, "run", "before"),
    (ComfyClient, "run", "after"),
    (ComfyConnector, "_test_server", "after"),
]


def interrupt_at(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, moment: str, act: Callable[[], object]
) -> None:
    """Call ``act`` in the present loop before or after ``owner.name`` runs, in whatever thread it runs."""
    original = inspect.getattr_static(owner, name)
    function = original.__func__ if isinstance(original, classmethod) else original
    loop = asyncio.get_running_loop()

    def strike() -> None:
        loop.call_soon_threadsafe(act)

    @functools.wraps(function)
    async def asynchronous(*args: Any, **kwargs: Any) -> Any:
        if moment == "before":
            strike()
        result = await function(*args, **kwargs)
        if moment == "after":
            strike()
        return result

    @functools.wraps(function)
    def synchronous(*args: Any, **kwargs: Any) -> Any:
        if moment == "before":
            strike()
        result = function(*args, **kwargs)
        if moment == "after":
            strike()
        return result

    wrapper: Any = asynchronous if inspect.iscoroutinefunction(function) else synchronous
    monkeypatch.setattr(owner, name, classmethod(wrapper) if isinstance(original, classmethod) else wrapper)


@pytest.mark.browser
@pytest.mark.parametrize(("owner", "name", "moment"), POINTS, ids=[f"{m} {n}" for _, n, m in POINTS])
async def test_after_create_was_cancelled(
    owner: type, name: str, moment: str, emulator: EngineUnderTest, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled at any point, a start takes back what it had started."""
    creating = asyncio.create_task(ComfyConnector.create(**emulator.settings))
    with monkeypatch.context() as patch:
        interrupt_at(patch, owner, name, moment, creating.cancel)
        with pytest.raises(asyncio.CancelledError):
            await creating
    assert ComfyConnector.current() is None
    assert trace.left() == [] or await trace.settle() == []


async def test_cancelled_start_can_be_repeated_at_once(emulator: EngineUnderTest, trace: Trace) -> None:
    """After a cancelled start the next one works."""
    creating = asyncio.create_task(ComfyConnector.create(**emulator.settings))
    await asyncio.sleep(0)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    assert await works_again(emulator)
    assert await trace.settle() == []


async def test_cancelling_one_of_two_waiters_leaves_the_start_to_the_other(
    emulator: EngineUnderTest, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that another caller waits for goes on; the caller that was cancelled is free at once."""
    settings = {**emulator.settings, "browser": "lazy"}
    first = asyncio.create_task(ComfyConnector.create(**settings))
    second = asyncio.create_task(ComfyConnector.create(**settings))
    with monkeypatch.context() as patch:
        interrupt_at(patch, Supervisor, "start", "after", first.cancel)
        with pytest.raises(asyncio.CancelledError):
            await first
        connector = await second
    assert connector.state == "ready"
    await connector.kill_api()
    assert trace.left() == []


async def test_waiting_for_a_start_that_another_caller_gave_up(
    emulator: EngineUnderTest, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes while a cancelled start takes back what it had started begins anew, and is not cancelled with it."""
    settings = {**emulator.settings, "browser": "lazy"}
    taking_back, may_end = asyncio.Event(), asyncio.Event()
    release = Resources.release

    async def slow_release(parts: Resources) -> list[str]:
        taking_back.set()
        await may_end.wait()
        return await release(parts)

    first = asyncio.create_task(ComfyConnector.create(**settings))
    with monkeypatch.context() as patch:
        patch.setattr(Resources, "release", slow_release)
        interrupt_at(patch, Supervisor, "start", "after", first.cancel)
        await taking_back.wait()
    given_up = ComfyConnector.current()
    assert given_up is not None
    second = asyncio.create_task(ComfyConnector.create(**settings))
    await until(lambda: given_up._startup._waiters == 2)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    connector = await second
    assert connector is ComfyConnector.current()
    assert connector is not given_up
    assert texts_of(await connector.run_workflow(show_prompt(1), False)) == ["1"]
    await connector.kill_api()
    assert trace.left() == []


async def test_kill_api_during_the_start(
    emulator: EngineUnderTest, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shut down while it starts: the start ends as cancelled or refused, and everything is given back."""
    creating = asyncio.create_task(ComfyConnector.create(**emulator.settings))
    reached = asyncio.Event()
    with monkeypatch.context() as patch:
        interrupt_at(patch, Supervisor, "start", "after", reached.set)
        await reached.wait()
    instance = ComfyConnector.current()
    assert instance is not None
    await instance.kill_api()
    with pytest.raises((asyncio.CancelledError, RuntimeError)):
        await creating
    assert instance.state == "killed"
    assert trace.left() == []


async def test_kill_api_that_was_cancelled_goes_on(emulator: EngineUnderTest, trace: Trace) -> None:
    """Cancelling whoever waits for the shutdown does not stop it."""
    connector = await ComfyConnector.create(**{**emulator.settings, "browser": "lazy"})
    closing = asyncio.create_task(connector.kill_api())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await connector.kill_api()
    assert connector.state == "killed"
    assert trace.left() == []
