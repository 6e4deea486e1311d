"""Servers: started for a comparison, or given by their URL; prompts run on them, and their outputs read."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from benchmarks.parity import readers
from benchmarks.parity.building import Graph
from benchmarks.parity.ordering import SEED

START_SECONDS = 120.0
RUN_SECONDS = 300.0
NODES = Path(__file__).parent / "nodes"
"""The node pack that both servers load; see :mod:`benchmarks.parity.nodes.parity_nodes`."""


class Server:
    """One server by its URL."""

    process: subprocess.Popen[bytes] | None = None
    """Its process, where it was started here."""
    folder: Path | None = None
    """Its base directory, where it was started here."""
    _log: IO[bytes] | None = None

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def log(self) -> str:
        """What its process has written so far."""
        # A seek would move the place where the process goes on writing.
        return os.pread(self._log.fileno(), 1 << 24, 0).decode(errors="replace") if self._log else ""

    def send(
        self, path: str, data: bytes | None = None, *, headers: dict[str, str] | None = None, method: str | None = None
    ) -> tuple[int, bytes]:
        """One request: status and body, whatever the status."""
        request = urllib.request.Request(self.url + path, data=data, headers=headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=RUN_SECONDS) as answer:
                return int(answer.status), bytes(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def request(self, path: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
        """The body of an answer, also of an error."""
        return self.send(path, data, headers=headers)[1]

    def upload(self, name: str, content: bytes) -> None:
        """Put a file into the input folder, or into a folder in there."""
        mark = uuid.uuid4().hex
        folder, _, name = name.rpartition("/")
        head = (
            f'--{mark}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n'
            f'--{mark}\r\nContent-Disposition: form-data; name="subfolder"\r\n\r\n{folder}\r\n'
            f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
            f"Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        body = head + content + f"\r\n--{mark}--\r\n".encode()
        self.request("/upload/image", body, {"Content-Type": f"multipart/form-data; boundary={mark}"})

    def run(self, graph: Graph) -> dict[str, Any]:
        """Queue a prompt and wait for its record; a refused prompt gives ``{"refused": …}``."""
        answer = json.loads(self.request("/prompt", json.dumps({"prompt": graph}).encode()))
        return self.record(answer["prompt_id"]) if "prompt_id" in answer else {"refused": answer}

    def record(self, prompt_id: str) -> dict[str, Any]:
        """Wait for the record of a prompt. Raises ``TimeoutError``."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            found = json.loads(self.request(f"/history/{urllib.parse.quote(prompt_id, safe='')}"))
            if found:
                return dict(found[prompt_id])
            time.sleep(0.01)
        raise TimeoutError(f"{self.url} did not finish a prompt within {RUN_SECONDS:g} s")

    def object_info(self) -> dict[str, Any]:
        """The definitions of all its nodes."""
        return dict(json.loads(self.request("/object_info")))

    def output_classes(self) -> set[str]:
        """The classes of this server that are outputs."""
        return {name for name, about in self.object_info().items() if about["output_node"]}

    def outputs(self, record: dict[str, Any]) -> list[Any]:
        """Arrays of the files, and the texts, that a record names, in the order of the node ids."""
        found: list[Any] = []
        for node_id in sorted(record["outputs"], key=lambda key: (len(key), key)):
            for kind, values in sorted(record["outputs"][node_id].items()):
                found += [self.read(value) if is_file(value) else shown(kind, value) for value in values]
        return found

    def read(self, reference: dict[str, str]) -> Any:
        """The content of an output file, as its kind is read."""
        status, content = self.send(f"/view?{urllib.parse.urlencode(reference)}")
        if status != 200:
            return f"{reference}: {status}"
        return READERS.get(Path(reference["filename"]).suffix, read_picture)(content)


def shown(kind: str, value: object) -> str:
    """A value that is not a file as text, without the random parts of names."""
    return re.sub(r"[0-9a-f]{32}", "…", f"{kind}: {value}")


def is_file(value: object) -> bool:
    """Whether a value in a node's output is a reference to a file."""
    return isinstance(value, dict) and "filename" in value


def read_picture(data: bytes) -> Any:
    """The frames of a picture."""
    with Image.open(io.BytesIO(data)) as picture:
        frames = [np.asarray(picture.seek(k) or picture) for k in range(getattr(picture, "n_frames", 1))]
    return np.stack(frames)


def read_latent(data: bytes) -> Any:
    """The array of a saved latent, in thousandths, so that it can be compared like levels."""
    length = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8 : 8 + length])["latent_tensor"]
    start, end = (8 + length + offset for offset in entry["data_offsets"])
    array = np.frombuffer(data[start:end], dtype="<f4").reshape(entry["shape"])
    return np.rint(np.nan_to_num(array.astype(np.float64), nan=-1e9, posinf=1e9, neginf=-1e9) * 1000).astype(int)


READERS: dict[str, Callable[[bytes], Any]] = readers.READERS | {".latent": read_latent}
"""How files that are not pictures are read, by ending: to an array of integers, or to a text."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def emulator(*options: str, comfyui: Path | None = None, packs: Sequence[Path] = (NODES,)) -> Iterator[Server]:
    """The emulator with the comparison's nodes, in folders of its own; it may read tables from ``comfyui``."""
    with tempfile.TemporaryDirectory() as base:
        command = [sys.executable, "-m", "discomfort", "serve", "--base-directory", base]
        command += ["--comfyui", str(comfyui)] if comfyui else []
        command += [word for pack in packs for word in ("--custom-node-directory", str(pack))]
        with started([*command, *options], Path.cwd()) as server:
            server.folder = Path(base)
            yield server


@contextlib.contextmanager
def comfyui(
    path: Path, python: Path | None = None, *options: str, seed: str = SEED, packs: Sequence[Path] = (NODES,)
) -> Iterator[Server]:
    """A real ComfyUI with the comparison's nodes, in folders of its own; ``path`` is only read."""
    with tempfile.TemporaryDirectory() as base:
        (Path(base) / "custom_nodes").mkdir()
        extra = Path(base) / "extra.yaml"
        # With the pack that comes with ComfyUI, which the folders of its own would hide.
        folders = "".join(f"    {folder}\n" for folder in (*packs, path / "custom_nodes"))
        extra.write_text(f"parity:\n  custom_nodes: |\n{folders}")
        command = [str(python or own_python(path)), "main.py", "--cpu", "--base-directory", base]
        command += ["--extra-model-paths-config", str(extra), "--database-url", "sqlite:///:memory:"]
        with started([*command, *options], path, seed) as server:
            server.folder = Path(base)
            yield server


def own_python(path: Path) -> Path:
    """The interpreter of a ComfyUI's own environment, else this one."""
    names = (path / folder / "bin" / "python" for folder in (".venv", "venv"))
    return next((name for name in names if name.exists()), Path(sys.executable))


@contextlib.contextmanager
def started(command: Sequence[str], folder: Path, seed: str = SEED) -> Iterator[Server]:
    """A server's process from its first 200 to its end. Raises ``RuntimeError`` with its log if it does not start."""
    port = free_port()
    server = Server(f"http://127.0.0.1:{port}")
    environment = os.environ | {"PYTHONHASHSEED": seed}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        server.process, server._log = process, log
        try:
            if not answers(server, process):
                log.seek(0)
                raise RuntimeError(f"{command} did not start:\n{log.read().decode(errors='replace')[-2000:]}")
            yield server
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(server: Server, process: subprocess.Popen[bytes]) -> bool:
    """Wait for the first 200; ``False`` if the process ends before, or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if server.send("/prompt")[0] == 200:
                return True
        time.sleep(0.02)
    return False
