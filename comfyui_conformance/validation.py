"""Checks of the errors for a node's inputs: their type, texts and fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comfyui_conformance.model import Skip, add, check
from comfyui_conformance.probe import PREFIX, Probe, node, picture
from discomfort._json import JsonObject

_SOURCE = "execution.py: validate_inputs"
Prompt = dict[str, Any]


def _empty(**inputs: Any) -> Prompt:
    prompt = picture(0)
    prompt["1"]["inputs"].update(inputs)
    return prompt


def _without(name: str) -> Prompt:
    prompt = picture(0)
    del prompt["1"]["inputs"][name]
    return prompt


def _shown(images: object) -> Prompt:
    return _empty() | {"2": node("PreviewImage", images=images)}


def _scaled(**inputs: Any) -> Prompt:
    values = {"image": ["1", 0], "upscale_method": "area", "width": 4, "height": 4, "crop": "disabled"}
    return {
        "1": picture(0)["1"],
        "3": node("ImageScale", **values | inputs),
        "2": node("PreviewImage", images=["3", 0]),
    }


def _case(
    kind: str,
    prompt: Callable[[], Prompt],
    where: str,
    message: str,
    details: str | None,
    nodes: tuple[str, ...] = ("EmptyImage", "PreviewImage"),
    *,
    fact: str = "",
    since: str = "",
    before: str = "",
    **extra: Any,
) -> None:
    """A prompt with one wrong input at node ``where``; ``extra`` are fields of ``extra_info``."""

    async def run(server: Probe) -> None:
        answer = await server.submit(prompt())
        server.same("status", answer.status, 400)
        body = answer.json()
        _whole(server, body, where)
        told = body["node_errors"]
        server.same("nodes with errors", list(told), [where])
        server.same("class", told[where]["class_type"], prompt()[where]["class_type"])
        server.same("dependent outputs", told[where]["dependent_outputs"], ["2"])
        error = told[where]["errors"][0]
        server.same("number of errors", len(told[where]["errors"]), 1)
        server.same("type and message", (error["type"], error["message"]), (kind, message))
        if details is not None:
            server.same("details", error["details"], details)
        found = {key: error["extra_info"].get(key) for key in extra}
        server.same("fields of extra_info", found, extra)

    _SEEN.append(kind)
    fact = fact or (kind if _SEEN.count(kind) == 1 else f"{kind}_{_SEEN.count(kind)}")
    expects = f"{message}: {details or kind} is reported with its fields."
    add("validation", fact, expects, _SOURCE, run, nodes=nodes, since=since, before=before)


def _whole(server: Probe, body: JsonObject, where: str) -> None:
    """Check the error of the whole prompt, whose details join those of the output nodes."""
    error = body["error"]
    expected = ("prompt_outputs_failed_validation", "Prompt outputs failed validation")
    server.same("error of the prompt", (error["type"], error["message"]), expected)
    if where != "2":
        server.same("its details, the fault being upstream", error["details"], "")


_SEEN: list[str] = []
_METHODS = "['nearest-exact', 'bilinear', 'area', 'bicubic', 'lanczos']"
_SCALED = ("EmptyImage", "ImageScale", "PreviewImage")
_INT = "invalid literal for int() with base 10: 'abc'"

_case(
    "required_input_missing", lambda: _without("color"), "1", "Required input is missing", "color", input_name="color"
)
_case(
    "value_smaller_than_min", lambda: _empty(width=0), "1", "Value 0 smaller than min of 1", "width",
    input_name="width", received_value=0,
)  # fmt: skip
_case(
    "value_bigger_than_max", lambda: _empty(width=20000), "1", "Value 20000 bigger than max of 16384", "width",
    input_name="width", received_value=20000,
)  # fmt: skip
_case(
    "invalid_input_type", lambda: _empty(width="abc"), "1", "Failed to convert an input value to a INT value",
    f"width, abc, {_INT}", input_name="width", received_value="abc", exception_message=_INT,
)  # fmt: skip
_case(
    "bad_linked_input", lambda: _shown(["1"]), "2",
    "Bad linked input, must be a length-2 list of [node_id, slot_index]", "images",
    input_name="images", received_value=["1"],
)  # fmt: skip
_case(
    "return_type_mismatch",
    lambda: {"1": node("SolidMask", value=1.0, width=8, height=8), "2": node("PreviewImage", images=["1", 0])},
    "2", "Return type mismatch between linked nodes", "images, received_type(MASK) mismatch input_type(IMAGE)",
    ("SolidMask", "PreviewImage"), input_name="images", received_type="MASK", linked_node=["1", 0],
)  # fmt: skip
_case(
    "value_not_in_list", lambda: _scaled(upscale_method="foo"), "3", "Value not in list",
    f"upscale_method: 'foo' not in {_METHODS}", _SCALED, input_name="upscale_method", received_value="foo",
)  # fmt: skip
_case(
    "value_not_in_list", lambda: _scaled(upscale_method=4), "3", "Value not in list",
    f"upscale_method: '4' not in {_METHODS}", _SCALED, fact="value_quoted", before="option-values",
    input_name="upscale_method", received_value=4,
)  # fmt: skip
_case(
    "value_not_in_list", lambda: _scaled(upscale_method=4), "3", "Value not in list",
    f"upscale_method: 4 not in {_METHODS}", _SCALED, fact="value_as_written", since="option-values",
    input_name="upscale_method", received_value=4,
)  # fmt: skip
_case(
    "custom_validation_failed",
    lambda: {"1": node("LoadImage", image=f"{PREFIX}-none.png"), "2": node("PreviewImage", images=["1", 0])},
    "1", "Custom validation failed for node", f"image - Invalid image file: {PREFIX}-none.png",
    ("LoadImage", "PreviewImage"), input_name="image",
)  # fmt: skip
_case(
    "exception_during_validation", lambda: _shown(["99", 0]), "2", "Exception when validating node", "'99'",
    exception_type="KeyError",
)  # fmt: skip
_case(
    "exception_during_validation", lambda: _shown(["1", 5]), "2", "Exception when validating node", None,
    exception_type="IndexError",
)  # fmt: skip
_case(
    "exception_during_inner_validation",
    lambda: {"1": node("ImageInvert", image=["99", 0]), "2": node("PreviewImage", images=["1", 0])},
    "1", "Exception when validating inner node", "'99'", ("ImageInvert", "PreviewImage"),
    exception_type="KeyError",
)  # fmt: skip


@check(_SOURCE, nodes=["EmptyImage", "PreviewImage"])
async def several_at_once(server: Probe) -> None:
    """Every wrong input of a node is reported."""
    answer = await server.submit(_empty(width=0, height="x", color=-1))
    errors = answer.json()["node_errors"]["1"]["errors"]
    found = {error["extra_info"]["input_name"]: error["type"] for error in errors}
    smaller = "value_smaller_than_min"
    server.same("errors", found, {"width": smaller, "height": "invalid_input_type", "color": smaller})


@check(_SOURCE, nodes=["EmptyImage", "PreviewImage"])
async def input_config(server: Probe) -> None:
    """An error contains the input's definition."""
    config = (await server.read("/object_info/EmptyImage"))["EmptyImage"]["input"]["required"]["width"]
    answer = await server.submit(_empty(width=0))
    server.same("input_config", answer.json()["node_errors"]["1"]["errors"][0]["extra_info"]["input_config"], config)


