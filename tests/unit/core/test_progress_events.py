"""Events as plain data: every class, ready for ``json.dumps``."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import pickle
import typing

import pytest

from discomfort import progress
from discomfort.progress import (
    Cached,
    Done,
    Event,
    NodeOutput,
    NodeStarted,
    Preview,
    ProgressEvent,
    Queued,
    Started,
    Step,
)

EVENTS: list[tuple[ProgressEvent, dict[str, typing.Any]]] = [
    (Queued("p", 2), {"kind": "queued", "prompt_id": "p", "position": 2}),
    (Started("p"), {"kind": "started", "prompt_id": "p"}),
    (Cached("p", ("1", "2")), {"kind": "cached", "prompt_id": "p", "node_ids": ["1", "2"]}),
    (
        NodeStarted("p", "3", "My sampler", "KSampler", 1, 2),
        {
            "kind": "node_started", "prompt_id": "p", "node_id": "3", "title": "My sampler", "class_type": "KSampler",
            "index": 1, "total": 2,
        },
    ),
    (
        Step("p", "3", "KSampler", 1, 4),
        {"kind": "step", "prompt_id": "p", "node_id": "3", "title": "KSampler", "value": 1, "maximum": 4},
    ),
    (
        Preview("p", None, "image/png", b"\x89PNG"),
        {
            "kind": "preview", "prompt_id": "p", "node_id": None, "media_type": "image/png", "size": 4,
            "is_result": False,
        },
    ),
    (
        NodeOutput("p", "4", "SaveImage", {"images": [{"filename": "a.png"}]}),
        {
            "kind": "node_output", "prompt_id": "p", "node_id": "4", "title": "SaveImage",
            "output": {"images": [{"filename": "a.png"}]},
        },
    ),
    (Done("p", True), {"kind": "done", "prompt_id": "p", "success": True}),
]  # fmt: skip


@pytest.mark.parametrize(("event", "plain"), EVENTS, ids=lambda value: getattr(value, "kind", ""))
def test_plain_form(event: ProgressEvent, plain: dict[str, typing.Any]) -> None:
    """Every event is its kind and its fields, and strict JSON can hold it."""
    assert event.to_dict() == plain
    assert json.loads(json.dumps(event.to_dict(), allow_nan=False)) == plain
    assert isinstance(event, Event)
    assert pickle.loads(pickle.dumps(event)) == event


def test_every_class_has_a_kind_of_its_own() -> None:
    """A new event cannot be forgotten: the union's members are those above, each with its kind."""
    classes = typing.get_args(ProgressEvent)
    assert {type(event) for event, _ in EVENTS} == set(classes)
    assert len({kind.kind for kind in classes} - {""}) == len(classes)
    assert {kind.__name__ for kind in classes} <= set(progress.__all__)


def test_a_picture_comes_as_base64_when_wanted() -> None:
    """The bytes of a preview are left out unless they are asked for; the size is always there."""
    plain = Preview("p", "3", "image/jpeg", b"picture").to_dict(with_data=True)

    assert base64.b64decode(plain["data"]) == b"picture"
    assert plain["size"] == 7


def test_numbers_that_json_lacks_are_none() -> None:
    """A server may send NaN; a browser that reads the event could not parse it."""
    event = NodeOutput("p", "1", "Value", {"numbers": (math.nan, math.inf, 1.5), 7: "seven"})  # type: ignore[dict-item]

    assert event.to_dict()["output"] == {"numbers": [None, None, 1.5], "7": "seven"}


def test_the_plain_form_is_the_callers() -> None:
    """Changing it changes no event."""
    event = NodeOutput("p", "1", "Text", {"text": ["a"]})
    event.to_dict()["output"]["text"].append("b")

    assert event.output == {"text": ["a"]}
    assert all(field.name in event.to_dict() for field in dataclasses.fields(event))
