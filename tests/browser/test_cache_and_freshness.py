"""Prompts that are remembered, those that must not be, and servers that change under a page.

The small frontend does where only the cache is looked at; what the frontend itself decides is seen with the real one.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from browser.background import settled
from browser.made_workflows import PACK_NODES, PACK_SCRIPT, empty_image, faulty, node, save, workflow
from browser.stub_server import StubServer, front_end_root, read_json
from contract.engines import SMALL_FRONTEND
from saved import PROMPTS, WORKFLOWS

from discomfort.conversion import Converter, PromptCache
from discomfort.conversion.browser.page import FrontEndPage, PageResult
from discomfort.conversion.cache import CachedPrompt
from discomfort.exceptions import MissingNodesError

pytestmark = pytest.mark.browser

HERE = Path(__file__).parent
DEFAULT = read_json(WORKFLOWS / "default.json")
PROMPT = read_json(PROMPTS / "default.json")

Make = Callable[..., Converter]


@pytest.fixture
async def server() -> AsyncIterator[StubServer]:
    """A server with the test pack."""
    scripts = {"pack.js": PACK_SCRIPT.read_text()}
    stub = await StubServer(nodes=PACK_NODES, extensions=scripts).start()
    yield stub
    await stub.aclose()


@pytest.fixture
async def make(server: StubServer, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes converters that share a cache folder; of the real frontend where they are told so."""
    made: list[Converter] = []

    def build(*, real: bool = False) -> Converter:
        root = front_end_root() if real else SMALL_FRONTEND
        made.append(Converter(server.url, front_end_root=root, install=False, cache=PromptCache(tmp_path / "cache")))
        return made[-1]

    yield build
    await asyncio.gather(*(converter.aclose() for converter in made))


async def test_second_process_needs_no_browser(make: Make) -> None:
    """What one converter made another has without starting a browser; the objects are not shared."""
    first, second = make(), make()
    assert await first.convert(DEFAULT) == PROMPT
    await first.aclose()

    prompt = await second.convert(DEFAULT)
    prompt.clear()

    assert await second.convert(DEFAULT) == PROMPT
    assert not second.healthy
    assert not second.private_directory.exists()


async def test_returned_prompt_is_the_callers(make: Make, tmp_path: Path) -> None:
    """Changed at once, before it is stored, it changes neither the cache in memory nor that of the next process."""
    first = make()
    for _ in range(3):
        prompt = await first.convert(DEFAULT)
        assert prompt == PROMPT
        for node_id in list(prompt):
            prompt[node_id]["inputs"].clear()
            prompt[node_id]["class_type"] = "Poison"
        explained = await first.explain(DEFAULT)
        assert explained.prompt == PROMPT
        explained.prompt.clear()
    await settled(first)

    assert (await make().explain(DEFAULT)).path == "cache"
    assert await make().convert(DEFAULT) == PROMPT
    assert await first.convert(DEFAULT) == PROMPT


async def test_given_workflow_is_taken_as_it_was(make: Make) -> None:
    """A workflow that its owner changes while the conversion waits is converted, checked and stored as it was."""
    given = copy.deepcopy(DEFAULT)
    first = make()
    task = asyncio.create_task(first.convert(given))
    await asyncio.sleep(0)
    given["nodes"].clear()
    assert await task == PROMPT
    await settled(first)
    assert (await make().explain(DEFAULT)).path == "cache"


def test_entries_of_the_former_format_are_not_read(tmp_path: Path) -> None:
    """They may hold what a caller did to a prompt that it had received."""
    cache = PromptCache(tmp_path)
    cache.put("ab" * 32, CachedPrompt(b'{"1": {}}'))
    (stored,) = tmp_path.rglob("*.prompt")
    stored.write_bytes(stored.read_bytes().replace(b"discomfort-prompt-2", b"discomfort-prompt-1"))

    assert PromptCache(tmp_path).get("ab" * 32) is None


DECIDED_ANEW = {
    "dynamic prompt": workflow(
        [node(1, "CLIPTextEncode", (("clip", "CLIP"),), ("CONDITIONING",), ("{day|night} sky",))]
    ),
    "date": workflow([empty_image(1), save(2, widgets_values=["%date:hhmmss%/x"])], [(1, 0, 2, 0, "IMAGE")]),
    "counter": faulty("count"),
    "random": faulty("random on load"),
}


async def test_what_is_decided_anew_is_not_stored(make: Make, tmp_path: Path) -> None:
    """Dynamic prompts, dates, counters, random values: each conversion is the browser's."""
    converter = make(real=True)
    for name, made in DECIDED_ANEW.items():
        await converter.convert(made)
        await settled(converter)

        assert not list((tmp_path / "cache").rglob("*.prompt")), name


async def test_stored_although_it_looks_dynamic(make: Make, tmp_path: Path) -> None:
    """Braces where the frontend does not choose anything do not keep a prompt from being stored."""
    converter = make(real=True)
    await converter.convert(workflow([node(1, "PrimitiveString", (), ("STRING",), ("{a|b}",))]))
    await settled(converter)

    assert len(list((tmp_path / "cache").rglob("*.prompt"))) == 1


