"""Finds a Chromium, or installs one.

The order: the configured path, Playwright's own browser, a Chromium or Chrome of the system, then an installation
(Playwright's download; Debian's package if possible). Nothing is installed unless that is allowed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from discomfort._system.user import is_root
from discomfort.exceptions import BrowserError

if TYPE_CHECKING:
    from collections.abc import Sequence

logger: logging.Logger = logging.getLogger("discomfort.conversion")

SYSTEM_NAMES: Final = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "chromium-headless-shell",
    "microsoft-edge",
)
"""Names of executables that support Chromium's DevTools protocol, those closest to Chromium first."""

SYSTEM_PATHS: Final = (
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
    "/usr/lib/chromium/chromium",
    "/usr/lib/chromium-browser/chromium-browser",
    "/opt/google/chrome/chrome",
    "/snap/bin/chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
"""Where distributions install them, for a short ``PATH`` as under cron or systemd."""

DOWNLOAD_DEADLINE: Final = 600.0
"""Seconds for one installer, which downloads about 180 MB."""

_OUTPUT_LIMIT = 64 * 1024


def usable(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is a file that this user may execute."""
    return Path(path).is_file() and os.access(path, os.X_OK)


def system_chromium(names: Sequence[str] = SYSTEM_NAMES, paths: Sequence[str] = SYSTEM_PATHS) -> str | None:
    """A Chromium or Chrome on ``PATH`` or in the usual places; ``None`` if there is none."""
    on_path = (shutil.which(name) for name in names)
    return next((p for p in (*on_path, *paths) if p is not None and usable(p)), None)


def existing_chromium(configured: str | None, bundled: str | None) -> str | None:
    """The Chromium to use among those that exist; ``None`` if one would have to be installed.

    ``configured`` is the user's choice, ``bundled`` where Playwright would have put its own.
    Raises ``BrowserError`` if a configured path is not an executable: a user's choice is never replaced by a guess.
    """
    if configured:
        found = configured if usable(configured) else shutil.which(configured)
        if found is None:
            raise BrowserError(
                f"the configured browser {configured!r} is not an executable file",
                remedy="Correct CHROMIUM_PATH, or remove it so that a browser is searched for",
            )
        return found
    if bundled and usable(bundled):
        return bundled
    return system_chromium()


def manual_commands() -> tuple[str, ...]:
    """Commands that install a Chromium on this machine, the best one first; each can be pasted into a shell."""
    own = f"{sys.executable} -m playwright install --with-deps chromium"
    if shutil.which("apt-get") is None:
        return (own,)
    return ("apt-get update && apt-get install -y chromium", own)


async def find_chromium(configured: str | None, bundled: str | None, *, install: bool) -> str:
    """Path of a Chromium to launch; installs one if there is none and ``install`` is true.

    Raises ``BrowserError`` with a command to run if there is still none. Cancelling ends a running installer.
    """
    found = existing_chromium(configured, bundled)
    if found is not None:
        return found
    if install:
        logger.warning("no Chromium found; installing one (up to %d minutes)", int(DOWNLOAD_DEADLINE // 60))
        await _run([sys.executable, "-m", "playwright", "install", "chromium"])
        found = existing_chromium(None, bundled)
        if found is None and _may_apt():
            environment = {"DEBIAN_FRONTEND": "noninteractive"}
            await _run(["apt-get", "update"], environment)
            await _run(["apt-get", "install", "-y", "--no-install-recommends", "chromium"], environment)
            found = existing_chromium(None, bundled)
        if found is not None:
            logger.info("installed %s", found)
            return found
    tried = "; installing one failed, see the log" if install else ""
    commands = " or: ".join(manual_commands())
    raise BrowserError(f"there is no Chromium or Chrome on this machine{tried}", remedy=f"Run: {commands}")


def _may_apt() -> bool:
    return shutil.which("apt-get") is not None and is_root()


async def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> bool:
    """Run an installer until it ends or its deadline passes, and log its output. Returns whether it succeeded."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=os.environ | (environment or {}),
        )
    except OSError as error:
        logger.warning("%s could not be run: %s", command[0], error)
        return False
    try:
        async with asyncio.timeout(DOWNLOAD_DEADLINE):
            output, _ = await process.communicate()
    except TimeoutError:
        logger.warning("%s took longer than %.0f s and was ended", " ".join(command), DOWNLOAD_DEADLINE)
        return False
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    level = logging.INFO if process.returncode == 0 else logging.WARNING
    text = output[-_OUTPUT_LIMIT:].decode(errors="replace").strip()
    logger.log(level, "%s ended with %s:\n%s", " ".join(command), process.returncode, text)
    return process.returncode == 0
