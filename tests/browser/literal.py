"""The conversion procedure as it is documented, step by step, without any of the library's code."""

from __future__ import annotations

import json
from typing import Any

from playwright.async_api import Browser


async def convert(browser: Browser, url: str, workflow: dict[str, Any]) -> dict[str, Any]:
    """A fresh context and page: load, wait for network idle and ``window.app``, load the workflow, convert."""
    context = await browser.new_context()
    try:
        page = await context.new_page()
        await page.goto(url)
        await page.wait_for_load_state("networkidle")
        await page.wait_for_function("() => typeof window.app !== 'undefined'")
        # As text: Playwright itself would drop a key called __proto__.
        await page.evaluate("async (wf) => { await window.app.loadGraphData(JSON.parse(wf)); }", json.dumps(workflow))
        prompt = await page.evaluate(
            "async () => { return JSON.stringify((await window.app.graphToPrompt()).output); }"
        )
        made: dict[str, Any] = json.loads(prompt)
        return made
    finally:
        await context.close()
