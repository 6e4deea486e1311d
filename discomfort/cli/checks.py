"""The checks of ``discomfort doctor``: each examines one thing and gives a remedy for its problems."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import platformdirs

from discomfort._json import JsonObject
from discomfort._system import shared_memory as shared_memory_facts

if TYPE_CHECKING:
    from discomfort.config import Settings
    from discomfort.discovery.engines import Engine

Status = Literal["ok", "warn", "fail"]

LITTLE_SPACE, NO_SPACE = 2 << 30, 256 << 20
"""Bytes free on a disk below which there is a warning, and below which it is a failure (Chromium's profile alone takes
some 50 MiB, one video some hundreds)."""
_PROBE_SECONDS = 60.0
_MINIMUM = re.compile(r"([A-Za-z0-9_.-]+)\s*(?:>=\s*([0-9.]+))?")
_DEPENDENCIES = (
    "aiohttp",
    "numpy",
    "orjson",
    "pillow",
    "platformdirs",
    "playwright",
    "psutil",
    "pydantic",
    "rich",
    "typer",
)
_PYTHON_PROBE = "import importlib.util as u,sys;print(sys.version.split()[0],u.find_spec('torch') is not None)"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor. ``remedy`` says what to do if the status is not ``ok``."""

    name: str
    status: Status
    detail: str
    remedy: str = ""

    def as_json(self) -> JsonObject:
        """The check in the form of ``--json``."""
        return asdict(self)


def python() -> Check:
    """The interpreter that runs us."""
    version = f"Python {platform.python_version()}, {sys.executable}, {platform.platform(terse=True)}"
    return Check("python", "ok", version)


def dependencies() -> Check:
    """The packages that we import, and whether they are new enough."""
    found, wrong = [], []
    for name, minimum in _requirements():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        found.append(f"{name} {version}")
        if minimum and _numbers(version) < _numbers(minimum):
            wrong.append(f"{name} {version} is older than {minimum}")
    if wrong:
        return Check(
            "dependencies", "fail", "; ".join(wrong), f"Run: {sys.executable} -m pip install --upgrade discomfort"
        )
    return Check("dependencies", "ok", ", ".join(found))


def configuration(settings: Settings) -> Check:
    """The settings that differ from their defaults, with their sources and without secrets; misspelt variables."""
    from discomfort.config import unknown_variables
    from discomfort.redaction import redact

    given = [
        f"{name.upper()}={redact(str(settings.shown(name)))} ({source})"
        for name, source in sorted(settings.sources.items())
    ]
    detail = "; ".join(given) or "nothing configured, all defaults"
    if unknown := unknown_variables():
        remedy = "Correct the name of the variable, or unset it"
        return Check("configuration", "warn", "; ".join([*unknown, detail]), remedy)
    return Check("configuration", "ok", detail)


def engine(found: Engine) -> Iterator[Check]:
    """The engine that would run the prompts, its Python, and whether its folders are writable."""
    if found.is_fallback:
        remedy = "To run models, install ComfyUI and set COMFYUI_PATH to the folder that holds its main.py"
        yield Check("engine", "warn", f"emulator: {found.reason}", remedy)
    else:
        version = f" {_comfyui_version(found.folders.base)}".rstrip() if found.kind == "comfyui" else ""
        yield Check("engine", "ok", f"{found.kind}{version}: {found.reason}")
    if found.kind == "comfyui":
        yield _engine_python(found.python)
    folders = [found.folders.input, found.folders.output, found.folders.temp, found.folders.user]
    yield writable("engine folders", folders, "Give this user the right to write there")


def frontend(found: Engine) -> Check:
    """The frontend that converts workflows."""
    root = found.front_end_root
    remedy = f"Run: {found.python} -m pip install comfyui-frontend-package"
    if root is None:
        if found.kind == "emulator":
            return Check("frontend", "fail", "comfyui-frontend-package is not installed", remedy)
        return Check("frontend", "warn", "not found on disk; the server's own frontend is used", remedy)
    if not (root / "index.html").is_file():
        return Check("frontend", "fail", f"{root} has no index.html", remedy)
    versions = sorted(path.name for path in root.parent.parent.glob("comfyui_frontend_package-*.dist-info"))
    version = versions[-1].removeprefix("comfyui_frontend_package-").removesuffix(".dist-info") if versions else ""
    return Check("frontend", "ok", f"{version} {root}".strip())


