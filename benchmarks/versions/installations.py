"""Options of an installation's command line, and the packages that it needs."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.versions.drift_report import Finding, of_tables

HELP_SECONDS = 120.0
FRONTEND = "comfyui-frontend-package"
_OPTION = re.compile(r"^  (-.*?)(?: {2,}.*)?$", re.MULTILINE)
_REQUIREMENT = re.compile(r"^([A-Za-z0-9][\w.-]*)[ \t]*([^#;\n]*)", re.MULTILINE)
_VERSIONS = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        found[name] = "not installed"
print(json.dumps(found))
"""


def output(command: Sequence[str], folder: Path) -> str:
    """What a command prints. Raises ``CalledProcessError``."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"COLUMNS": "500"},
        capture_output=True,
        text=True,
        timeout=HELP_SECONDS,
        check=True,
    )
    return done.stdout


def options(help_text: str) -> dict[str, str]:
    """The options in a help text by their first long name, as the help shows them."""
    found = {}
    for shown in _OPTION.findall(help_text):
        names = re.findall(r"--[\w-]+", shown)
        if names:
            found[names[0]] = shown
    return dict(sorted(found.items()))


def required(folder: Path) -> dict[str, str]:
    """The packages in a folder's ``requirements.txt``, with the versions that it asks for."""
    text = (folder / "requirements.txt").read_text()
    return {name.lower(): version.strip() for name, version in _REQUIREMENT.findall(text)}


def packages(python: Path, asked: dict[str, str], folder: Path) -> dict[str, str]:
    """The required packages, each with what is asked for and what is installed."""
    installed = json.loads(output([str(python), "-c", _VERSIONS, *asked], folder))
    return {name: f"{asked[name] or 'any'}, installed {installed[name]}" for name in sorted(asked)}


def compare(
    options_of: tuple[dict[str, str], ...], packages_of: tuple[dict[str, str], ...]
) -> dict[str, list[Finding]]:
    """Both installations' options and packages, the frontend first."""
    first = [{FRONTEND: found.get(FRONTEND, "none")} | found for found in packages_of]
    return {"options of the command line": of_tables(*options_of), "packages, the frontend first": of_tables(*first)}
