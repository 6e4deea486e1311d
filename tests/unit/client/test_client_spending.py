"""Prompts with nodes that cost money: refused before anything is sent, or sent with the key."""

from __future__ import annotations

import pytest
from aiohttp import web
from unit.client.fake_comfy import DEFINITIONS, FakeComfy, tiny_prompt

from discomfort.client.comfy import ComfyClient
from discomfort.exceptions import PaidNodesError
from discomfort.workflow.partner_nodes import API_KEY, Spending

KEY = "comfyui-key"


@pytest.fixture
def paid(server: FakeComfy) -> FakeComfy:
    """A server on which pictures cost money."""
    server.definitions = {**DEFINITIONS, "EmptyImage": {**DEFINITIONS["EmptyImage"], "api_node": True}}
    return server


async def test_a_paid_prompt_is_not_sent(paid: FakeComfy, client: ComfyClient) -> None:
    """Whatever key there is."""
    with pytest.raises(PaidNodesError, match="node 1 'Canvas'"):
        await client.run(tiny_prompt(), extra_data={API_KEY: KEY})

    assert "/prompt" not in paid.paths()


async def test_the_key_goes_with_a_paid_prompt(paid: FakeComfy, client: ComfyClient) -> None:
    """Beside the other extra data; the history that is returned is the server's."""
    await client.run(tiny_prompt(), extra_data={"a": 1}, spending=Spending(True, KEY))

    assert paid.bodies("/prompt")[0]["extra_data"] == {"a": 1, API_KEY: KEY}


async def test_the_key_does_not_go_with_another_prompt(server: FakeComfy, client: ComfyClient) -> None:
    """Nobody needs it there."""
    await client.run(tiny_prompt(), spending=Spending(True, KEY))

    assert "extra_data" not in server.bodies("/prompt")[0]


async def test_without_definitions_a_key_needs_permission(server: FakeComfy, client: ComfyClient) -> None:
    """A server that hides its definitions may have paid nodes."""

    async def hidden(request: web.Request) -> web.Response | None:
        return web.Response(status=404) if request.path == "/object_info" else None

    server.fault = hidden
    await client.run(tiny_prompt())
    with pytest.raises(PaidNodesError, match="a key for paid services was given"):
        await client.run(tiny_prompt(), extra_data={API_KEY: KEY})

    assert server.paths().count("/prompt") == 1
