"""What hosts say about missing models, on a host of the tests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from discomfort.planning.needs import FileDigest, ModelNeed
from discomfort.planning.remote_facts import look_up

DIGITS = "ab" * 32
asked: list[tuple[str, str]] = []


async def answer(request: web.Request) -> web.Response:
    asked.append((request.method, request.path))
    name = request.match_info["name"]
    headers = {"X-Linked-Size": "123", "X-Linked-ETag": f'"{DIGITS}"'}
    if name == "hub":
        return web.Response(status=302, headers={**headers, "Location": "/cdn"})
    if name == "moved":
        return web.Response(status=307, headers={"Location": "plain"})
    if name == "round":
        return web.Response(status=302, headers={"Location": "/round"})
    if name == "file":
        return web.Response(status=302, headers={"Location": "file:///etc/passwd"})
    statuses = {"gated": 401, "forbidden": 403, "gone": 404}
    return web.Response(status=statuses.get(name, 200), body=b"12345")


async def looked_up(*names: str, **more: Any) -> tuple[tuple[ModelNeed, ...], list[str]]:
    app = web.Application()
    app.router.add_route("*", "/{name}", answer)
    asked.clear()
    async with TestServer(app, host="127.0.0.1") as server:
        facts: dict[str, Any] = {"folder": "vae", "is_there": False, "inputs": ("1.vae_name",), **more}
        return await look_up(
            [ModelNeed(name=name, url=str(server.make_url(f"/{name}?key=secret")), **facts) for name in names]
        )


async def test_size_and_digest() -> None:
    """From the first answer where it has them, else from the last; nothing is fetched."""
    (hub, moved), unknown = await looked_up("hub", "moved")

    assert (hub.size, hub.digest, hub.is_gated) == (123, FileDigest("sha256", DIGITS), False)
    assert (moved.size, moved.digest, moved.is_gated) == (5, None, False)
    assert unknown == []
    assert {method for method, _ in asked} == {"HEAD"}
    assert "/cdn" not in {path for _, path in asked}


async def test_a_digest_of_the_workflow_stays() -> None:
    """The host may have another file by now."""
    own = FileDigest("sha256", "cd" * 32)

    (hub,), _ = await looked_up("hub", digest=own)

    assert hub.digest == own


@pytest.mark.parametrize("name", ["gated", "forbidden"])
async def test_gated_files(name: str) -> None:
    """Those for which one has to log in."""
    (model,), _ = await looked_up(name)

    assert model.is_gated


@pytest.mark.parametrize(
    ("name", "problem"),
    [("gone", "the host answers 404"), ("round", "more than 5 redirects"), ("file", "an address that is not https")],
)
async def test_what_cannot_be_found_out_is_said(name: str, problem: str) -> None:
    """Without the query of the address."""
    (model,), (told,) = await looked_up(name)

    assert (model.size, model.is_gated) == (None, None)
    assert problem in told
    assert "secret" not in told


async def test_a_host_that_is_not_there() -> None:
    """No error: the plan has what is known."""
    unreachable = ModelNeed(name="a", folder="vae", is_there=False, inputs=("1.a",), url="http://127.0.0.1:1/a")

    (model,), (told,) = await look_up([unreachable])

    assert model == unreachable
    assert "cannot connect" in told


async def test_only_missing_models_are_asked_about() -> None:
    """Once for each address."""
    await looked_up("hub", is_there=True)
    assert asked == []

    await asyncio.gather(looked_up("hub", "hub"))
    assert len(asked) == 1