@check("execution.py: validate_prompt", nodes=["PreviewImage"])
async def details_of_outputs(server: Probe) -> None:
    """The details of the prompt's error list the errors of output nodes."""
    answer = await server.submit({"2": node("PreviewImage")})
    server.same("details", answer.json()["error"]["details"], "Required input is missing: images")


async def _cycle(server: Probe) -> JsonObject:
    """The answer to a prompt in which nodes 1 and 3 need each other."""
    prompt = {
        "1": node("ImageInvert", image=["3", 0]),
        "3": node("ImageInvert", image=["1", 0]),
        "2": node("PreviewImage", images=["1", 0]),
    }
    answer = await server.submit(prompt)
    server.same("status", answer.status, 400)
    body: JsonObject = answer.json()
    told = (body["error"]["type"], body["error"]["details"])
    server.same("type and details", told, ("prompt_outputs_failed_validation", ""))
    return body


@check(_SOURCE, nodes=["ImageInvert", "PreviewImage"], before="dependency-cycles")
async def cycle(server: Probe) -> None:
    """A cycle is refused without naming a node."""
    server.same("nodes with errors", (await _cycle(server))["node_errors"], {})


@check(_SOURCE, nodes=["ImageInvert", "PreviewImage"], since="dependency-cycles")
async def dependency_cycle(server: Probe) -> None:
    """Each node of a cycle gets the error dependency_cycle, which names them all."""
    told = (await _cycle(server))["node_errors"]
    server.same("nodes with errors", sorted(told), ["1", "3"])
    for name in ("1", "3"):
        (error,) = told[name]["errors"]
        kind = (error["type"], error["message"], error["extra_info"]["node_id"])
        server.same(f"error of {name}", kind, ("dependency_cycle", "Dependency cycle detected", name))
        server.same("its nodes", sorted(error["extra_info"]["cycle_nodes"]), ["1", "3"])
        ways = [" -> ".join(f"{step} (ImageInvert)" for step in way) for way in (("1", "3", "1"), ("3", "1", "3"))]
        server.holds("its details", error["details"] in ways, " or ".join(ways), error["details"])


