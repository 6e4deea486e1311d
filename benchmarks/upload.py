"""The cost of ``upload_data`` for a large file: memory, time, and the method of copying.

    python benchmarks/upload.py [--gigabytes 2] [--directory DIR] [--awaited]

The bare side is ``cp`` of the same file on the same file system, in the same run. ``--awaited`` measures ``upload``
instead, to a server of its own and to the same server as an attached one: how long the event loop stood still, at most.
"""

from __future__ import annotations

import argparse
import asyncio
import filecmp
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

import psutil

from discomfort import ComfyConnector
from discomfort._system import file_copy
from discomfort.files.journal import Journal
from discomfort.files.store import FileStore


class PeakMemory:
    """The largest resident set of this process between enter and exit, in bytes, looked at every 5 ms."""

    def __enter__(self) -> Self:
        self._process = psutil.Process()
        self.before = self.peak = self._process.memory_info().rss
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._ended.wait(0.005):
            self.peak = max(self.peak, self._process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        return self.peak - self.before


def make_file(path: Path, size: int) -> None:
    """A file of random blocks, so that no file system can make it small."""
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for index in range(size >> 20):
            file.write(index.to_bytes(8, "little") + block[8:])


def method(source: Path, folder: Path) -> str:
    """How the file system let a copy be made: the first of the ways that worked, cheapest first."""
    ways = {
        "_reflink": "shared blocks (FICLONE)",
        "_in_kernel_range": "in the kernel (copy_file_range)",
        "_in_kernel_send": "in the kernel (sendfile)",
    }
    with source.open("rb") as reader, (folder / "probe").open("w+b") as writer:
        for name, words in ways.items():
            if getattr(file_copy, name)(reader.fileno(), writer.fileno()):
                return words
    return "read and written in pieces"


class LongestStall:
    """The longest time that the event loop did not come round between enter and exit, in seconds."""

    async def __aenter__(self) -> Self:
        self.seconds = 0.0
        self._task = asyncio.create_task(self._watch())
        return self

    async def _watch(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            self.seconds = max(self.seconds, time.perf_counter() - before - 0.001)

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()


async def awaited(source: Path, folder: Path, gigabytes: float) -> None:
    """``upload`` to an owned and to an attached server."""
    settings = {"engine": "emulator", "emulator_directory": folder / "server", "browser": "lazy"}
    command = f"{sys.executable} -m discomfort serve --host 127.0.0.1 --max-upload-size {int(gigabytes * 1024) + 100}"
    async with (
        await ComfyConnector.create(**settings, api_command_line=command, initial_port=8897) as owned,
        await ComfyConnector.attach(owned.server_address, browser="lazy") as attached,
    ):
        for name, connector in (("owned", owned), ("attached", attached)):
            await connector.upload(b"warm", name=f"{name}-warm.bin")
            with PeakMemory() as memory:
                async with LongestStall() as stall:
                    began = time.perf_counter()
                    upload = await connector.upload(source, name=f"{name}.bin")
                    seconds = time.perf_counter() - began
            target = folder / "server" / "input" / upload.value
            same = await asyncio.to_thread(filecmp.cmp, source, target, shallow=False)
            target.unlink()
            print(
                f"{name}: {gigabytes:g} GiB in {seconds:.2f} s, the loop stood still for at most "
                f"{1000 * stall.seconds:.0f} ms (limit 50), "
                f"memory growth {memory.growth / (1 << 20):.1f} MiB (limit 50), equal: {same}"
            )


def main() -> None:
    """Measure, and print a line a side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--directory", type=Path, default=None, help="on the file system to measure")
    parser.add_argument("--awaited", action="store_true", help="measure upload() instead of upload_data()")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="discomfort-bench-") as name:
        folder = Path(name)
        source = folder / "source.bin"
        make_file(source, int(arguments.gigabytes * (1 << 30)))
        if arguments.awaited:
            asyncio.run(awaited(source, folder, arguments.gigabytes))
            return
        began = time.perf_counter()
        subprocess.run(["cp", str(source), str(folder / "by-cp.bin")], check=True)
        bare = time.perf_counter() - began
        (folder / "by-cp.bin").unlink()
        os.sync()  # what the first copy left to be written must not be waited for by the second
        store = FileStore({"input": folder / "input", "temp": folder / "temp"}, Journal(folder / "journal"))
        with PeakMemory() as memory:
            began = time.perf_counter()
            target = store.put(source, "input")
            ours = time.perf_counter() - began
        same = subprocess.run(["cmp", "--silent", str(source), target], check=False).returncode == 0
        began = time.perf_counter()
        store.put(source, "temp", is_ephemeral=True)
        ephemeral = time.perf_counter() - began
        store.delete_ephemeral()
        small = folder / "small.bin"
        small.write_bytes(os.urandom(1 << 16))
        print(f"copied: {method(small, folder)}")
        print(f"{arguments.gigabytes:g} GiB: upload_data {ours:.2f} s, cp {bare:.2f} s, ratio {ours / bare:.2f}")
        print(f"ephemeral, its journal entry on disk before the file is visible: {ephemeral:.2f} s")
        print(f"memory growth {memory.growth / (1 << 20):.1f} MiB (limit 50), equal: {same}")


if __name__ == "__main__":
    main()
