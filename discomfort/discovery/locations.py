"""Searches the usual places on this machine for a ComfyUI."""

from __future__ import annotations

import configparser
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_log = logging.getLogger("discomfort.discovery")

REMEDY = "Set COMFYUI_PATH to the folder that holds ComfyUI's main.py"

_FILES = ("main.py", "nodes.py", "server.py", "folder_paths.py")


class Location(NamedTuple):
    """A folder to look for ComfyUI in; ``what`` describes it, as in "found in the home folder"."""

    path: Path
    what: str


def is_comfyui(path: Path) -> bool:
    """Whether a ``path`` named by the user is a ComfyUI: ``main.py`` beside ``comfy/`` or its other main files."""
    return (path / "main.py").is_file() and ((path / "comfy").is_dir() or looks_like_comfyui(path))


def looks_like_comfyui(path: Path) -> bool:
    """Whether a ``path`` not named by the user is certain enough to be a ComfyUI that its ``main.py`` may be run."""
    return all((path / name).is_file() for name in _FILES)


def remedy(path: Path) -> str:
    """What helps if a ``path`` named by the user is not a ComfyUI; names the folder that was meant, if one is near."""
    near = [("above", path.parent), ("below", path / "ComfyUI")]
    place, meant = next(((name, folder) for name, folder in near if is_comfyui(folder)), ("", None))
    return REMEDY if meant is None else f"Did you mean the folder {place}, {meant}?"


def search(cwd: Path, environ: Mapping[str, str]) -> tuple[Location | None, list[Location]]:
    """The first ComfyUI in the usual places, and the places searched up to it."""
    looked: list[Location] = []
    for place in _usual_places(cwd, home_of(environ)):
        if any(place.path == seen.path for seen in looked):
            continue
        looked.append(place)
        try:
            if looks_like_comfyui(place.path):
                return place, looked
        except OSError as error:
            _log.debug("%s cannot be searched: %s", place.path, error)
    return None, looked


def home_of(environ: Mapping[str, str]) -> Path | None:
    """The home folder that ``environ`` names, else the user's; ``None`` if there is none."""
    named = environ.get("HOME")
    if named:
        return Path(named)
    try:
        return Path.home()
    except RuntimeError:
        return None


def _usual_places(cwd: Path, home: Path | None) -> Iterator[Location]:
    yield Location(cwd, "the working directory")
    # A clone inside custom_nodes belongs to the ComfyUI above it. It may be a symlink, so the path is not resolved.
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
    """The default and the most recent workspace in comfy-cli's configuration.

    They are under ``[DEFAULT]`` in ``config.ini``, in a folder ``comfy-cli`` that does not depend on XDG variables.
    A workspace is the ComfyUI folder itself; in early versions it was the folder above.
    """
    file = home / ".config" / "comfy-cli" / "config.ini"
    # Interpolation is off because a path may contain a percent sign.
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, OSError, ValueError) as error:
        _log.warning("comfy-cli's %s cannot be read: %s", file, error)
        return []
    names = (parser["DEFAULT"].get(key, "") for key in ("default_workspace", "recent_workspace"))
    return [home / name.removeprefix("~/") for name in names if name]
