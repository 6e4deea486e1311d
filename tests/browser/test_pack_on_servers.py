"""A node pack with JavaScript on a server that serves it: warm pages against the literal procedure."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from browser import literal
from browser.made_workflows import PACKS, all_made
from contract.engines import ENGINES, REAL, EngineUnderTest, prepare, private_environment
from playwright.async_api import Browser, async_playwright
from playwright.async_api import Error as PlaywrightError
from ports import first_port

from discomfort import ComfyConnector
from discomfort.conversion.browser.chromium import existing_chromium
from discomfort.exceptions import ConversionError

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

MADE = all_made()
# The literal procedure takes seconds each; on the stub server all of them are compared with what it gave.
_PORTS = {"emulator": first_port(19188), "comfyui": first_port(19288)}
NAMES = sorted(MADE.keys() - {"empty", "notes"}) if REAL else ["pack"]


def _with_pack(engine: EngineUnderTest) -> dict[str, Any]:
    """The engine's settings, the pack among its custom nodes, the prompt cache off."""
    if engine.real:
        (engine.home / "custom_nodes" / "test_pack").symlink_to(PACKS / "test_pack", target_is_directory=True)
        return engine.settings | {"prompt_cache": "off"}
    command = shlex.join(["--custom-node-directory", str(PACKS)])
    return engine.settings | {
        "prompt_cache": "off",
        "api_command_line": f"{engine.settings['api_command_line']} {command}",
    }


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=ENGINES,
)
async def connector(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ComfyConnector]:
    """A server with the pack."""
    home: Path = tmp_path_factory.mktemp(request.param)
    with private_environment(tmp_path_factory.mktemp("state")):
        engine = prepare(request.param, home, initial_port=_PORTS[request.param])
        async with await ComfyConnector.create(**_with_pack(engine)) as made:
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A browser for the literal procedure."""
    async with async_playwright() as playwright:
        executable = existing_chromium(None, playwright.chromium.executable_path)
        arguments = ["--enable-webgl", "--disable-gpu", "--disable-dev-shm-usage"]
        launched = await playwright.chromium.launch(executable_path=executable, args=arguments)
        yield launched
        await launched.close()


@pytest.mark.parametrize("name", NAMES)
async def test_converts_as_literally(connector: ComfyConnector, browser: Browser, name: str) -> None:
    """The same prompt, also a second time, or the same failure.

    The pack has its own serialization, a virtual node, growing inputs.
    """
    url = connector.server_address
    assert url is not None
    try:
        expected = await literal.convert(browser, url, MADE[name])
    except PlaywrightError:
        # Frontend 1.49.6 takes the key "__proto__" of a workflow for its graph's own, which then has no methods left.
        assert name == "hostile"
        with pytest.raises(ConversionError, match=r"the frontend failed to \w+ it: .* is not a function"):
            await connector.get_prompt_from_workflow(MADE[name])
        return

    first = await connector.get_prompt_from_workflow(MADE[name])
    again = await connector.get_prompt_from_workflow(MADE[name])

    assert first == again == expected
    if name == "pack":
        assert {node["class_type"] for node in first.values()} >= {"PackSerialized", "PackGrowing", "PackFaulty"}
