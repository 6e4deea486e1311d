"""Checks of values and links that newer nodes take: wrapped values, inputs that grow or depend on a choice."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from comfyui_conformance.model import check
from comfyui_conformance.pictures import facts
from comfyui_conformance.probe import Probe, node, picture
from discomfort._json import JsonObject

_SOURCE = "comfy_api/latest/_io.py: get_finalized_class_inputs"
_BATCH = ("EmptyImage", "BatchImagesNode", "PreviewImage")
_RESIZE = ("EmptyImage", "ResizeImageMaskNode", "PreviewImage")


@check("execution.py: validate_inputs", nodes=["EmptyImage", "PreviewImage"])
async def wrapped_value(server: Probe) -> None:
    """A value under __value__ is taken out, and the record has it so."""
    prompt = picture()
    prompt["1"]["inputs"]["width"] = {"__value__": 12}
    record = await server.run(prompt)
    server.same("width", record["prompt"][2]["1"]["inputs"]["width"], 12)


def _batch(**images: Any) -> JsonObject:
    """A prompt that shows the pictures in those inputs of a node that joins any number."""
    return {
        "1": picture()["1"],
        "3": {"class_type": "BatchImagesNode", "inputs": images},
        "2": node("PreviewImage", images=["3", 0]),
    }


async def _error(server: Probe, prompt: JsonObject, where: str) -> JsonObject:
    """The one error of that node."""
    answer = await server.submit(prompt)
    server.same("status", answer.status, 400)
    (error,) = answer.json()["node_errors"][where]["errors"]
    return dict(error)


@check(_SOURCE, nodes=_BATCH, since="dynamic-inputs")
async def growing(server: Probe) -> None:
    """Inputs that grow are named by a dot and a number; the node gets them all."""
    prompt = _batch(**{"images.image0": ["1", 0], "images.image1": ["1", 0], "images.image2": ["1", 0]})
    record = await server.run(prompt)
    server.same("pictures", len(record["outputs"]["2"]["images"]), 3)


@check(_SOURCE, nodes=_BATCH, since="dynamic-inputs")
async def growing_too_few(server: Probe) -> None:
    """The first of inputs that grow is required; a nested object does not fill it."""
    for given in ({}, {"images": {"image0": ["1", 0]}}):
        error = await _error(server, _batch(**given), "3")
        told = (error["type"], error["details"], error["extra_info"].get("input_name"))
        server.same("error", told, ("required_input_missing", "image0", "images.image0"))


def _resized(**values: Any) -> JsonObject:
    """A prompt that resizes a picture; ``values`` are inputs that depend on the choice ``scale dimensions``."""
    inputs = {"input": ["1", 0], "resize_type": "scale dimensions", "scale_method": "area"}
    dependent = {f"resize_type.{name}": value for name, value in values.items()}
    return {
        "1": picture()["1"],
        "3": node("ResizeImageMaskNode", **inputs, **dependent),
        "2": node("PreviewImage", images=["3", 0]),
    }


@check(_SOURCE, nodes=_RESIZE, since="dynamic-inputs")
async def dependent(server: Probe) -> None:
    """Inputs that depend on a choice are named by a dot; a link of a matching type fits any input of its kind."""
    record = await server.run(_resized(width=6, height=4, crop="disabled"))
    (image,) = record["outputs"]["2"]["images"]
    server.same("size", facts((await server.get(f"/view?{urlencode(image)}")).body)[:2], (6, 4))


@check(_SOURCE, nodes=_RESIZE, since="dynamic-inputs")
async def dependent_refusals(server: Probe) -> None:
    """Inputs that depend on a choice are required and checked under their whole name."""
    error = await _error(server, _resized(height=4, crop="disabled"), "3")
    told = (error["type"], error["details"], error["extra_info"].get("input_name"))
    server.same("error without one", told, ("required_input_missing", "width", "resize_type.width"))
    error = await _error(server, _resized(width=-1, height=4, crop="disabled"), "3")
    small = (error["type"], error["details"])
    server.same("error for one too small", small, ("value_smaller_than_min", "resize_type.width"))