def _blended(mode: str) -> Prompt:
    prompt = picture()
    prompt["3"] = node("ImageBlend", image1=["1", 0], image2=["1", 0], blend_factor=0.5, blend_mode=mode)
    prompt["2"]["inputs"]["images"] = ["3", 0]
    return prompt


_BLENDED = ("EmptyImage", "ImageBlend", "PreviewImage")


@check(_SOURCE, nodes=_BLENDED, before="checked-combos")
async def unchecked_choice(server: Probe) -> None:
    """A choice that a node of the newer schema does not offer is accepted, and fails in the node."""
    record = await server.run(_blended("none"))
    server.same("its end", record["status"]["status_str"], "error")


@check(_SOURCE, nodes=_BLENDED, since="checked-combos")
async def checked_choice(server: Probe) -> None:
    """A choice that a node of the newer schema does not offer is refused with value_not_in_list."""
    answer = await server.submit(_blended("none"))
    server.same("status", answer.status, 400)
    (error,) = answer.json()["node_errors"]["3"]["errors"]
    server.same("error", (error["type"], error["extra_info"]["input_name"]), ("value_not_in_list", "blend_mode"))


@check("app/node_replace_manager.py", nodes=["ControlNetLoader", "PreviewAny"], since="node-replacements")
async def replaced_class(server: Probe) -> None:
    """A class that is gone is replaced by its successor, under which its errors are reported."""
    if "T2IAdapterLoader" in server.classes:
        raise Skip("the server has a T2IAdapterLoader of its own, so nothing replaces it")
    old = node("T2IAdapterLoader", t2i_adapter_name=f"{PREFIX}-none") | {"_meta": {"title": "Loader"}}
    answer = await server.submit({"1": old, "2": node("PreviewAny", source=["1", 0])})
    told = answer.json()["node_errors"]["1"]
    server.same("class", told["class_type"], "ControlNetLoader")
    server.same("input", told["errors"][0]["extra_info"]["input_name"], "control_net_name")


@check(_SOURCE, nodes=["EmptyImage", "PreviewImage"])
async def unknown_inputs(server: Probe) -> None:
    """An input that the class does not have is not an error, and is not passed to the node."""
    record = await server.run(_empty(unheard_of=1))
    server.same("its end", record["status"]["status_str"], "success")
