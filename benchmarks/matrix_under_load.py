"""The fault matrix again and again while both cores are busy: is every run green, and is nothing left behind?

    python benchmarks/matrix_under_load.py [--runs 3] [--burners 2] [--comfyui PATH] [TESTS…]

Default tests: tests/matrix tests/faults. Each run has a temporary folder of its own and a mark in its environment,
which all that it starts inherits. Afterwards are looked for: processes with that mark, ports that they listen on, files
in the temporary folder, and shared memory that no process uses. The exit code is 1 where a run was not green or
something was left.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
MARK = "MATRIX_UNDER_LOAD"
BURN = "import os; os.nice(5)\nwhile True: pass"
SHARED_MEMORY = Path("/dev/shm")
SETTLE = 10.0
"""Seconds in which the last processes may end; the watchdog of a killed one needs up to 5."""


@dataclass(frozen=True)
class Outcome:
    """One run: its tests, and what was there afterwards."""

    passed: int
    failed: int
    seconds: float
    processes: list[str]
    ports: list[int]
    files: list[str]
    shared: list[str]

    @property
    def is_clean(self) -> bool:
        """Whether all was green and nothing stayed."""
        return self.passed > 0 and not (self.failed or self.processes or self.ports or self.files or self.shared)

    def __str__(self) -> str:
        left = (self.processes, self.ports, self.files, self.shared)
        counts = " ".join(f"{len(found):>9}" for found in left)
        return f"{self.passed:>7} {self.failed:>7} {self.seconds:>8.0f} s {counts}"


def marked(mark: str) -> list[psutil.Process]:
    """Living processes that carry the mark of a run."""
    found = []
    for process in psutil.process_iter():
        try:
            words = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            if f"{MARK}={mark}".encode() in words and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def ports_of(processes: list[psutil.Process]) -> list[int]:
    """Ports that these processes listen on."""
    ports = set()
    for process in processes:
        try:
            ports |= {c.laddr.port for c in process.net_connections() if c.status == psutil.CONN_LISTEN}
        except psutil.Error:
            continue
    return sorted(ports)


def unused_shared_memory() -> set[str]:
    """Files in shared memory that no process has open or mapped."""
    if not SHARED_MEMORY.is_dir():
        return set()
    names = {str(path) for path in SHARED_MEMORY.iterdir()}
    for process in psutil.process_iter():
        try:
            text = Path(f"/proc/{process.pid}/maps").read_text(errors="replace")
            links = [os.readlink(fd) for fd in Path(f"/proc/{process.pid}/fd").iterdir()]  # noqa: PTH115 - no path
        except OSError:
            continue
        names = {name for name in names if name not in text and name not in links}
    return names


def one_run(tests: list[str], log: Path) -> Outcome:
    """Run the tests, then look around."""
    mark = uuid.uuid4().hex
    folder = Path(tempfile.mkdtemp(prefix="mul-"))
    temporary = folder / "t"
    temporary.mkdir()
    before = unused_shared_memory()
    began = time.monotonic()
    environment = {**os.environ, MARK: mark, "TMPDIR": str(temporary), "SWEEP": "all"}
    with log.open("ab") as output:
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", f"--basetemp={folder / 'b'}", *tests],
            cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    seconds = time.monotonic() - began
    deadline = time.monotonic() + SETTLE
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    names = [f"{process.pid} {' '.join(process.cmdline()[:4])}" for process in left]
    files = sorted(str(path) for path in temporary.rglob("*"))
    counts = [int(word) for word in re.findall(r"(\d+) passed", log.read_text(errors="replace"))[-1:]]
    bad = re.findall(r"^(?:FAILED|ERROR) ", log.read_text(errors="replace"), re.MULTILINE)
    outcome = Outcome(
        sum(counts), len(bad), seconds, names, ports_of(left), files, sorted(unused_shared_memory() - before)
    )
    for process in left:
        process.kill()
    shutil.rmtree(folder, ignore_errors=True)
    return outcome


def main() -> int:
    """Burn, run, look, print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", nargs="*", default=["tests/matrix", "tests/faults"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--burners", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--comfyui", help="also against the ComfyUI in this folder")
    parser.add_argument("--log", type=Path, default=Path(tempfile.gettempdir(), "matrix-under-load"))
    options = parser.parse_args()
    # A plain kill unwinds too: nobody else would end the burners.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.comfyui:
        os.environ["COMFYUI_PATH"] = options.comfyui
    outcomes = []
    print(f"{'run':>3} {'passed':>7} {'failed':>7} {'time':>10} {'processes':>9} {'ports':>9} {'files':>9} {'shm':>9}")
    with ExitStack() as stack:
        for _ in range(options.burners):
            burner = subprocess.Popen([sys.executable, "-c", BURN])
            stack.callback(burner.wait)
            stack.callback(burner.kill)
        for number in range(1, options.runs + 1):
            log = options.log.with_name(f"{options.log.name}-{number}.log")
            log.unlink(missing_ok=True)
            outcome = one_run(options.tests, log)
            outcomes.append(outcome)
            print(f"{number:>3} {outcome}", flush=True)
            for found in (*outcome.processes, *outcome.files, *outcome.shared):
                print(f"      left: {found}", flush=True)
    return 0 if all(outcome.is_clean for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
