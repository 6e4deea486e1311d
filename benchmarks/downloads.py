"""A download of 2 GB beside curl, in turns, from a server of its own on loopback: time, and growth of memory.

    python benchmarks/downloads.py [--gigabytes 2] [--rounds 3] [--folder DIR]

The server is a process of its own that sends one mapped file. Ours checks the sha256 and synchronises the file, curl
does neither; ``sha256sum`` and ``sync`` after curl are measured too, since a user would need both. Growth is the
highest memory of this process during the download, less that before.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

import psutil
from yarl import URL

from discomfort._system.http_sessions import open_session
from discomfort.planning.needs import FileDigest
from discomfort.provision.disk_room import DiskRoom
from discomfort.provision.file_download import FileDownload
from discomfort.provision.file_receiver import DownloadLimits, FileGoal, FileReceiver
from discomfort.provision.file_request import FileRequest

SERVER = """
import os, socket, sys
path = sys.argv[1]
size = os.path.getsize(path)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    peer, _ = listener.accept()
    with peer, open(path, "rb") as file:
        while not peer.recv(65536).endswith(b"\\r\\n\\r\\n"):
            pass
        peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n" % size)
        try:
            peer.sendfile(file)
        except OSError:
            pass
"""


class Peak:
    """The highest memory of this process while the block runs, in bytes above that before."""

    def __enter__(self) -> Self:
        self._process, self._done = psutil.Process(), threading.Event()
        self.before = self.highest = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.highest = max(self.highest, self._process.memory_info().rss)

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def growth(self) -> float:
        """In MiB."""
        return (self.highest - self.before) / (1 << 20)


def make_file(path: Path, gigabytes: float) -> str:
    """A file of random bytes, repeated; its sha256."""
    block, digest = os.urandom(1 << 24), hashlib.sha256()
    left = int(gigabytes * 1e9)
    with path.open("wb") as stream:
        while left > 0:
            piece = block[:left]
            stream.write(piece)
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()


async def ours(url: str, target: Path, digest: FileDigest | None) -> float:
    """Seconds of our download."""
    limits, room = DownloadLimits(), DiskRoom(0)
    request = FileRequest(target.name, URL(url), None, allows_private=True)
    goal = FileGoal(request=request, target=target, digest=digest)

    def tell(*_: object) -> None:
        """Nothing is shown."""

    begun = time.perf_counter()
    async with open_session(read_bufsize=1 << 20, auto_decompress=False) as session:
        await FileDownload(goal, FileReceiver(goal, session, room, limits, tell), room, limits, tell).run()
    return time.perf_counter() - begun


def timed(*words: str) -> float:
    """Seconds of a program."""
    begun = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> int:
    """Print one line for each side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to measure (default: TMPDIR)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    source, target = folder / "source.bin", folder / "model.safetensors"
    digest = FileDigest("sha256", make_file(source, options.gigabytes))
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(source)], stdout=subprocess.PIPE, text=True)
    times: dict[str, list[float]] = {}
    growths = []
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/model.safetensors"
        for _ in range(options.rounds):
            with Peak() as peak:
                times.setdefault("ours", []).append(asyncio.run(ours(url, target, digest)))
            growths.append(peak.growth)
            target.unlink()
            times.setdefault("ours, no hash", []).append(asyncio.run(ours(url, target, None)))
            target.unlink()
            curl = timed("curl", "--silent", "--output", str(target), url)
            sync = timed("sync", str(target))
            times.setdefault("curl", []).append(curl)
            times.setdefault("curl and sync", []).append(curl + sync)
            times.setdefault("curl, sync and sha256sum", []).append(curl + sync + timed("sha256sum", str(target)))
            target.unlink()
    finally:
        server.kill()
        server.communicate()
        shutil.rmtree(folder)
    for side, seconds in times.items():
        middle = statistics.median(seconds)
        print(f"{side}: {middle:.2f} s, {options.gigabytes * 1e3 / middle:.0f} MB/s")
    print(f"growth of memory: {', '.join(f'{growth:.1f}' for growth in growths)} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
