"""Node definitions for the workflow tests: a few small ones, and the saved ones of a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import saved


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of saved workflows and prompts."""
    saved.require()
    return saved.FOLDER


@pytest.fixture(scope="session")
def real_definitions() -> dict[str, Any]:
    """``/object_info``, recorded from ComfyUI 0.3.64."""
    return saved.definitions()


def _node(required: dict[str, Any], optional: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    order = {"required": list(required), "optional": list(optional or {})}
    return {"input": {"required": required, "optional": optional or {}}, "input_order": order, **more}


@pytest.fixture(scope="session")
def definitions() -> dict[str, Any]:
    """A few node classes, with every kind of input among them."""
    return {
        "Empty": _node({"width": ["INT", {"min": 1, "max": 64}], "height": ["INT", {"min": 1, "max": 64}]}),
        "Sampler": _node(
            {
                "image": ["IMAGE"],
                "seed": ["INT", {"min": 0, "max": 2**64 - 1, "control_after_generate": True}],
                "cfg": ["FLOAT", {"min": 0.0, "max": 10.0}],
                "sampler": [["euler", "heun"], {}],
                "text": ["STRING", {"multiline": True}],
                "flag": ["BOOLEAN", {}],
            },
            {"mode": ["COMBO", {"options": ["fast", "slow"]}], "mask": ["MASK"]},
            display_name="The Sampler",
        ),
        "Load": _node({"image": [["a.png"], {"image_upload": True}]}),
        "Many": _node({"tags": ["COMBO", {"options": ["a", "b"], "multiselect": True}]}),
        "Remote": _node({"name": ["COMBO", {"remote": {"route": "/x"}}]}),
        "Video": _node({"file": ["COMBO", {"options": ["a.mp4"], "video_upload": True}]}),
        "Odd": _node({"first": ["INT", {}], "paint": ["PAINT", {}], "last": ["INT", {}]}),
        "Save": _node({"images": ["IMAGE"], "filename_prefix": ["STRING", {}]}, output_node=True),
    }
