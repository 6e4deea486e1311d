"""Time of ``create()``, compared with the minimum: the bare server's boot plus one load of its page.

    python benchmarks/startup.py [--comfyui PATH] [--command "python3 main.py --cpu"] [--rounds 3]

Both sides run alternately in one run. The bare side starts the same command without any of this library, waits for the
first 200, then loads the page in the same Chromium until it can convert. Without ``--comfyui`` the emulator is started.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import statistics
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from discomfort import ComfyConnector
from discomfort.conversion.browser.chromium import system_chromium
from discomfort.discovery.engines import Engine, EngineRequest, resolve_engine

READY = "() => Boolean(window.app?.graph) && Object.keys(window.LiteGraph?.registered_node_types ?? {}).length > 20"
PORT = 8790


def resolve(arguments: argparse.Namespace) -> Engine:
    """The command line that ``create()`` would use."""
    return resolve_engine(
        EngineRequest(
            kind="comfyui" if arguments.comfyui else "emulator",
            comfyui_path=arguments.comfyui,
            command_line=arguments.command if arguments.comfyui else None,
            working_directory=None,
            python=None,
            emulator_directory=None,
            cwd=Path.cwd(),
            environ=os.environ,
        )
    )


def answers(url: str) -> bool:
    """Whether the server gives a 200."""
    try:
        with urllib.request.urlopen(f"{url}/prompt", timeout=1) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


@contextlib.asynccontextmanager
async def bare_server(engine: Engine, port: int) -> AsyncIterator[None]:
    """The same command without the library, until its first 200."""
    command = engine.command(port)
    process = await asyncio.create_subprocess_exec(
        *command.argv,
        cwd=command.cwd,
        env=None if command.env is None else dict(command.env),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not await asyncio.to_thread(answers, f"http://127.0.0.1:{port}"):
            if process.returncode is not None:
                raise SystemExit(f"the bare server ended with {process.returncode}")
            await asyncio.sleep(0.01)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def load_page(browser: Browser, url: str) -> None:
    """One load, in a fresh context, until the page could convert."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(url)
    await page.wait_for_function(READY, timeout=120_000)
    await context.close()


async def bare(arguments: argparse.Namespace) -> tuple[float, float]:
    """Seconds of the boot, and of the page load; the browser's own launch is not counted."""
    engine = resolve(arguments)
    try:
        async with async_playwright() as playwright:
            sandbox = {"chromium_sandbox": os.geteuid() != 0}
            browser = await playwright.chromium.launch(executable_path=system_chromium(), **sandbox)
            began = time.perf_counter()
            async with bare_server(engine, PORT):
                booted = time.perf_counter()
                await load_page(browser, f"http://127.0.0.1:{PORT}")
                loaded = time.perf_counter()
            await browser.close()
    finally:
        engine.discard()
    return booted - began, loaded - booted


async def ours(arguments: argparse.Namespace) -> float:
    """Seconds of ``create()``: engine, port, server, browser launch, page, socket and self-test."""
    settings = {"engine": "emulator"}
    if arguments.comfyui:
        settings = {"comfyui_path": str(arguments.comfyui), "api_command_line": arguments.command}
    began = time.perf_counter()
    connector = await ComfyConnector.create(**settings, initial_port=PORT + 10, prompt_cache="off")
    took = time.perf_counter() - began
    await connector.kill_api()
    return took


async def measure(arguments: argparse.Namespace) -> None:
    """Alternate, print every round and the ratio of the medians."""
    boots, loads, creates = [], [], []
    await bare(arguments)  # warms the page cache of the disk for both
    for number in range(1, arguments.rounds + 1):
        boot, load = await bare(arguments)
        create = await ours(arguments)
        boots.append(boot)
        loads.append(load)
        creates.append(create)
        print(f"round {number}: boot {boot:.2f} s + page {load:.2f} s; create() {create:.2f} s")
    least = statistics.median(boots) + statistics.median(loads)
    ratio = statistics.median(creates) / least
    print(f"create() {statistics.median(creates):.2f} s / bare {least:.2f} s = {ratio:.2f} (target: at most 1.10)")


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comfyui", type=Path, default=None)
    parser.add_argument("--command", default="python3 main.py --cpu")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as state:
        os.environ["XDG_CACHE_HOME"] = state  # neither side may profit from an earlier run
        asyncio.run(measure(arguments))


if __name__ == "__main__":
    sys.exit(main())
