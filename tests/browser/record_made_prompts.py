"""Record what the literal procedure makes of the small workflows: ``python -m browser.record_made_prompts [ROOT]``.

Run in ``tests/``. The recording is of the installed frontend, or of the one in the folder ROOT.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from browser import literal
from browser.made_workflows import PACK_NODES, PACK_SCRIPT, all_made
from browser.stub_server import StubServer, front_end_root
from playwright.async_api import async_playwright

from discomfort.conversion.browser.chromium import existing_chromium

HERE = Path(__file__).parent


async def record(root: Path) -> dict[str, object]:
    """The prompt of every small workflow, from the frontend in ``root``."""
    server = await StubServer(static=root, nodes=PACK_NODES, extensions={"pack.js": PACK_SCRIPT.read_text()}).start()
    async with async_playwright() as playwright:
        executable = existing_chromium(None, playwright.chromium.executable_path)
        browser = await playwright.chromium.launch(executable_path=executable, args=["--enable-webgl", "--disable-gpu"])
        prompts: dict[str, object] = {}
        for name, workflow in all_made().items():
            try:
                prompts[name] = await literal.convert(browser, server.url, workflow)
            except Exception as error:  # noqa: BLE001 - a refusal is a result too
                prompts[name] = f"error: {str(error).splitlines()[0]}"
        await browser.close()
    await server.aclose()
    return prompts


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else front_end_root()
    text = json.dumps(asyncio.run(record(folder)), indent=1, sort_keys=True)
    (Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "made_prompts.json").write_text(text + "\n")
