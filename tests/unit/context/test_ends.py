"""The end of a program, however it comes: nothing of its contexts is left, at the latest when the next one is made."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from small_memory import small_memory
from waiting import until_blocking

from discomfort import WorkflowContext
from discomfort._system import shared_memory
from discomfort.config import load_settings
from discomfort.connector.resources import Resources
from discomfort.context.folders import disk_root

ROOT = Path(__file__).parents[3]
ARRAY = np.arange(500_000.0)
BEGIN = """
import os, sys, numpy as np
from discomfort import WorkflowContext
context = WorkflowContext(run_id=sys.argv[1])
context.save("memory", np.zeros(4_000_000))
context.save("disk", np.zeros(1_000_000), use_ram=False)
context.save("n", 7)
print(context.receipt_path, flush=True)
"""
WAIT = "sys.stdin.read()"


def program(code: str, run_id: str, *prefix: str) -> subprocess.Popen[str]:
    """A process that makes a context in this test's temporary folder, and goes on with ``code``."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": tempfile.gettempdir()}
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", BEGIN + code, run_id],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def line_of(stream: IO[str] | None) -> str:
    """The next line that the process prints."""
    assert stream is not None
    return stream.readline().strip()


def rest_of(process: subprocess.Popen[str], given: str = "") -> tuple[str, str]:
    """What the process prints until its end. communicate() would lose what was read together with the first line."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(given)
        process.stdin.close()
    printed = process.stdout.read(), process.stderr.read()
    process.wait(60)
    return printed


def memory_folder(run_id: str) -> Path:
    """The folder of a context in memory."""
    return shared_memory.FOLDER / f"discomfort-{os.geteuid()}" / run_id


def folders_in(root: Path, run_id: str) -> list[Path]:
    """The folders of contexts there whose names begin with this."""
    return [path for path in root.iterdir() if path.name.startswith(run_id)] if root.is_dir() else []


def left_on_disk(run_id: str) -> list[Path]:
    """What is left in this test's own temporary folder."""
    return folders_in(disk_root("contexts"), run_id)


def left_of(run_id: str) -> list[Path]:
    """What is left on disk and in memory. All tests share the memory: each start of a context sweeps it."""
    return folders_in(shared_memory.FOLDER / f"discomfort-{os.geteuid()}", run_id) + left_on_disk(run_id)


@pytest.fixture
def run_id() -> str:
    """A name that no other test uses at the same time."""
    return f"test-{os.getpid()}-{os.urandom(4).hex()}"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("context.shutdown()", 0),
        ("", 0),
        ("sys.exit(3)", 3),
        ("raise RuntimeError", 1),
        ("del context", 0),
        ("import threading; threading.Thread(target=lambda: context.save('t', np.zeros(10**6))).start()", 0),
    ],
    ids=["shutdown", "end of the script", "exit", "error", "no reference", "thread"],
)
def test_ordinary_end_leaves_nothing(run_id: str, code: str, status: int) -> None:
    """With the program itself, without a next one."""
    with program(code, run_id) as process:
        home = Path(line_of(process.stdout)).parent
        rest_of(process)
    assert process.returncode == status
    assert not home.exists()
    assert not memory_folder(run_id).exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_killed_program_leaves_nothing_after_the_next_start(run_id: str, number: signal.Signals) -> None:
    """32 MB in memory and 8 MB on disk; a living context beside them stays untouched."""
    with program(WAIT, run_id) as process, program(WAIT, f"{run_id}-other") as other:
        home = Path(line_of(process.stdout)).parent
        line_of(other.stdout)
        with pytest.raises(FileExistsError):
            WorkflowContext(run_id=run_id)
        assert sum(path.stat().st_size for path in memory_folder(run_id).iterdir()) > 32_000_000
        process.send_signal(number)
        process.wait(60)
        assert home.exists()
        with pytest.raises(FileNotFoundError):
            WorkflowContext(run_id=run_id, create=False)

        with WorkflowContext() as context:
            assert not home.exists()
            assert not memory_folder(run_id).exists()
            assert context.list_keys() == []
            assert WorkflowContext(run_id=f"{run_id}-other", create=False)["n"] == 7
        rest_of(other)
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


WATCHED = """
from discomfort.server.watchdog import Watchdog
first, second = Watchdog.start(), Watchdog.start()
later = WorkflowContext(run_id=sys.argv[1] + "-later")
later.save("memory", np.zeros(200_000))
later.save("disk", np.zeros(200_000), use_ram=False)
ended = WorkflowContext(run_id=sys.argv[1] + "-ended")
ended.save("memory", np.zeros(200_000))
ended.shutdown()
second.close()
os.kill(first.pid, int(sys.stdin.readline()))
print("ready", flush=True)
sys.stdin.read()
"""


