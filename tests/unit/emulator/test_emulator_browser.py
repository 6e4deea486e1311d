"""The real frontend on the emulator: it boots without errors and runs the example."""

from __future__ import annotations

import importlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

N = Any

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "hello.json"

# Requests that fail on a healthy ComfyUI too (first boot, clean user folder; 0.3.64 with frontend 1.27.10, and 0.33.0
# with 1.49.6).
KNOWN_FAILURES = {
    "/user.css",
    "/api/userdata/user.css",
    "/api/userdata",
    "/api/userdata/comfy.templates.json",
}

KNOWN_ERRORS = (
    "404 (Not Found)",
    "ComfyApp graph accessed before initialization",  # 1.49.6, of itself
)

# A frontend that has been opened before loads its default workflow at the end of its start, which would replace any
# workflow loaded earlier.
READY = "() => window.graph && window.app?.graph?.nodes?.length >= 7"


def front_ends() -> list[Any]:
    """The installed frontend, and that of the ComfyUI under test if it has an environment of its own."""
    real = Path(os.environ.get("COMFYUI_PATH", "/nonexistent"))
    package = "lib/python*/site-packages/comfyui_frontend_package/static"
    own = [path for name in ("venv", ".venv") for path in (real / name).glob(package)]
    return [pytest.param(None, id="installed"), *(pytest.param(path, id="of-comfyui") for path in own[:1])]


def chromium_path() -> str | None:
    """A system Chromium; ``None`` for Playwright's own."""
    return shutil.which("chromium") or shutil.which("google-chrome")


@dataclass
class Visit:
    """The errors during a visit to a page: failed requests, errors of the console and of the page."""

    failed: set[str]
    console: list[str]
    page_errors: list[str]


@pytest.fixture
async def page() -> AsyncIterator[Any]:
    """A page of a headless browser."""
    playwright = pytest.importorskip("playwright.async_api")
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        try:
            yield await browser.new_page(viewport={"width": 1280, "height": 720})
        finally:
            await browser.close()


def watch(page: Any, url: str) -> Visit:
    """Collect the errors of a page. Other hosts are unreachable and do not count."""
    visit = Visit(set(), [], [])

    def answered(response: Any) -> None:
        if response.status >= 400:
            visit.failed.add(response.url.removeprefix(url).split("?")[0])

    def said(message: Any) -> None:
        place = message.location.get("url", "")
        if message.type == "error" and place.startswith(url):
            visit.console.append(f"{message.text} {place.removeprefix(url).split('?')[0]}")

    page.on("response", answered)
    page.on("console", said)
    page.on("pageerror", lambda error: visit.page_errors.append(str(error)))
    return visit


async def run_the_example(page: Any, url: str) -> Visit:
    """Open the page as a returning user, load the example, press Run, and wait for the picture."""
    visit = watch(page, url)
    await page.route(lambda address: not address.startswith(url), lambda route: route.abort())
    settings = {"Comfy.TutorialCompleted": True, "Comfy.InstalledVersion": "1.0.0"}
    await page.request.post(f"{url}/settings", data=settings)
    await page.goto(url)
    await page.wait_for_function(READY, timeout=60_000)
    await page.evaluate("async (workflow) => { await app.loadGraphData(workflow); }", json.loads(EXAMPLE.read_text()))
    # A group with a button, or (since 1.48 at the latest) the button itself.
    group = page.get_by_test_id("queue-button").get_by_role("button", name="Run", exact=True)
    await group.or_(page.locator("button[data-testid=queue-button]")).click()
    await page.wait_for_function("() => app.graph.nodes.some((node) => node.imgs?.[0]?.naturalWidth === 512)")
    return visit


@pytest.fixture(params=front_ends())
async def served(request: Any, launch: N) -> AsyncIterator[Any]:
    """An emulator with one of the frontends."""
    async with launch(front_end_root=request.param) as client:
        yield client


@pytest.mark.browser
async def test_frontend_boots_and_runs_the_example(served: N, page: Any) -> None:
    """No request fails that does not fail on ComfyUI, and the queued example shows its picture.

    Set ``DISCOMFORT_SCREENSHOT`` to a path to get a screenshot.
    """
    url = str(served.http.make_url("/")).rstrip("/")

    visit = await run_the_example(page, url)
    dialogs = await page.evaluate("() => document.querySelectorAll('.p-dialog').length")
    if path := os.environ.get("DISCOMFORT_SCREENSHOT"):
        await page.evaluate("() => { app.canvas.ds.reset(); app.canvas.fitViewToSelectionAnimated?.(); }")
        await page.wait_for_function("() => new Promise((done) => requestAnimationFrame(() => done(true)))")
        await page.screenshot(path=path)

    assert visit.failed <= KNOWN_FAILURES
    assert [text for text in visit.console if not any(known in text for known in KNOWN_ERRORS)] == []
    assert dialogs == 0
    # One page error belongs to every healthy boot of this frontend.
    assert len(visit.page_errors) <= 1, visit.page_errors
    assert (served.base / "output" / "hello_00001_.png").exists()


@pytest.mark.browser
@pytest.mark.comfyui
@pytest.mark.skipif("COMFYUI_PATH" not in os.environ, reason="needs COMFYUI_PATH")
@pytest.mark.timeout(240)
async def test_comfyui_has_the_same_complaints(launch: N, page: Any, monkeypatch: N) -> None:
    """Every failed request and error of ComfyUI's frontend on the emulator occurs on ComfyUI too."""
    monkeypatch.syspath_prepend(str(ROOT))
    servers = importlib.import_module("benchmarks.parity.servers")

    async with launch(front_end_root=front_ends()[-1].values[0]) as client:
        ours = await run_the_example(page, str(client.http.make_url("/")).rstrip("/"))
        # Its complaints about a server that ends do not count.
        await page.unroute_all()
        other = await page.context.browser.new_page(viewport=page.viewport_size)
        await page.close()
    with servers.comfyui(Path(os.environ["COMFYUI_PATH"]).resolve()) as real:
        theirs = await run_the_example(other, real.url)

    assert ours.failed <= theirs.failed
    assert set(ours.console) <= set(theirs.console)
    assert set(ours.page_errors) <= set(theirs.page_errors)


def test_example_and_self_test_are_complete() -> None:
    """The shipped workflows are saved as the UI saves them; the self-test leaves nothing in the output folder."""
    hello = json.loads(EXAMPLE.read_text())
    resources = Path(__file__).parents[3] / "discomfort" / "resources"
    self_test = json.loads((resources / "self_test.json").read_text())

    assert {workflow["version"] for workflow in (hello, self_test)} == {0.4}
    assert [node["type"] for node in self_test["nodes"]] == ["EmptyImage", "PreviewImage"]
    for workflow in (hello, self_test):
        ids = {node["id"] for node in workflow["nodes"]}
        assert all({link[1], link[3]} <= ids for link in workflow["links"])
    assert [node["type"] for node in hello["nodes"]].count("SaveImage") == 1
