"""A sweep that is killed at each of its steps on the disk in turn: run by test_crashes.

It has no threads before it forks. Each child runs the sweep in a new folder and kills itself, with SIGKILL, at its n-th
step; another one then runs the same sweep to its end. Prints one line of JSON for each n, until a child gets through.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from unit.sweeps.fake_function import FakeFunction, picture

from discomfort import Sweep

ROWS = 2
PICTURES = 2
STEPS = frozenset({"open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "os.truncate"})


def sweep(folder: Path, log: Path) -> None:
    """Run it; each call of the function is a line of the log."""

    async def before(values: Mapping[str, Any]) -> None:
        with log.open("a") as stream:
            stream.write(f"{values['seed']}\n")

    function = FakeFunction(before, pictures=PICTURES)
    asyncio.run(Sweep.of_grid(function, {"seed": range(ROWS)}).run(folder, parallel=1, contact_sheet=False))


def killed_at(step: int, folder: Path, log: Path) -> None:
    """Run it in a process that kills itself at its n-th step in the folder."""
    steps = itertools.count()

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in STEPS and str(folder) in str(arguments[:2]) and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    sweep(folder, log)


def child(work: Callable[[], None]) -> int:
    """Do it in a forked process, and return how that ended."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the end of this process tells it
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(root: Path) -> None:
    """Kill at one step after the other."""
    for step in itertools.count():
        folder, log = root / f"{step}", root / f"{step}.log"
        code = child(partial(killed_at, step, folder, log))
        calls = log.read_text().split() if log.exists() else []
        again = child(partial(sweep, folder, log))
        told = {
            "step": step,
            "killed": code,
            "before": calls,
            "again": again,
            "calls": log.read_text().split(),
            "files": sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")),
        }
        sys.stdout.write(json.dumps(told) + "\n")
        if code == 0:
            return


picture(0)  # what Pillow imports for it, once for all children
main(Path(sys.argv[1]))