async def test_missing_nodes_are_not_stored(make: Make, server: StubServer) -> None:
    """A node type that the server gets later is noticed on the next conversion, on a page loaded before."""
    converter = make()
    made = workflow([node(1, "LateNode", (), ("IMAGE",))])
    with pytest.raises(MissingNodesError):
        await converter.convert(made)

    server.define("LateNode", PACK_NODES["PackGrowing"] | {"name": "LateNode", "input": {"required": {}}})

    assert (await converter.convert(made))["1"]["class_type"] == "LateNode"


async def test_restarted_server_is_noticed(make: Make, server: StubServer) -> None:
    """After a restart with other definitions, the page of before and what is stored from it are not used."""
    converter = make()
    made = workflow([empty_image(1, widgets_values=None)])
    assert (await converter.convert(made))["1"]["inputs"]["width"] == 512
    await settled(converter)
    definition = read_definition(server, "EmptyImage")
    definition["input"]["required"]["width"][1]["default"] = 640
    server.define("EmptyImage", definition)
    assert (await converter.convert(made))["1"]["inputs"]["width"] == 512

    port = server.port
    await server.aclose()
    await server.start(port)

    assert (await converter.convert(made))["1"]["inputs"]["width"] == 640


def read_definition(server: StubServer, name: str) -> dict[str, Any]:
    """One class of the server's definitions."""
    import json

    found: dict[str, Any] = json.loads(server.object_info)[name]
    return found


async def test_changed_settings_are_noticed(make: Make, server: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody chooses another language in a browser: titles are in it from then on."""
    monkeypatch.setattr("discomfort.conversion.server_watch.SETTINGS_AGE", 0.0)
    converter = make(real=True)
    assert (await converter.convert(DEFAULT))["4"]["_meta"]["title"] == "Load Checkpoint"
    server.settings = {"Comfy.Locale": "fr"}

    french = await converter.convert(DEFAULT)

    assert french["4"]["_meta"]["title"] == "Charger Point de Contrôle"


async def test_uploads_matter_only_where_a_list_is_used(make: Make, server: StubServer) -> None:
    """A new file does not disturb a prompt that names its file, and is seen in one that takes the first of the list."""
    converter = make(real=True)
    named = workflow([node(1, "LoadImage", (), ("IMAGE", "MASK"), ("mine.png", "image"))])
    first = workflow([node(1, "LoadImage", (), ("IMAGE", "MASK"), None)])
    before = await converter.convert(named)
    assert (await converter.convert(first))["1"]["inputs"]["image"] != "000.png"
    await settled(converter)
    definition = read_definition(server, "LoadImage")
    definition["input"]["required"]["image"][0].insert(0, "000.png")
    server.define("LoadImage", definition)
    asked = server.requests["GET", "object_info"]

    assert await converter.convert(named) == before
    assert server.requests["GET", "object_info"] == asked
    assert (await converter.convert(first))["1"]["inputs"]["image"] == "000.png"


async def test_answers_of_the_server_do_not_stay(
    make: Make, server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that a node fetched is not there for the next conversion, where it would replace the workflow's value.

    A conversion may end, and its page be closed, before the request has left the page: what is counted is the pages.
    """
    name = "flux_kontext_dev_basic.json"
    server.answers["internal/files/output"] = ["first.png [output]", "second.png [output]"]
    converter = make(real=True)
    pages: list[str] = []
    convert = FrontEndPage.convert

    async def counted(page: FrontEndPage, text: str, *, timeout: float) -> PageResult:
        pages.append(page.name)
        return await convert(page, text, timeout=timeout)

    monkeypatch.setattr(FrontEndPage, "convert", counted)

    for _ in range(3):
        assert await converter.convert(read_json(WORKFLOWS / name)) == read_json(PROMPTS / name)

    assert len(set(pages)) == len(pages) == 3


SLOW_PACK = """
import { app } from "../../scripts/app.js";
app.registerExtension({
  name: "slow",
  // Long enough for any list to arrive while the workflow is still being loaded.
  async afterConfigureGraph() { await new Promise((resolve) => setTimeout(resolve, 500)); },
});
"""


async def test_list_that_arrives_first(server: StubServer) -> None:
    """The workflow's value stays also where the list that the server gives is faster than the conversion."""
    name = "flux_kontext_dev_basic.json"
    server.answers["internal/files/output"] = ["first.png [output]"]
    server.extensions["slow.js"] = SLOW_PACK
    converter = Converter(server.url, front_end_root=front_end_root(), install=False)
    try:
        assert await converter.convert(read_json(WORKFLOWS / name)) == read_json(PROMPTS / name)
    finally:
        await converter.aclose()
    assert server.requests["GET", "internal/files/output"] == 1


async def test_server_with_another_frontend(server: StubServer, tmp_path: Path) -> None:
    """Where the folder on disk is not what the server serves, the server's frontend converts."""
    other = tmp_path / "static"
    other.mkdir()
    (other / "index.html").write_text("<p>another frontend, which never gets ready")
    server.static = SMALL_FRONTEND
    converter = Converter(server.url, front_end_root=other, install=False)
    try:
        assert await converter.convert(DEFAULT) == PROMPT
    finally:
        await converter.aclose()
