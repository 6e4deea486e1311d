"""Checks of ``POST /prompt``: accepted prompts with their ids and numbers, and prompts refused as a whole."""

from __future__ import annotations

from typing import Any

from comfyui_conformance.model import check
from comfyui_conformance.probe import PREFIX, Probe, node, picture

_SOURCE = "server.py: post_prompt"
_BASIC = ("EmptyImage", "PreviewImage")


def _error(kind: str, message: str, details: str = "") -> dict[str, Any]:
    return {"type": kind, "message": message, "details": details, "extra_info": {}}


@check(_SOURCE, nodes=_BASIC)
async def accepted(server: Probe) -> None:
    """A valid prompt is answered with its id, a number and empty node_errors, and runs."""
    answer = await server.submit(picture(), prompt_id=(mine := server.name()))
    body = answer.json()
    server.same("status", answer.status, 200)
    server.same("keys", sorted(body), ["node_errors", "number", "prompt_id"])
    server.same("id and node_errors", (body["prompt_id"], body["node_errors"]), (mine, {}))
    record = await server.record(mine)
    server.same("its end", record["status"]["status_str"], "success")


@check(_SOURCE, nodes=_BASIC)
async def id_made_by_the_server(server: Probe) -> None:
    """Without an id, the server creates a UUID."""
    answer = await server.post("/prompt", {"prompt": picture()})
    found = server.own(answer.json()["prompt_id"])
    server.holds("prompt_id", len(found) == 36 and found.count("-") == 4, "a UUID", found)
    await server.record(found)


@check(_SOURCE, nodes=_BASIC)
async def id_of_another_type(server: Probe) -> None:
    """An id that is not a string is converted to one."""
    number = 90210
    answer = await server.submit(picture(), prompt_id=number)
    server.same("prompt_id", answer.json()["prompt_id"], str(number))
    await server.record(str(number))


@check(_SOURCE, nodes=_BASIC)
async def id_with_a_slash(server: Probe) -> None:
    """An id with a slash has its record under the percent-encoded path."""
    wanted = f"{server.name()}/a b"
    record = await server.run(picture(), prompt_id=wanted)
    server.same("id in the record", record["prompt"][1], wanted)


@check(_SOURCE, nodes=_BASIC)
async def number(server: Probe) -> None:
    """A number is accepted unchanged and returned as a float; any other type is an internal error."""
    for given in (3, "4.5", -2.25):
        answer = await server.submit(picture(), number=given)
        server.same(f"number for {given!r}", answer.json()["number"], float(given))
    for wrong in ("x", None):
        server.same(f"status for {wrong!r}", (await server.submit(picture(), number=wrong)).status, 500)


@check(_SOURCE, nodes=_BASIC)
async def counter(server: Probe) -> None:
    """Without a number, each prompt gets the next one, even if it is refused; front makes it negative."""
    first = (await server.submit(picture())).json()["number"]
    await server.submit({})
    third = (await server.submit(picture())).json()["number"]
    front = (await server.submit(picture(), front=True)).json()["number"]
    server.holds("number after a refused prompt", third - first >= 2, f"at least {first + 2}", third)
    server.holds("number with front", front <= -(third + 1), f"at most {-(third + 1)}", front)


@check(_SOURCE)
async def no_prompt(server: Probe) -> None:
    """A body without a prompt is refused with no_prompt."""
    answer = await server.post("/prompt", {})
    server.same("status", answer.status, 400)
    error = _error("no_prompt", "No prompt provided", "No prompt provided")
    server.same("body", answer.json(), {"error": error, "node_errors": {}})


@check("execution.py: validate_prompt")
async def unknown_class(server: Probe) -> None:
    """A node of an unknown class is refused, and the error gives its id."""
    answer = await server.submit({"7": node(f"{PREFIX}-none")})
    server.same("status", answer.status, 400)
    message = f"Cannot execute because node {PREFIX}-none does not exist."
    server.same("body", answer.json(), {"error": _error("invalid_prompt", message, "Node ID '#7'"), "node_errors": {}})


