"""Several users, and log lines for the frontend."""

from __future__ import annotations

import json
from typing import Any

import pytest

from comfyui_emulator.server import EMULATOR

N = Any


async def test_every_user_has_settings_and_files(launch: N) -> None:
    """The header tells users apart; an unknown one gets 401 for settings, and nobody else's files."""
    async with launch(multi_user=True) as client:
        _, first = await client.post("/users", json={"username": "Ann B"})
        again, _ = await client.post("/users", json={"username": "Ann B"})
        listed = await client.get("/users")
        ann = {"comfy-user": first.decode().strip('"')}
        stored, _ = await client.post("/settings", json={"x": 1}, headers=ann)
        async with client.http.get("/settings") as nobody, client.http.get("/userdata/a.txt") as lost:
            statuses = nobody.status, lost.status
        mine = await client.get("/settings", headers=ann)

        details = {}
        for path in ("/v2/userdata", "/settings"):
            async with client.http.request("POST" if path == "/settings" else "GET", path, data=b"{") as answer:
                details[path] = answer.status, await answer.text()

    assert details == {
        "/v2/userdata": (403, "Invalid user specified in request"),
        "/settings": (401, "401: Unauthorized"),
    }
    assert (again, stored, statuses) == (400, 200, (401, 500))
    assert listed == {"storage": "server", "users": {ann["comfy-user"]: "Ann B"}}
    assert ann["comfy-user"].startswith("Ann-B_")
    assert mine == {"x": 1}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (" ", "username not provided"),
        ("__system", "System User prefix not allowed"),
        (" __x", "System User prefix not allowed"),
    ],
)
async def test_names_that_no_user_may_have(launch: N, name: str, text: str) -> None:
    """Blank names, and those with the server's own prefix, are refused; a request cannot name such a user either."""
    async with launch(multi_user=True) as client:
        status, body = await client.post("/users", json={"username": name})
        client.http.app[EMULATOR].users.names["__system"] = "x"
        async with client.http.get("/settings", headers={"comfy-user": "__system"}) as answer:
            refused = answer.status

    assert (status, json.loads(body), refused) == (400, {"error": text}, 401)


async def test_users_are_there_after_a_restart(launch: N) -> None:
    """The list is kept in the user folder."""
    async with launch(multi_user=True) as client:
        await client.post("/users", json={"username": "ann"})
    async with launch(multi_user=True) as client:
        listed = await client.get("/users")

    assert list(listed["users"].values()) == ["ann"]


async def test_subscribers_get_log_lines(emulator: N) -> None:
    """A line goes to the socket that subscribed, with the terminal's size once, and into the list, colours included."""
    socket = await emulator.socket("a")
    async with emulator.http.patch("/internal/logs/subscribe", json={"clientId": "a", "enabled": True}) as answer:
        assert answer.status == 200
    await emulator.submit({})
    message = await socket.receive_json(timeout=10)
    await emulator.submit({})
    second = await socket.receive_json(timeout=10)
    raw = await emulator.get("/internal/logs/raw")
    text = await emulator.get("/internal/logs")
    async with emulator.http.patch("/internal/logs/subscribe", json={"clientId": "a", "enabled": False}) as answer:
        assert answer.status == 200
    await socket.close()

    assert message["type"] == second["type"] == "logs"
    level = "\033[1m\033[33m[WARNING]\033[0m "
    assert [entry["m"] for entry in message["data"]["entries"]] == [f"{level}invalid prompt: prompt_no_outputs\n"]
    assert message["data"]["size"] == raw["size"]
    assert second["data"]["size"] is None
    assert message["data"]["entries"][0] in raw["entries"]
    assert text.endswith(f"- {level}invalid prompt: prompt_no_outputs\n")
