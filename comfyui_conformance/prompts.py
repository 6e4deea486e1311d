"""Checks of ``POST /prompt``: accepted prompts with their ids and numbers, and prompts refused as a whole."""

from __future__ import annotations

from typing import Any

from comfyui_conformance.model import check
from comfyui_conformance.probe import PREFIX, Probe, node, picture
from discomfort._json import JsonObject

_SOURCE = "server.py: post_prompt"
_BASIC = ("EmptyImage", "PreviewImage")


def _error(kind: str, message: str, details: str = "") -> dict[str, Any]:
    return {"type": kind, "message": message, "details": details, "extra_info": {}}


@check(_SOURCE, nodes=_BASIC)
async def accepted(server: Probe) -> None:
    """A valid prompt is answered with its id, a number and empty node_errors, and runs."""
    answer = await server.submit(picture(), prompt_id=(mine := server.new_id()))
    body = answer.json()
    server.same("status", answer.status, 200)
    server.keys("the answer", body, {"node_errors", "number", "prompt_id"})
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


@check(_SOURCE, nodes=_BASIC, before="uuid-ids")
async def id_of_another_type(server: Probe) -> None:
    """An id that is not a string is converted to one."""
    number = 90210
    answer = await server.submit(picture(), prompt_id=number)
    server.same("prompt_id", answer.json()["prompt_id"], str(number))
    await server.record(str(number))


@check(_SOURCE, nodes=_BASIC, before="uuid-ids")
async def id_with_a_slash(server: Probe) -> None:
    """An id with a slash has its record under the percent-encoded path."""
    wanted = f"{server.name()}/a b"
    record = await server.run(picture(), prompt_id=wanted)
    server.same("id in the record", record["prompt"][1], wanted)


@check(_SOURCE, nodes=_BASIC, before="uuid-ids")
async def id_null_is_a_text(server: Probe) -> None:
    """The id null is converted to the text None."""
    answer = await server.submit(picture(), prompt_id=None)
    server.same("prompt_id", answer.json()["prompt_id"], "None")
    await server.record("None")


@check(_SOURCE, since="uuid-ids")
async def id_not_canonical(server: Probe) -> None:
    """An id that is not a UUID in lower case with hyphens is refused with invalid_prompt_id."""
    one = server.new_id()
    wrong = [one.upper(), one.replace("-", ""), f"{{{one}}}", f"urn:uuid:{one}", f"{one} ", "", "abc", 5, [one]]
    details = "prompt_id must be a UUID string in canonical lowercase hyphenated form; "
    details += "omit it to let the server generate one"
    error = _error("invalid_prompt_id", "prompt_id must be a valid UUID", details)
    for given in wrong:
        answer = await server.submit({}, prompt_id=given)
        server.same(f"status for {given!r}", answer.status, 400)
        server.has(f"body for {given!r}", answer.json(), {"error": error, "node_errors": {}})


@check(_SOURCE, nodes=_BASIC, since="uuid-ids")
async def id_null(server: Probe) -> None:
    """For the id null, the server creates a UUID, as for none."""
    answer = await server.post("/prompt", {"prompt": picture(), "prompt_id": None})
    found = server.own(answer.json()["prompt_id"])
    server.holds("prompt_id", len(found) == 36 and found.count("-") == 4, "a UUID", found)
    await server.record(found)


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
    server.has("body", answer.json(), {"error": error, "node_errors": {}})


async def _refused(server: Probe, prompt: JsonObject, error: JsonObject) -> None:
    answer = await server.submit(prompt)
    server.same("status", answer.status, 400)
    server.has("body", answer.json(), {"error": error, "node_errors": {}})


_UNKNOWN = f"{PREFIX}-none"


@check("execution.py: validate_prompt", before="missing-node-type")
async def unknown_class(server: Probe) -> None:
    """A node of an unknown class is refused with invalid_prompt, and the error gives its id."""
    message = f"Cannot execute because node {_UNKNOWN} does not exist."
    await _refused(server, {"7": node(_UNKNOWN)}, _error("invalid_prompt", message, "Node ID '#7'"))


