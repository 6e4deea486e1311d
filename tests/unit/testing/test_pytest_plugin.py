"""The pytest plugin, as somebody else's test suite has it: each test here runs one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

REAL = Path(os.environ["COMFYUI_PATH"]) if os.environ.get("COMFYUI_PATH") else None

PICTURE = """
def picture(color=255, kind="EmptyImage"):
    return {
        "1": {"class_type": kind, "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": color}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
"""
STAND_IN = """
class KSampler:
    CATEGORY = "x"
    RETURN_TYPES = ("STRING",)
    FUNCTION = "go"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def go(self):
        return {"ui": {"text": ["stand-in"]}, "result": ("stand-in",)}

NODE_CLASS_MAPPINGS = {"KSampler": KSampler}
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty suite in an environment that names no ComfyUI, with warnings as errors."""
    for name in ("COMFYUI_PATH", "DISCOMFORT_ENGINE", "DISCOMFORT_FAULTS"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeini("[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


def run(suite: pytest.Pytester, text: str, *arguments: str, passed: int = 0, **outcomes: int) -> str:
    """Run a test file in a process of its own, check what came of it and return what was printed."""
    suite.makepyfile(PICTURE + text)
    done = suite.runpytest_subprocess("-q", "-p", "no:cacheprovider", *arguments)
    done.assert_outcomes(passed=passed, **outcomes)
    return done.stdout.str() + done.stderr.str()


def test_it_is_registered() -> None:
    """pytest finds the plugin by the package's metadata."""
    (found,) = metadata.entry_points(group="pytest11", name="discomfort")

    assert found.value == "discomfort.testing.plugin"


def test_it_costs_nothing_where_it_is_not_used() -> None:
    """Loading the plugin imports none of the libraries that the package works with."""
    code = (
        "import sys, discomfort.testing.plugin\n"
        "print([m for m in ('aiohttp', 'numpy', 'pydantic', 'orjson', 'PIL', 'typer', 'asyncio') if m in sys.modules])"
    )
    plain = "import sys, pytest\nprint('asyncio' in sys.modules)"

    def printed(text: str) -> str:
        return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout.strip()

    assert printed(code) == ("['asyncio']" if printed(plain) == "True" else "[]")


def test_servers_are_fresh(suite: pytest.Pytester) -> None:
    """What one test ran, cached and stored is gone in the next, on one and the same server."""
    run(
        suite,
        """
import pytest
seen = []

@pytest.mark.parametrize("round", [1, 2])
def test_it(comfy_sync_connector, comfyui_server, fresh_comfyui_server, round):
    server = fresh_comfyui_server
    assert server is comfyui_server and server.is_emulator
    assert server.get("/history") == {}
    assert not [path for path in server.folders.temp.rglob("*") if path.is_file()]
    history = comfy_sync_connector.run_workflow(picture(), use_workflow_json=False)
    (record,) = history.values()
    cached = [data["nodes"] for kind, data in record["status"]["messages"] if kind == "execution_cached"]
    assert cached == [[]]
    server.folders.input.joinpath("mine.txt").write_text("x")
    seen.append(server.url)
    assert len(set(seen)) == 1
    assert [path.name for path in server.folders.input.iterdir() if path.is_file()] == ["mine.txt"]
""",
        passed=2,
    )


def test_session_fixtures(suite: pytest.Pytester) -> None:
    """The session's connector keeps its server's state from test to test."""
    run(
        suite,
        """
def test_first(comfy_session_connector):
    comfy_session_connector.run_workflow(picture(), use_workflow_json=False)

def test_second(comfy_session_connector, comfyui_session_emulator, comfyui_server):
    assert comfyui_server is comfyui_session_emulator
    assert len(comfyui_server.get("/history")) == 1
    assert comfy_session_connector.server_address == comfyui_server.url
""",
        passed=2,
    )


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_with_pytest_asyncio(suite: pytest.Pytester, mode: str) -> None:
    """Tests that await work in both modes, with loops of each scope, and their callbacks are called in their loop."""
    mark = "" if mode == "auto" else "@pytest.mark.asyncio"
    scoped = '@pytest.mark.asyncio(loop_scope="module")'
    run(
        suite,
        f"""
import asyncio
import threading
import pytest

{mark}
async def test_function_loop(comfy_connector, tmp_path):
    events = []
    async def on_progress(event):
        events.append(threading.current_thread() is threading.main_thread())
    history = await comfy_connector.run_workflow(picture(), use_workflow_json=False, on_progress=on_progress)
    (output,) = comfy_connector.outputs(history)
    assert (await output.image()).size == (8, 8)
    assert (await output.save(tmp_path)).read_bytes() == await output.read()
    assert events and all(events)

{scoped}
async def test_module_loop(comfy_connector):
    events = []
    runs = [picture(color) for color in range(4)]
    await asyncio.gather(*(
        comfy_connector.run_workflow(run, use_workflow_json=False, on_progress=events.append) for run in runs
    ))
    assert len(events) > 8
    editor = await comfy_connector.edit(picture())
    editor.set("EmptyImage.color", 7)
    assert (await comfy_connector.health()).ok

{mark}
async def test_runs(comfy_connector, tmp_path):
    run = await comfy_connector.submit(picture(9), use_workflow_json=False, values={{"EmptyImage.height": 12}})
    kinds = [type(event).__name__ async for event in run.events()]
    assert kinds[-1] == "Done"
    assert run.prompt_id in await run
    assert (run.done, run.status.success, await run.cancel()) == (True, True, False)
    (output,) = run.outputs()
    assert (await output.image()).size == (8, 12)
    assert await (await comfy_connector.find(run.prompt_id)) == await run
    result = await comfy_connector.run(picture(), {{"EmptyImage.width": 16}})
    assert (await result.images[0].image()).size == (16, 8)
    assert (await comfy_connector.upload(b"x", name="x.bin")).value == "x.bin"
    assert len(await comfy_connector.queue()) == 0
""",
        "-o", f"asyncio_mode={mode}",
        passed=3,
    )  # fmt: skip


def test_without_an_async_plugin(suite: pytest.Pytester) -> None:
    """A test may bring its own event loop."""
    suite.makeini("[pytest]\nfilterwarnings = error\n")
    run(
        suite,
        """
import asyncio

def test_it(comfy_connector):
    history = asyncio.run(comfy_connector.run_workflow(picture(), use_workflow_json=False))
    assert len(comfy_connector.outputs(history)) == 1
""",
        "-p", "no:asyncio", passed=1,
    )  # fmt: skip


def test_cancellation(suite: pytest.Pytester) -> None:
    """A call that is cancelled takes its prompt off the server before it ends."""
    run(
        suite,
        """
import asyncio
from discomfort.progress import NodeStarted

def test_it(comfyui_emulator, comfy_connector):
    async def main():
        # Long enough for a busy machine to cancel in time; the server is interrupted after it.
        comfyui_emulator.faults.node_delay = 3.0
        begun = asyncio.Event()
        on_progress = lambda event: begun.set() if isinstance(event, NodeStarted) else None
        task = asyncio.create_task(
            comfy_connector.run_workflow(picture(), use_workflow_json=False, on_progress=on_progress)
        )
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    asyncio.run(main())
    comfyui_emulator.reset()
    assert comfyui_emulator.get("/prompt")["exec_info"]["queue_remaining"] == 0
""",
        passed=1,
    )


def test_faults_while_it_runs(suite: pytest.Pytester) -> None:
    """Faults are switched on and off in the test, and end with it."""
    run(
        suite,
        """
import pytest
from discomfort.exceptions import OutOfMemoryError

def test_on_and_off(comfyui_emulator, comfy_sync_connector):
    comfyui_emulator.faults.oom_at = "1"
    with pytest.raises(OutOfMemoryError):
        comfy_sync_connector.run_workflow(picture(), use_workflow_json=False)
    comfyui_emulator.reset()
    assert comfyui_emulator.faults.oom_at is None
    comfy_sync_connector.run_workflow(picture(), use_workflow_json=False)

@pytest.mark.comfyui_setup(faults={"fail_at": "EmptyImage"})
def test_by_marker(comfy_sync_connector, comfyui_emulator):
    assert comfy_sync_connector.server_address == comfyui_emulator.url
    comfyui_emulator.reset()
    assert comfyui_emulator.faults.fail_at == "EmptyImage"
    with pytest.raises(RuntimeError, match="fails on request"):
        comfy_sync_connector.run_workflow(picture(), use_workflow_json=False)
""",
        passed=2,
    )


def test_crashes(suite: pytest.Pytester) -> None:
    """A crash closes port and connections and leaves the tests alive; the server comes back on its port."""
    run(
        suite,
        """
import pytest
from discomfort.exceptions import ServerError

def test_it(comfyui_emulator):
    comfyui_emulator.faults.crash_at = "EmptyImage"
    url = comfyui_emulator.url
    comfyui_emulator.post("/prompt", {"prompt": picture()})
    comfyui_emulator.wait_crashed()
    with pytest.raises(ServerError):
        comfyui_emulator.get("/prompt")
    comfyui_emulator.restart()
    assert (comfyui_emulator.url, comfyui_emulator.crashed) == (url, False)
    assert comfyui_emulator.get("/history") == {}

@pytest.mark.comfyui_setup(faults={"crash_at": "EmptyImage"})
def test_a_process(comfy_owned_connector):
    assert comfy_owned_connector.engine == "emulator"
""",
        passed=1, errors=1,
    )  # fmt: skip


def test_nodes_of_ones_own(suite: pytest.Pytester) -> None:
    """Nodes come from files named in the configuration, from a marker's files, or are classes of the test itself."""
    (suite.path / "stand_ins.py").write_text(STAND_IN)
    (suite.path / "more.py").write_text(STAND_IN.replace("KSampler", "Other"))
    pack = suite.mkpydir("pack")
    (pack / "__init__.py").write_text(STAND_IN.replace("KSampler", "Packed"))
    run(
        suite,
        """
import pytest

class Mine:
    CATEGORY, RETURN_TYPES, FUNCTION = "x", ("INT",), "go"
    INPUT_TYPES = classmethod(lambda cls: {"required": {}})
    def go(self):
        return (1,)

def test_configured(comfy_sync_connector):
    history = comfy_sync_connector.run_workflow({"1": {"class_type": "KSampler", "inputs": {}}}, False)
    assert comfy_sync_connector.outputs(history)[0].value == "stand-in"

@pytest.mark.comfyui_setup(nodes=["more.py", "pack"], arguments="--cache-none")
def test_marked(comfyui_emulator):
    known = comfyui_emulator.get("/object_info")
    assert {"KSampler", "Other", "Packed"} <= set(known)
    assert "--cache-none" in comfyui_emulator.get("/system_stats")["system"]["argv"]

@pytest.mark.comfyui_setup(nodes={"Mine": Mine})
def test_classes(comfyui_emulator):
    assert "Mine" in comfyui_emulator.get("/object_info")
""",
        "-o", "comfyui_nodes=stand_ins.py", passed=3,
    )  # fmt: skip


def test_object_info(suite: pytest.Pytester) -> None:
    """An emulator knows the node classes of a saved /object_info."""
    definition = (
        '{"Far": {"input": {"required": {}}, "output": [], "output_node": true, "name": "Far", "category": ""}}'
    )
    (suite.path / "info.json").write_text(definition)
    run(
        suite,
        """
def test_it(comfyui_server):
    assert "Far" in comfyui_server.get("/object_info")
""",
        "-o", "comfyui_object_info=info.json", passed=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--comfyui=/nowhere"], "--comfyui=/nowhere: that folder has no main.py"),
        (["-o", "comfyui_nodes=none.py"], "none.py': there is no such file or folder"),
        (["-o", "comfyui_arguments=--nonsense"], "the emulator does not accept these arguments"),
    ],
)
def test_what_is_configured_wrong_is_told(suite: pytest.Pytester, arguments: list[str], told: str) -> None:
    """A configuration that cannot be is an error of the test that needs it, in one sentence."""
    assert told in run(suite, "def test_it(comfyui_server): pass\n", *arguments, errors=1)


