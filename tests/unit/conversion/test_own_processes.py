"""Processes are matched by pid and start time, and killed with all that descends from them."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

import psutil
from waiting import has_ended, until_blocking

from discomfort._system.process_tree import OwnProcess, kill_trees

PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(1000)\n"
)


def test_whole_tree_is_killed() -> None:
    """A process and its children are gone afterwards; a second call finds nothing."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        mine = OwnProcess.of(parent.pid)
        assert mine is not None

        kill_trees([mine])

        assert parent.wait(10) != 0
        assert has_ended(child)
    assert mine.find() is None
    kill_trees([mine])


FORKING = (
    "import os, time\n"
    "print('forking', flush=True)\n"
    "for _ in range(500):\n"
    "    if os.fork() == 0:\n"
    "        time.sleep(1000)\n"
    "    time.sleep(0.0005)\n"
    "time.sleep(1000)\n"
)


def test_tree_that_grows_meanwhile_is_killed() -> None:
    """No child that is started during the killing is left."""
    mark = uuid.uuid4().hex
    environment = {**os.environ, "GROWING": mark}
    command = [sys.executable, "-c", FORKING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        mine = OwnProcess.of(parent.pid)
        assert mine is not None
        until_blocking(lambda: len(psutil.Process(parent.pid).children()) > 20)

        kill_trees([mine])

        parent.stdout.close()
    assert [process for process in psutil.process_iter() if _is_marked(process, mark)] == []


def _is_marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get("GROWING") == mark and not has_ended(process)
    except psutil.Error:
        return False


def test_reused_pid_is_somebody_elses() -> None:
    """The same pid with another start time is not touched."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"]) as other:
        try:
            real = OwnProcess.of(other.pid)
            assert real is not None
            stale = OwnProcess(real.pid, real.start_time - 1)

            assert stale.find() is None
            kill_trees([stale])
            assert other.poll() is None
        finally:
            other.kill()


def test_ended_process_has_no_record() -> None:
    """A pid that is gone gives nothing."""
    with subprocess.Popen([sys.executable, "-c", "pass"]) as short:
        short.wait(10)
    assert OwnProcess.of(short.pid) is None