@check("execution.py: validate_prompt", before="missing-node-type")
async def no_class(server: Probe) -> None:
    """A node without a class is refused with invalid_prompt, and the error gives its id."""
    message = "Cannot execute because a node is missing the class_type property."
    await _refused(server, {"7": {"inputs": {}}}, _error("invalid_prompt", message, "Node ID '#7'"))


@check("execution.py: validate_prompt", since="missing-node-type")
async def missing_node_type(server: Probe) -> None:
    """A node of an unknown class is refused with missing_node_type; the error has its id, class and title."""
    for meta, title in (({}, _UNKNOWN), ({"_meta": {"title": "Mine"}}, "Mine")):
        message = f"Node '{title}' not found. The custom node may not be installed."
        error = _error("missing_node_type", message, "Node ID '#7'")
        error["extra_info"] = {"node_id": "7", "class_type": _UNKNOWN, "node_title": title}
        await _refused(server, {"7": node(_UNKNOWN) | meta}, error)


@check("execution.py: validate_prompt", since="missing-node-type")
async def missing_class_type(server: Probe) -> None:
    """A node without a class is refused with missing_node_type, and the error has its id."""
    message = "Node 'ID #7' has no class_type. The workflow may be corrupted or a custom node is missing."
    error = _error("missing_node_type", message, "Node ID '#7'")
    error["extra_info"] = {"node_id": "7", "class_type": None}
    await _refused(server, {"7": {"inputs": {}}}, error)


@check("execution.py: validate_prompt", nodes=["EmptyImage"])
async def no_outputs(server: Probe) -> None:
    """A prompt without an output node is refused."""
    error = {"error": _error("prompt_no_outputs", "Prompt has no outputs"), "node_errors": {}}
    for prompt in ({}, {"1": picture()["1"]}):
        answer = await server.submit(prompt)
        server.same(f"status for {len(prompt)} nodes", answer.status, 400)
        server.has("body", answer.json(), error)


@check("execution.py: validate_prompt")
async def not_an_object(server: Probe) -> None:
    """A prompt that is not an object is an internal error."""
    for prompt in ("text", 5):
        server.same(f"status for {prompt!r}", (await server.submit(prompt)).status, 500)


@check("execution.py: validate_prompt", before="node-replacements")
async def list_as_prompt(server: Probe) -> None:
    """A prompt that is an empty list has no outputs."""
    answer = await server.submit([])
    server.same("status", answer.status, 400)
    server.same("error", answer.json()["error"]["type"], "prompt_no_outputs")


@check("execution.py: validate_prompt", since="node-replacements")
async def list_is_no_prompt(server: Probe) -> None:
    """A prompt that is a list is an internal error."""
    server.same("status", (await server.submit([])).status, 500)


@check("execution.py: validate_prompt", nodes=_BASIC)
async def malformed_nodes(server: Probe) -> None:
    """A node that is not an object, or whose inputs are not, is refused with 400 or 500."""
    # 400 before ComfyUI 0.14.0, 500 since. A client can do no more with one than with the other.
    unusable = [{"class_type": "EmptyImage", "inputs": inputs} for inputs in (None, list[str]())]
    for wrong in ["text", [], *unusable]:
        answer = await server.submit(picture() | {"1": wrong})
        server.holds(f"status for {wrong!r}", answer.status in (400, 500), "400 or 500", answer.status)


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
    answer = await server.submit(prompt, prompt_id=(mine := server.new_id()))
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


@check(_SOURCE, nodes=_BASIC, since="create-time")
async def extra_data_is_an_object(server: Probe) -> None:
    """Extra data that is a list or a text is refused with 400 or 500, and the prompt does not run."""
    # ComfyUI answers with 500. Earlier releases run such a prompt, or lose their execution thread for null and numbers.
    wrong: list[object] = [[], "text"]
    for extra in wrong:
        answer = await server.submit(picture(), extra_data=extra)
        server.holds(f"status for {extra!r}", answer.status in (400, 500), "400 or 500", answer.status)


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
