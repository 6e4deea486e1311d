"""Several users, log lines for the frontend, and model folders."""

from __future__ import annotations

from typing import Any

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


async def test_users_are_there_after_a_restart(launch: N) -> None:
    """The list is kept in the user folder."""
    async with launch(multi_user=True) as client:
        await client.post("/users", json={"username": "ann"})
    async with launch(multi_user=True) as client:
        listed = await client.get("/users")

    assert list(listed["users"].values()) == ["ann"]


async def test_subscribers_get_log_lines(emulator: N) -> None:
    """A line goes to the socket that subscribed, with the terminal's size once, and into the list."""
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
    assert [entry["m"] for entry in message["data"]["entries"]] == ["invalid prompt: prompt_no_outputs\n"]
    assert message["data"]["size"] == raw["size"]
    assert second["data"]["size"] is None
    assert message["data"]["entries"][0] in raw["entries"]
    assert text.endswith("- invalid prompt: prompt_no_outputs\n")


async def test_models_are_found_in_all_their_places(emulator: N) -> None:
    """A kind of model may have several folders; the index says which."""
    for place in ("models/clip", "output/clip"):
        folder = emulator.base / place
        folder.mkdir(parents=True)
        (folder / f"{place[:6]}.safetensors").touch()

    names = await emulator.get("/models/text_encoders")
    details = await emulator.get("/experiment/models/text_encoders")
    places = await emulator.get("/internal/folder_paths")

    assert names == ["models.safetensors", "output.safetensors"]
    assert [entry["pathIndex"] for entry in details] == [1, 2]
    assert len(places["text_encoders"]) == 3