def test_watched_program_leaves_nothing(run_id: str) -> None:
    """Killed with a living watchdog: contexts from before and after it go, and nobody else's of the same name."""
    with program(WATCHED, run_id) as process:
        line_of(process.stdout)
        assert process.stdin is not None
        process.stdin.write("0\n")
        process.stdin.flush()
        assert line_of(process.stdout) == "ready"
        assert len(left_of(run_id)) == 4
        with WorkflowContext(run_id=f"{run_id}-ended") as other:
            other.save("a", ARRAY)
            process.kill()
            process.wait(60)
            until_blocking(lambda: len(left_of(run_id)) == 2)
            assert np.array_equal(other["a"], ARRAY)
    assert left_of(run_id) == []
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_start_of_a_connector_removes_what_nobody_watched(run_id: str) -> None:
    """The watchdog was killed too; the next connector, without any context, cleans up."""
    with program(WATCHED, run_id) as process:
        line_of(process.stdout)
        assert process.stdin is not None
        process.stdin.write("9\n")
        process.stdin.flush()
        assert line_of(process.stdout) == "ready"
        assert len(left_of(run_id)) == 4
        process.kill()
        process.wait(60)
    assert len(left_on_disk(run_id)) == 2
    parts = Resources(load_settings(engine="emulator"), attach_url="http://127.0.0.1:1")
    try:
        parts.prepare()
        assert left_on_disk(run_id) == []
        until_blocking(lambda: left_of(run_id) == [])  # another test's sweep may have this folder just now
    finally:
        parts.kill_now()


def test_id_of_a_killed_program_is_free(run_id: str) -> None:
    """The new context begins empty."""
    with program(WAIT, run_id) as process:
        line_of(process.stdout)
        process.kill()
        process.wait(60)
    with WorkflowContext(run_id=run_id) as context:
        assert context.list_keys() == []
        context.save("a", 1)
        assert context["a"] == 1


def test_two_programs_share_a_context(run_id: str) -> None:
    """One opens what the other made, reads and saves; its end removes nothing, and the maker's end ends it."""
    code = """
context = None
opened = WorkflowContext(run_id=sys.argv[1] + "-maker", create=False)
assert opened["array"][0] == 5
opened.save("back", np.full(100_000, 3.0))
opened.save("replaced", np.zeros(100_000))
opened.save("replaced", 8)
opened.shutdown()
again = WorkflowContext(run_id=sys.argv[1] + "-maker", create=False)
print("done", flush=True)
sys.stdin.readline()
print(again.list_keys(), flush=True)
try:
    again.load("array")
except RuntimeError as error:
    print(type(error).__name__, flush=True)
"""
    context = WorkflowContext(run_id=f"{run_id}-maker")
    context.save("array", np.full(100_000, 5))
    with context, program(code, run_id) as process:
        line_of(process.stdout)
        assert line_of(process.stdout) == "done"
        assert context["back"][0] == 3
        assert context["replaced"] == 8
        context.shutdown()
        out, err = rest_of(process, "\n")
    assert out.split() == ["[]", "StateError"], err
    assert not memory_folder(f"{run_id}-maker").exists()


def test_threads_make_contexts_at_once(run_id: str) -> None:
    """Each has its own; the folders that they share come and go, and nothing is left."""

    def work(number: int) -> float:
        total = 0.0
        for turn in range(6):
            with WorkflowContext(run_id=f"{run_id}-{number}-{turn}") as context:
                context.save("a", ARRAY + number, use_ram=turn % 2 == 0)
                total += float(context["a"][0])
        return total

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [6.0 * number for number in range(8)]
    assert left_of(run_id) == []
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_dropped_context_is_removed(run_id: str) -> None:
    """One that nothing refers to, without an exit of the program."""
    context = WorkflowContext(run_id=run_id)
    context.save("a", ARRAY)
    home = Path(context.receipt_path).parent
    del context
    gc.collect()
    assert not home.exists()
    assert not memory_folder(run_id).exists()


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)", "context.shutdown()", "del context"])
def test_forked_child_owns_nothing(run_id: str, end: str) -> None:
    """It reads and saves; its end, however it comes, removes nothing of its parent's."""
    code = f"""
pid = os.fork()
if not pid:
    assert context["n"] == 7
    context.save("child", np.full(100_000, 4.0))
    context.save("n", 8)
    {end}
    os._exit(0)
os.waitpid(pid, 0)
print(context["child"][0], context["n"], context["memory"].shape, flush=True)
context.save("n", 9)
print(context["n"], os.path.exists(context.receipt_path), flush=True)
"""
    with program(code, run_id) as process:
        home = Path(line_of(process.stdout)).parent
        out, err = rest_of(process)
    assert out.splitlines() == ["4.0 8 (4000000,)", "9 True"], err
    assert not home.exists()
    assert not memory_folder(run_id).exists()


SMALL = """
context.save("big", np.zeros(2_000_000))
info = context.get_storage_info("big")
again = WorkflowContext()
for number in range(20):
    again.save(f"a{number}", np.full(300_000, number))
ok = all(again[f"a{number}"][5] == number for number in range(20))
again.export_data("a19", os.path.join(os.environ["TMPDIR"], "a.npy"))
ok = ok and np.load(os.path.join(os.environ["TMPDIR"], "a.npy"))[5] == 19 and "a19" not in again
print(info["storage_type"], context["big"].shape, ok, flush=True)
"""


@pytest.mark.parametrize("size", ["4m", "20m"])
def test_small_shared_memory_is_survived(run_id: str, size: str) -> None:
    """A real file system of that size: values go to disk when it is full, and no process is killed by a signal."""
    prefix = small_memory(size)
    with program(SMALL, run_id, *prefix) as process:
        home = Path(line_of(process.stdout)).parent
        out, err = rest_of(process)
    assert (process.returncode, out.split()) == (0, ["disk", "(2000000,)", "True"]), err
    assert not home.exists()