def test_what_is_marked_wrong_is_told(suite: pytest.Pytester) -> None:
    """So is a marker that cannot be."""
    (suite.path / "broken.py").write_text("import no_such_module\n")
    wrong = {
        "nodes='none.py'": "there is no such file or folder",
        "node='x'": "comfyui_setup does not accept 'node', but arguments, faults, nodes, object_info",
        "1": "comfyui_setup does not accept an argument without a name",
        "faults={'nonsense': 1}": "there is no fault 'nonsense'",
        "faults={'start_delay': 1}": "start_delay needs an emulator in a process of its own",
        "nodes='broken.py'": "the emulator cannot be set up",
    }
    tests = [
        f"@pytest.mark.comfyui_setup({mark})\ndef test_{number}(comfyui_emulator): pass\n"
        for number, mark in enumerate(wrong)
    ]

    printed = run(suite, "import pytest\n" + "\n".join(tests), errors=len(wrong))

    assert [told for told in wrong.values() if told not in printed] == []


def test_environment_names_the_emulator(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """DISCOMFORT_ENGINE=emulator goes before a ComfyUI that happens to be there, --comfyui before both."""
    monkeypatch.setenv("COMFYUI_PATH", "/nowhere")
    text = "def test_it(comfyui_server): assert comfyui_server.kind == 'emulator'\n"

    assert "COMFYUI_PATH=/nowhere" in run(suite, text, errors=1)
    run(suite, text, "--comfyui=emulator", passed=1)
    monkeypatch.setenv("DISCOMFORT_ENGINE", "emulator")
    run(suite, text, passed=1)


def test_nothing_stays(suite: pytest.Pytester) -> None:
    """Threads and folders of the fixtures end with the session."""
    (suite.path / "conftest.py").write_text(
        "import threading\n"
        "def pytest_unconfigure(config):\n"
        "    print('left:', [t.name for t in threading.enumerate() if t.name.startswith('discomfort')])\n"
    )
    text = "def test_it(comfyui_emulator, comfyui_session_emulator, comfy_session_connector, comfy_connector): pass\n"

    assert "left: []" in run(suite, text, "-s", passed=1)


@pytest.mark.comfyui
@pytest.mark.timeout(400)
def test_real_comfyui(suite: pytest.Pytester, comfyui_path: Path) -> None:
    """The same fixtures on a real ComfyUI, fresh for every test, with nodes of one's own."""
    (suite.path / "stand_ins.py").write_text(STAND_IN.replace("KSampler", "StandIn"))
    run(
        suite,
        """
import pytest

@pytest.mark.parametrize("round", [1, 2])
def test_it(comfy_sync_connector, fresh_comfyui_server, round):
    server = fresh_comfyui_server
    assert server.kind == "comfyui"
    assert server.get("/history") == {}
    assert not [path for path in server.folders.temp.rglob("*") if path.is_file()]
    comfy_sync_connector.run_workflow(picture(), use_workflow_json=False)
    history = comfy_sync_connector.run_workflow({"1": {"class_type": "StandIn", "inputs": {}}}, False)
    assert comfy_sync_connector.outputs(history)[0].value == "stand-in"

def test_emulator_beside_it(comfyui_emulator):
    assert comfyui_emulator.is_emulator
""",
        f"--comfyui={comfyui_path}", "-o", "comfyui_nodes=stand_ins.py", passed=3,
    )  # fmt: skip


@pytest.fixture
def comfyui_path() -> Path:
    """The ComfyUI that the environment named when this module was loaded."""
    if REAL is None:
        pytest.skip("set COMFYUI_PATH to a real ComfyUI")
    return REAL
