"""Where a ComfyUI may lie on this machine."""

from __future__ import annotations

import configparser
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_log = logging.getLogger("discomfort.discovery")

_FILES = ("main.py", "nodes.py", "server.py", "folder_paths.py")


class Location(NamedTuple):
    """A folder to look for ComfyUI in, and what makes it one, as in "found in …"."""

    path: Path
    what: str


def is_comfyui(path: Path) -> bool:
    """Whether ``path``, which somebody named, is a ComfyUI: ``main.py`` beside ``comfy/`` or its other main files."""
    return (path / "main.py").is_file() and ((path / "comfy").is_dir() or looks_like_comfyui(path))


def looks_like_comfyui(path: Path) -> bool:
    """Whether ``path``, which nobody named, is certainly enough a ComfyUI to run its ``main.py``."""
    return all((path / name).is_file() for name in _FILES)


def search(cwd: Path, environ: Mapping[str, str]) -> tuple[Location | None, list[Location]]:
    """The first ComfyUI in the usual places, and all places that were looked at until then."""
    looked: list[Location] = []
    for place in _usual_places(cwd, home_of(environ)):
        if any(place.path == seen.path for seen in looked):
            continue
        looked.append(place)
        try:
            if looks_like_comfyui(place.path):
                return place, looked
        except OSError as error:
            _log.debug("%s can not be looked into: %s", place.path, error)
    return None, looked


def home_of(environ: Mapping[str, str]) -> Path | None:
    """The home folder in ``environ``, else the user's; ``None`` where there is none."""
    named = environ.get("USERPROFILE" if os.name == "nt" else "HOME")
    if named:
        return Path(named)
    try:
        return Path.home()
    except RuntimeError:
        return None


def _usual_places(cwd: Path, home: Path | None) -> Iterator[Location]:
    yield Location(cwd, "the working directory")
    # A clone in custom_nodes runs the ComfyUI that it is a part of; it may be a symlink, so the path is not resolved.
    for start in (cwd, Path(__file__).absolute()):
        for folder in (start, *start.parents):
            if folder.name == "custom_nodes":
                yield Location(folder.parent, "the folder above custom_nodes")
    yield Location(cwd / "ComfyUI", "the working directory")
    if home is None:
        return
    for workspace in _comfy_cli_workspaces(home):
        yield Location(workspace, "comfy-cli's workspace")
        yield Location(workspace / "ComfyUI", "comfy-cli's workspace")
    for parts in (("ComfyUI",), ("comfy", "ComfyUI"), ("Documents", "ComfyUI"), ("Documents", "comfy", "ComfyUI")):
        yield Location(home.joinpath(*parts), "the home folder")


def _comfy_cli_workspaces(home: Path) -> list[Path]:
    """What comfy-cli notes as its default and its most recent workspace.

    It keeps them under ``[DEFAULT]`` of ``config.ini`` in a folder ``comfy-cli`` that does not depend on XDG variables.
    A workspace is the ComfyUI folder itself; early versions meant the folder above it.
    """
    folder = {"win32": Path("AppData", "Local"), "darwin": Path("Library", "Application Support")}.get(
        sys.platform, Path(".config")
    )
    file = home / folder / "comfy-cli" / "config.ini"
    # Without interpolation: a path may hold a percent sign.
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, OSError, ValueError) as error:
        _log.warning("comfy-cli's %s can not be read: %s", file, error)
        return []
    names = (parser["DEFAULT"].get(key, "") for key in ("default_workspace", "recent_workspace"))
    return [home / name.removeprefix("~/") for name in names if name]
