"""Finds the Python that runs ComfyUI and the packages installed in it, without importing any."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from discomfort.exceptions import ConfigurationError

_log = logging.getLogger("discomfort.discovery")

_FRONT_END = "comfyui_frontend_package"
_ASK_SECONDS = 10.0
# Finding the spec of a top-level package does not import the package.
_ASK = (
    f"import importlib.util as u; s = u.find_spec({_FRONT_END!r}); print(s.submodule_search_locations[0] if s else '')"
)


def choose_python(
    comfyui: Path, *, configured: str | None, cwd: Path, environ: Mapping[str, str], source: str | None = None
) -> str:
    """The interpreter for the ComfyUI in ``comfyui``, as an absolute path.

    Tried in order: the ``configured`` one; ComfyUI's own environment (``.venv``, ``venv``, ``env``, or the portable
    build's ``python_embeded`` beside it); the active virtual or Conda environment, then this interpreter, if it has
    torch; ``python3`` on the path. Raises ConfigurationError if the configured one is missing, or if there is none.
    """
    path = environ.get("PATH", os.defpath)
    if configured:
        has_folder = "/" in configured or os.sep in configured
        name = str((cwd / Path(configured).expanduser()).absolute()) if has_folder else configured
        found = shutil.which(name, path=path)
        if found is None:
            raise ConfigurationError(
                "is not an interpreter that can be run",
                key="COMFYUI_PYTHON",
                value=configured,
                source=source,
                remedy="Name the Python of ComfyUI's own environment, such as ComfyUI/venv/bin/python",
            )
        return str(Path(found).absolute())
    for python in (*_own_pythons(comfyui), *_active_pythons(environ)):
        return python
    on_path = shutil.which("python3", path=path) or shutil.which("python", path=path)
    if on_path is None and not sys.executable:
        raise ConfigurationError(
            "no Python was found that could run ComfyUI", key="COMFYUI_PYTHON", remedy="Set it to ComfyUI's Python"
        )
    return str(Path(on_path).absolute()) if on_path else sys.executable


def front_end_of(python: str) -> Path | None:
    """The folder of the frontend's files installed in ``python``; ``None`` if there is none or it cannot be determined.

    Looks in its site-packages; if no folder or several match, runs ``python`` to ask, for at most 10 s.
    """
    if _is_this(python):
        return _static(_spec_folder(_FRONT_END))
    found = [folder for folder in site_packages(python) if (folder / _FRONT_END).is_dir()]
    return _static(found[0] / _FRONT_END) if len(found) == 1 else _static(_ask(python))


def site_packages(python: str) -> list[Path]:
    """The package folders of the installation or environment that ``python`` belongs to."""
    home = Path(python).parent
    if home.name.lower() in {"bin", "scripts"}:
        home = home.parent
    patterns = ("lib/python3*/site-packages", "lib/python3*/dist-packages", "lib64/python3*/site-packages")
    found = [folder for pattern in patterns for folder in sorted(home.glob(pattern))]
    found += [folder for folder in (home / "Lib" / "site-packages",) if folder.is_dir()]
    # lib64 is often a link to lib: without resolving, one frontend would count as two.
    unique: dict[Path, Path] = {}
    for folder in found:
        unique.setdefault(folder.resolve(), folder)
    return list(unique.values())


def has_module(python: str, name: str) -> bool:
    """Whether ``python`` could import the top-level package ``name``, judging by its folders alone."""
    if _is_this(python):
        return _spec_folder(name) is not None
    return any((folder / name).is_dir() for folder in site_packages(python))


def _own_pythons(comfyui: Path) -> Iterator[str]:
    for name in (".venv", "venv", "env"):
        yield from _in_environment(comfyui / name)
    for name in ("python_embeded", "python_embedded"):  # spelled this way by the portable build
        for folder in (comfyui.parent / name, comfyui / name):
            for program in (folder / "python.exe", folder / "bin" / "python3", folder / "python"):
                if _runs(program):
                    yield str(program)


def _active_pythons(environ: Mapping[str, str]) -> Iterator[str]:
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if environ.get(variable):
            for python in _in_environment(Path(environ[variable])):
                if has_module(python, "torch"):
                    yield python
    if sys.executable and has_module(sys.executable, "torch"):
        yield sys.executable


def _in_environment(folder: Path) -> Iterator[str]:
    # Symlinks are not resolved: an interpreter finds its virtual environment through the path that it is called by.
    for program in ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe"):
        if _runs(folder / program):
            yield str((folder / program).absolute())
            return


def _runs(program: Path) -> bool:
    return program.is_file() and os.access(program, os.X_OK)


def _is_this(python: str) -> bool:
    return bool(sys.executable) and Path(python).absolute() == Path(sys.executable).absolute()


def _spec_folder(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as error:
        _log.debug("%s cannot be looked up: %s", name, error)
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _ask(python: str) -> Path | None:
    try:
        answer = subprocess.run(
            [python, "-c", _ASK],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ASK_SECONDS,
            check=True,
            # With -c, the working directory is searched first, so it must not contain a folder named like the package.
            cwd=Path(python).parent,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        _log.debug("%s could not be asked for its frontend: %s", python, error)
        return None
    folder = answer.stdout.strip()
    return Path(folder) if folder else None


def _static(package: Path | None) -> Path | None:
    return package / "static" if package is not None and (package / "static" / "index.html").is_file() else None
