"""``python -m discomfort.conversion``: find or install a Chromium, launch it once, and print its path."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from discomfort.conversion.browser.process import Browser
from discomfort.exceptions import BrowserError


async def _launch_once(directory: Path) -> str:
    browser = Browser(directory, host="localhost", port=9)
    try:
        await browser.launch()
        return str(browser.executable)
    finally:
        await browser.aclose()


def main() -> int:
    """Returns 0 if a Chromium works, 1 if there is none; reason and remedy are printed to stderr."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="discomfort-") as directory:
        try:
            path = asyncio.run(_launch_once(Path(directory)))
        except BrowserError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    sys.stderr.write(f"Chromium: {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
