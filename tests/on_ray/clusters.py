"""Ray clusters of a test's own, of which nothing stays: no process, folder or shared memory."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from waiting import has_ended, until_blocking

from discomfort._system.process_table import start_of

SECONDS = 60.0
"""A guard against hanging; nothing here takes so long."""


@contextmanager
def ray_home() -> Iterator[Path]:
    """A folder for all that Ray writes, tokens included, with the environment that says so.

    Ray puts sockets into it, whose paths must not be longer than 107 characters: pytest's own folders are too deep.
    At the end everything is gone that was started meanwhile, or the test fails.
    """
    home = Path(tempfile.mkdtemp(prefix="dc-ray-", dir="/tmp"))
    earlier = set(psutil.process_iter()), set(Path("/dev/shm").iterdir())
    with _host_unchanged():
        for name in [name for name in os.environ if name.startswith("RAY_")]:
            del os.environ[name]
        # Without the last, Ray reports to its makers how it is used.
        os.environ.update({"HOME": str(home), "RAY_TMPDIR": str(home), "RAY_USAGE_STATS_ENABLED": "0"})
        try:
            yield home
        finally:
            left = _left(home, earlier)
            shutil.rmtree(home, ignore_errors=True)
            assert left == []


@contextmanager
def _host_unchanged() -> Iterator[None]:
    """Ray changes signals, hooks and environment of the process that it runs in, and leaves them so."""
    environment = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    hook = sys.excepthook
    level = logging.getLogger("ray").level
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.excepthook = hook
        logging.getLogger("ray").setLevel(level)
        os.environ.clear()
        os.environ.update(environment)


def _left(home: Path, earlier: tuple[set[psutil.Process], set[Path]]) -> list[str]:
    """Ends what is still there, and tells what it was."""
    known, shared = earlier

    def ours() -> list[psutil.Process]:
        return [process for process in set(psutil.process_iter()) - known if _is_of(process, home)]

    try:
        until_blocking(lambda: not ours(), SECONDS)
    except AssertionError:
        found = ours()
        for process in found:
            process.kill()
        return [f"process {process.pid}" for process in found]
    return [str(path) for path in set(Path("/dev/shm").iterdir()) - shared if "plasma" in path.name]


def _is_of(process: psutil.Process, home: Path) -> bool:
    """Whether it is one of the cluster's: by its environment, or by its log files, since Ray writes over the former."""
    if process.pid == os.getpid() or has_ended(process):
        return False
    own = Path("/proc", str(process.pid))
    try:
        files = [file.readlink() for file in (own / "fd").iterdir()]
        return str(home).encode() in (own / "environ").read_bytes() or any(home in file.parents for file in files)
    except OSError:
        return False  # It ended meanwhile, or is somebody else's.


@contextmanager
def local_cluster(**arguments: Any) -> Iterator[Any]:
    """One node, with this process as its driver; gives the module ``ray``."""
    with ray_home() as home:
        import ray

        # A stale file must not matter, nor what the environment says.
        (home / "ray").mkdir()
        (home / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
        os.environ["RAY_ADDRESS"] = "127.0.0.1:1"
        try:
            ray.init(address="local", **{"include_dashboard": False, "log_to_driver": False, **arguments})
            yield ray
        finally:
            ray.shutdown()


@contextmanager
def machines(**environment: str) -> Iterator[Any]:
    """A cluster to which further nodes can be added, each as a machine of its own; gives Ray's ``Cluster``.

    This process is a driver on its first node, which takes no actors that ask for a CPU.
    """
    with ray_home():
        os.environ.update(environment)
        import ray
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        try:
            ray.init(address=cluster.address, log_to_driver=False)
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


def start_driver(ray: Any, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Another program that uses the cluster of this one; what it does is in driver.py."""
    address = ray.get_runtime_context().gcs_address
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("driver.py")), address, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def raylet_of(node: Any) -> subprocess.Popen[bytes]:
    """The process that is a machine for Ray."""
    process: subprocess.Popen[bytes] = node.all_processes["raylet"][0].process
    return process


def hard_end(pid: int) -> None:
    """SIGKILL, and wait until the process has ended."""
    process = psutil.Process(pid)
    process.kill()
    until_blocking(lambda: has_ended(process))


def lives(pid: int) -> bool:
    """Whether a process with this number runs."""
    return psutil.pid_exists(pid) and start_of(pid) is not None and not has_ended(psutil.Process(pid))
