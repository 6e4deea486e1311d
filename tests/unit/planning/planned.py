"""A server for plans that answers from a table, and small graphs to plan."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from discomfort._json import JsonObject, copied
from discomfort.conversion.explanation import Explanation
from discomfort.exceptions import ConversionError
from discomfort.planning.planner import Planner, PlanOrder
from discomfort.planning.workflow_plan import WorkflowPlan
from discomfort.workflow.detect import unwrap

HOST = "https://models.example"

DEFINITIONS: JsonObject = {
    "CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [["sd15.safetensors", "xl/base.safetensors"]]}}},
    "LoraLoader": {"input": {"required": {"model": ["MODEL"], "lora_name": [[]]}}},
    "OddLoader": {"input": {"required": {"file": ["COMBO", {"options": ["there.gguf"]}]}}},
    "CLIPTextEncode": {"input": {"required": {"text": ["STRING", {"multiline": True}], "clip": ["CLIP"]}}},
    "LoadImage": {"input": {"required": {"image": [["listed.png"], {"image_upload": True}]}}},
    "KSampler": {
        "input": {
            "required": {
                "steps": ["INT", {"default": 20, "min": 1, "max": 100}],
                "cfg": ["FLOAT", {"default": 8.0, "min": 0.0, "max": 30.0}],
                "sampler_name": [["euler", "ddim"]],
            }
        }
    },
    "Resize": {
        "input": {
            "required": {
                "mode": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {
                        "options": [
                            {"key": "scale", "inputs": {"required": {"by": ["FLOAT", {}]}}},
                            {"key": "fixed", "inputs": {"required": {"width": ["INT", {"default": 8, "max": 9}]}}},
                        ]
                    },
                ]
            }
        },
        "output_node": True,
    },
    "SaveImage": {"input": {"required": {"images": ["IMAGE"]}}, "output_node": True},
    "PaidImage": {"input": {"required": {"prompt": ["STRING", {}]}}, "output_node": True, "api_node": True},
}


class FakeServer:
    """Answers by path; everything that was asked is in ``asked``."""

    is_local = False

    def __init__(self, answers: dict[str, Any] | None = None, prompt: JsonObject | None = None) -> None:
        self.answers = answers or {}
        self.prompt = prompt
        self.asked: list[str] = []
        self.files: set[str] = set()
        self.log: Sequence[str] = ()

    async def description(self) -> str:
        return "ComfyUI 0.33.0"

    async def definitions(self) -> JsonObject:
        return DEFINITIONS

    async def explain(self, workflow: JsonObject) -> Explanation:
        if self.prompt is None:
            raise ConversionError("no frontend")
        return Explanation("browser", (), copied(self.prompt))

    async def get(self, path: str) -> Any:
        self.asked.append(path)
        return self.answers.get(path)

    async def has_file(self, name: str, subfolder: str, folder: str) -> bool:
        return f"{folder}/{subfolder}/{name}" in self.files

    def log_lines(self) -> Sequence[str]:
        return self.log


def plan_of(graph: JsonObject, server: FakeServer | None = None, **options: Any) -> WorkflowPlan:
    """The plan of a workflow or prompt."""
    kind, unwrapped = unwrap(graph)
    return asyncio.run(Planner(server or FakeServer(), PlanOrder(kind, unwrapped, **options)).make())


def prompt_of(**nodes: dict[str, Any]) -> JsonObject:
    """A prompt: ``n1={"class_type": …, inputs}`` is node 1."""
    return {
        name.removeprefix("n"): {"class_type": node.pop("class_type"), "inputs": node} for name, node in nodes.items()
    }


def saved(origin: str) -> dict[str, Any]:
    """A node that saves what ``origin`` gives."""
    return {"class_type": "SaveImage", "images": [origin, 0]}


def workflow_of(*nodes: JsonObject, **more: Any) -> JsonObject:
    """A workflow without links."""
    return {"nodes": [{"id": number, "mode": 0, **node} for number, node in enumerate(nodes, 1)], "links": [], **more}