def ports(settings: Settings) -> Check:
    """Whether a port is free for the server."""
    from discomfort.exceptions import ServerStartError
    from discomfort.server.ports import lease_port

    host, initial = settings.connect_host.strip("[]"), settings.initial_port
    try:
        lease = lease_port(host, initial)
    except ServerStartError as error:
        return Check("port", "fail", error.problem, error.remedy)
    lease.release()
    if lease.port != initial:
        return Check("port", "ok", f"{initial} is taken, {lease.port} is free and will be used")
    return Check("port", "ok", f"{initial} is free on {host}")


def own_folders() -> Check:
    """Whether the folders of locks, journals and temporary files are writable."""
    temporary = Path(tempfile.gettempdir())
    state = platformdirs.user_state_path("discomfort", appauthor=False)
    cache = platformdirs.user_cache_path("discomfort", appauthor=False)
    return writable("own folders", [state, cache, temporary], "Set HOME, XDG_STATE_HOME, XDG_CACHE_HOME or TMPDIR")


def writable(name: str, folders: Iterable[Path], remedy: str) -> Check:
    """Whether each of the folders is writable, or can be created if it does not exist."""
    shown: list[str] = []
    wrong: list[str] = []
    for folder in dict.fromkeys(folders):
        existing = nearest_existing(folder)
        fine = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
        (shown if fine else wrong).append(str(folder))
    if wrong:
        return Check(name, "fail", f"not writable: {', '.join(wrong)}", remedy)
    return Check(name, "ok", f"writable: {', '.join(shown)}")


def disk_space(folders: Iterable[Path]) -> Check:
    """Whether there is enough free space on the disks that are written to."""
    disks: dict[int, tuple[int, Path]] = {}
    for folder in folders:
        existing = nearest_existing(folder)
        disks.setdefault(existing.stat().st_dev, (shutil.disk_usage(existing).free, existing))
    least = min(free for free, _ in disks.values())
    detail = ", ".join(f"{_size(free)} free at {path}" for free, path in disks.values())
    status: Status = "fail" if least < NO_SPACE else "warn" if least < LITTLE_SPACE else "ok"
    return Check(
        "disk space", status, detail, "" if status == "ok" else "Free some space, or set TMPDIR to another disk"
    )


def shared_memory(path: Path = shared_memory_facts.FOLDER) -> Check:
    """Whether Chromium has enough shared memory."""
    size = shared_memory_facts.size(path)
    if size is None:
        return Check("shared memory", "ok", f"there is no {path} on this system")
    if size < shared_memory_facts.SMALL:
        remedy = "No action is required: Chromium uses files instead. In Docker, --shm-size=1g makes it faster"
        return Check("shared memory", "warn", f"{path} has only {_size(size)}", remedy)
    return Check("shared memory", "ok", f"{path} has {_size(size)}")


def leftovers() -> Check:
    """What dead connectors left: servers, emulators' folders, locks, and journals with their files and folders.

    Each is identified by records about it, never by its name alone.
    """
    from discomfort.cli.cleaning import find_leftovers

    left = [f"process {found.name}" if found.kind == "process" else found.name for found in find_leftovers()]
    if not left:
        return Check("leftovers", "ok", "none")
    remedy = (
        "Run: discomfort doctor --clean (first make sure that no discomfort runs in a container with the same /tmp)"
    )
    return Check("leftovers", "warn", ", ".join(left), remedy)


def nearest_existing(path: Path) -> Path:
    """``path``, or the closest folder above it that exists."""
    path = path.absolute()
    while not path.exists() and path.parent != path:
        path = path.parent
    return path


def _engine_python(python: str) -> Check:
    name, remedy = (
        "engine python",
        "Install ComfyUI's requirements for that Python, or set COMFYUI_PYTHON to the right one",
    )
    try:
        done = subprocess.run(
            [python, "-c", _PYTHON_PROBE], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Check(name, "fail", f"{python} does not run: {error}", remedy)
    version, _, torch = done.stdout.strip().rpartition(" ")
    if torch != "True":
        return Check(name, "fail", f"Python {version}, {python}, has no torch", remedy)
    return Check(name, "ok", f"Python {version}, {python}, has torch")


def _comfyui_version(folder: Path) -> str:
    try:
        text = (folder / "comfyui_version.py").read_text("utf-8")
    except (OSError, UnicodeError):
        return ""
    match = re.search(r"""__version__\s*=\s*["']([^"']{1,40})["']""", text)
    return match[1] if match else ""


def _requirements() -> list[tuple[str, str]]:
    try:
        lines = importlib.metadata.requires("discomfort") or []
    except importlib.metadata.PackageNotFoundError:
        return [(name, "") for name in _DEPENDENCIES]
    matches = (_MINIMUM.match(line) for line in lines if "extra ==" not in line)
    return [(match[1], match[2] or "") for match in matches if match]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"
