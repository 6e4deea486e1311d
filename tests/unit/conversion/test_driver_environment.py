"""The patch of Playwright's private name, on the Playwright that is installed."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

from discomfort.conversion.browser.driver_environment import FUNCTION, PRIVATE, patch

ROOT = Path(__file__).parents[3]

STARTED = """
import asyncio, json, os, sys
import playwright.async_api
from discomfort.conversion.browser import driver_environment

async def told(*command, env=None, **_):
    # Ends here: nothing is started, and what Playwright would do next is of no interest.
    print(json.dumps({"patched": patched, "mark": (env or os.environ).get("MARK"), "ours": os.environ.get("MARK")}))
    sys.stdout.flush()
    os._exit(0)

async def main():
    global patched
    patched = driver_environment.patch()
    asyncio.create_subprocess_exec = told
    if sys.argv[1] == "given":
        with driver_environment.driver_environment({"MARK": "driver"}):
            await playwright.async_api.async_playwright().start()
    await playwright.async_api.async_playwright().start()

asyncio.run(main())
"""


def declared() -> Requirement:
    """The versions of Playwright that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return next(found for found in map(Requirement, project["dependencies"]) if found.name == "playwright")


def start_driver(given: str) -> dict[str, object]:
    """With which environment the driver would be started, and whether the patch found its name."""
    done = subprocess.run(
        [sys.executable, "-c", STARTED, given], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_installed_version_is_in_the_declared_range() -> None:
    """Otherwise what the tests here say is not about what users install."""
    installed = version("playwright")
    assert declared().specifier.contains(installed), f"playwright {installed} is outside of {declared()} in pyproject"


def test_variables_reach_the_driver_and_nothing_else() -> None:
    """The driver's process has them; our environment, and a driver that is started outside of the block, do not."""
    found = start_driver("given")
    problem = (
        f"playwright {version('playwright')} has no {FUNCTION} in any module of {PRIVATE}*: see how it makes the "
        f"driver's environment now, and change driver_environment.py, or bound {declared()} in pyproject"
    )
    assert found["patched"], problem
    assert found["mark"] == "driver", f"{problem}; it has the name and does not use it for the driver"
    assert found["ours"] is None
    assert start_driver("nothing")["mark"] is None


def test_modules_that_appear_meanwhile_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other threads import modules at any time, also while all modules are looked through."""
    added: list[str] = []

    def add(phase: str, _: object) -> None:
        if phase == "start":
            name = f"discomfort_test_module_{len(added)}"
            added.append(name)
            sys.modules[name] = ModuleType(name)

    threshold = gc.get_threshold()
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    gc.callbacks.append(add)
    gc.set_threshold(1)
    try:
        patch()
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(add)
    assert added