@check("execution.py: validate_prompt")
async def no_class(server: Probe) -> None:
    """A node without a class is refused, and the error gives its id."""
    answer = await server.submit({"7": {"inputs": {}}})
    server.same("status", answer.status, 400)
    message = "Cannot execute because a node is missing the class_type property."
    server.same("body", answer.json(), {"error": _error("invalid_prompt", message, "Node ID '#7'"), "node_errors": {}})


@check("execution.py: validate_prompt", nodes=["EmptyImage"])
async def no_outputs(server: Probe) -> None:
    """A prompt without an output node is refused."""
    error = {"error": _error("prompt_no_outputs", "Prompt has no outputs"), "node_errors": {}}
    for prompt in ({}, {"1": picture()["1"]}):
        answer = await server.submit(prompt)
        server.same(f"status for {len(prompt)} nodes", answer.status, 400)
        server.same("body", answer.json(), error)


@check("execution.py: validate_prompt")
async def not_an_object(server: Probe) -> None:
    """A prompt that is not an object is an internal error."""
    for prompt in ("text", 5):
        server.same(f"status for {prompt!r}", (await server.submit(prompt)).status, 500)


@check("execution.py: validate_prompt", nodes=_BASIC)
async def partial_targets(server: Probe) -> None:
    """Only the outputs named in partial_execution_targets run; unknown ids are ignored."""
    other = picture()["1"]
    prompt = picture() | {"4": other, "3": node("PreviewImage", images=["4", 0])}
    record = await server.run(prompt, partial_execution_targets=["3", "none"])
    server.same("output ids of the record", record["prompt"][4], ["3"])
    server.same("outputs", list(record["outputs"]), ["3"])


@check("execution.py: validate_prompt", nodes=_BASIC)
async def partial_targets_without_one(server: Probe) -> None:
    """Targets without an output leave nothing to run."""
    for targets in ([], ["none"], ["1"]):
        answer = await server.submit(picture(), partial_execution_targets=targets)
        server.same(f"status for {targets}", answer.status, 400)
        server.same("error", answer.json()["error"]["type"], "prompt_no_outputs")


@check("execution.py: validate_prompt", nodes=_BASIC)
async def partly_valid(server: Probe) -> None:
    """With one valid and one invalid output, the answer is 200 with node_errors, and only the valid one runs."""
    prompt = picture() | {"3": node("PreviewImage")}
    answer = await server.submit(prompt, prompt_id=(mine := server.name()))
    server.same("status", answer.status, 200)
    errors = answer.json()["node_errors"]
    server.same("nodes with errors", list(errors), ["3"])
    server.same("its dependent outputs", errors.get("3", {}).get("dependent_outputs"), ["3"])
    record = await server.record(mine)
    server.same("output ids of the record", record["prompt"][4], ["2"])


@check(_SOURCE, nodes=_BASIC)
async def extra_data(server: Probe) -> None:
    """Extra data, including the client's id, is kept in the record; secrets are not."""
    extra = {"note": PREFIX, "api_key_comfy_org": "secret", "auth_token_comfy_org": "secret"}
    record = await server.run(picture(), extra_data=extra, client_id=PREFIX)
    kept = record["prompt"][3]
    server.same("note and client_id", (kept.get("note"), kept.get("client_id")), (PREFIX, PREFIX))
    server.same("secrets", [key for key in kept if key.endswith("comfy_org")], [])


@check("execution.py: validate_inputs", nodes=_BASIC)
async def coercion(server: Probe) -> None:
    """Numbers given as strings or floats are converted, and the record has the converted values."""
    prompt = picture()
    prompt["1"]["inputs"].update(width="12", height=9.9)
    record = await server.run(prompt)
    inputs = record["prompt"][2]["1"]["inputs"]
    server.same("width and height", (inputs["width"], inputs["height"]), (12, 9))


@check("execution.py: validate_inputs", nodes=["PrimitiveBoolean", "PreviewAny"])
async def coercion_of_booleans(server: Probe) -> None:
    """Any non-empty string given for a boolean is true."""
    prompt = {"1": node("PrimitiveBoolean", value="false"), "2": node("PreviewAny", source=["1", 0])}
    record = await server.run(prompt)
    server.same("text shown", record["outputs"]["2"]["text"], ["True"])
