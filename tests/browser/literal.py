"""The conversion procedure as it is documented, step by step, without any of the library's code.

One wait is added. The documented ones end before the frontend is ready if a busy machine keeps its scripts waiting: the
frontend then loads its first graph over the workflow, and the prompt is empty.
"""

from __future__ import annotations

import json
from typing import Any

from playwright.async_api import Browser

MILLISECONDS = 120_000
"""For each wait: a busy machine needs longer than Playwright's 30 s."""
READY = """() => {
  const nodes = Object.values(window.LiteGraph?.registered_node_types ?? {});
  return window.graph && !window.app.extensionManager?.spinner && nodes.some((node) => node.nodeData !== undefined);
}"""


async def convert(browser: Browser, url: str, workflow: dict[str, Any]) -> dict[str, Any]:
    """A fresh context and page: load, wait for network idle and ``window.app``, load the workflow, convert."""
    context = await browser.new_context()
    try:
        page = await context.new_page()
        page.set_default_timeout(MILLISECONDS)
        await page.goto(url)
        await page.wait_for_load_state("networkidle")
        await page.wait_for_function("() => typeof window.app !== 'undefined'")
        await page.wait_for_function(READY)
        # As text: Playwright itself would drop a key called __proto__.
        await page.evaluate("async (wf) => { await window.app.loadGraphData(JSON.parse(wf)); }", json.dumps(workflow))
        prompt = await page.evaluate(
            "async () => { return JSON.stringify((await window.app.graphToPrompt()).output); }"
        )
        made: dict[str, Any] = json.loads(prompt)
        return made
    finally:
        await context.close()


async def version(browser: Browser, url: str) -> str:
    """The version of the frontend that a server has."""
    page = await browser.new_page()
    try:
        await page.goto(url)
        await page.wait_for_function("() => window.__COMFYUI_FRONTEND_VERSION__")
        return str(await page.evaluate("() => window.__COMFYUI_FRONTEND_VERSION__"))
    finally:
        await page.close()
