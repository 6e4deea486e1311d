"""A worker without a server: it evaluates prompts as ComfyUI does, with the real nodes for the values of contexts."""

from __future__ import annotations

import asyncio
import copy
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
from standins import COUNTS
from standins import NODE_CLASS_MAPPINGS as STANDINS

from discomfort.client.outputs import Output, collect_outputs
from discomfort.connector.file_upload import Upload
from discomfort.exceptions import ExecutionError, NodeFailure
from discomfort.nodes import NODE_CLASS_MAPPINGS as OURS
from discomfort.progress import Cached, Done, NodeStarted, ProgressCallback, Started
from discomfort.workflow.json_values import is_link
from discomfort.workflow.partner_nodes import Spending, partner_nodes
from discomfort.workflow.preflight import check_prompt

Prompt = dict[str, Any]


class ImageInvert:
    """As in ComfyUI."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "invert"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"image": ("IMAGE",)}}

    def invert(self, image: Any) -> tuple[Any]:
        COUNTS["ImageInvert"] += 1
        return (1.0 - image,)


class SaveImage:
    """Publishes a name only."""

    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"images": ("IMAGE",), "filename_prefix": ("STRING", {"default": "ComfyUI"})}}

    def save(self, images: Any, filename_prefix: str) -> dict[str, Any]:
        return {"ui": {"images": [{"filename": f"{filename_prefix}_1.png", "subfolder": "", "type": "output"}]}}


class Mask:
    """A mask in, a mask out."""

    RETURN_TYPES = ("MASK",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"mask": ("MASK",)}}

    def run(self, mask: Any) -> tuple[Any]:
        return (mask,)


CLASSES: dict[str, Any] = {**STANDINS, **OURS, "ImageInvert": ImageInvert, "SaveImage": SaveImage, "Mask": Mask}


def definitions_of(classes: Mapping[str, Any], handshake: dict[str, Any] | None = None) -> dict[str, Any]:
    """The classes as ``/object_info`` describes them."""
    found: dict[str, Any] = {}
    for name, kind in classes.items():
        inputs = copy.deepcopy(kind.INPUT_TYPES())
        if name == "DiscomfortContextLoader":
            inputs["hidden"]["discomfort"] = ("DISCOMFORT", {"default": handshake or {}})
        found[name] = {
            "input": inputs,
            "output": [str(each) for each in kind.RETURN_TYPES],
            "output_is_list": list(getattr(kind, "OUTPUT_IS_LIST", [False] * len(kind.RETURN_TYPES))),
            "output_node": bool(getattr(kind, "OUTPUT_NODE", False)),
        }
    return found


class FakeWorker:
    """Evaluates one prompt at a time. Its cache drops what the present prompt does not have, as the classic one does.

    ``prompts`` has the prompts of workflows, by the workflow's ``id``. ``before`` is awaited before each prompt.
    ``values`` stands for the routes of values, if there is a token.
    """

    def __init__(self, engine: str = "emulator", handshake: dict[str, Any] | None = None) -> None:
        self.engine = engine
        told = {"version": 1, "sees": ["ram", "disk"]} if handshake is None else handshake
        self.definitions = definitions_of(CLASSES, told)
        self.prompts: dict[str, Prompt] = {}
        self.conversions: Counter[str] = Counter()
        self.sent: list[Prompt] = []
        self.files: dict[str, bytes] = {}
        self.extra_data: list[Any] = []
        self.before: Callable[[Prompt], Any] | None = None
        self.values: Any = None
        self.cancelled = 0
        self.refreshed = 0
        self._cache: dict[Any, tuple[list[list[Any]], dict[str, Any] | None]] = {}
        self._turn = asyncio.Lock()

    async def get_prompt_from_workflow(self, workflow: Any) -> Prompt:
        """The prompt that a test has given for this workflow."""
        self.conversions[workflow["id"]] += 1
        return copy.deepcopy(self.prompts[workflow["id"]])

    async def upload(self, source: bytes, *, name: str, folder_type: str, subfolder: str) -> Upload:
        """Keep a file."""
        self.files[name] = source
        return Upload(f"{subfolder}/{name}")

    async def _has_file(self, name: str, subfolder: str, folder: str) -> bool:
        return name in self.files

    def outputs(self, history: Any) -> list[Output]:
        """What the nodes published."""
        return collect_outputs(history, None)

    @property
    def _has_token(self) -> bool:
        return self.values is not None

    async def _with_values(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        return await work(self.values)

    async def _node_definitions(self, *, fresh: bool = False) -> dict[str, Any]:
        self.refreshed += fresh
        return self.definitions

    async def _check_prompt(
        self, prompt: Prompt, definitions: dict[str, Any], *, allow_paid: bool | None = None
    ) -> None:
        check_prompt(prompt, definitions or None)
        Spending(bool(allow_paid)).extra_data(None, partner_nodes(prompt, definitions))

    async def run_workflow(
        self,
        payload: Any,
        use_workflow_json: bool = True,
        *,
        on_progress: ProgressCallback | None = None,
        timeout: float | None = None,
        extra_data: Mapping[str, Any] | None = None,
        allow_paid: bool | None = None,
        api_key: str | None = None,
    ) -> Any:
        """Evaluate a prompt."""
        assert not use_workflow_json
        prompt = copy.deepcopy(payload)
        self.sent.append(prompt)
        self.extra_data.append(extra_data)
        async with self._turn:
            try:
                if self.before is not None:
                    await self.before(prompt)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return await self._evaluated(prompt, on_progress)

    async def _evaluated(self, prompt: Prompt, on_progress: ProgressCallback | None) -> Any:
        prompt_id = f"prompt-{len(self.sent)}"
        work = _Evaluation(prompt, self._cache)
        report = on_progress or (lambda _: None)
        for event in (Started(prompt_id), Cached(prompt_id, tuple(work.cached()))):
            await _awaited(report(event))
        outputs: dict[str, Any] = {}
        try:
            for node_id in work.output_nodes():
                outputs |= work.run(node_id)
        except _Failed as failed:
            record = {"outputs": outputs, "status": {"status_str": "error"}}
            raise ExecutionError(failed.failure, prompt_id=prompt_id, history=record) from None
        finally:
            for node_id in work.ran:
                node = prompt[node_id]
                title = (node.get("_meta") or {}).get("title") or node["class_type"]
                await _awaited(report(NodeStarted(prompt_id, node_id, title, node["class_type"], 1, 1)))
            self._cache = {key: value for key, value in self._cache.items() if key in work.signatures()}
            await _awaited(report(Done(prompt_id, success=True)))
        return {prompt_id: {"prompt": [0, prompt_id, prompt, {}, []], "outputs": outputs, "status": {}}}


async def _awaited(outcome: Any) -> None:
    if outcome is not None:
        await outcome


class _Failed(Exception):
    def __init__(self, failure: NodeFailure) -> None:
        super().__init__(failure)
        self.failure = failure


class _Evaluation:
    """The nodes of one prompt."""

    def __init__(self, prompt: Prompt, cache: dict[Any, Any]) -> None:
        self._prompt, self._cache = prompt, cache
        self._signatures: dict[str, Any] = {}
        self._changes = 0
        self.ran: list[str] = []

    def output_nodes(self) -> list[str]:
        kinds = {node_id: CLASSES[node["class_type"]] for node_id, node in self._prompt.items()}
        return [node_id for node_id, kind in kinds.items() if getattr(kind, "OUTPUT_NODE", False)]

    def cached(self) -> list[str]:
        return [node_id for node_id in self._prompt if self._signature(node_id) in self._cache]

    def signatures(self) -> set[Any]:
        return {self._signature(node_id) for node_id in self._prompt}

    def _signature(self, node_id: str) -> Any:
        """What the cache compares: class and inputs, of a node and all before it; not ids or ``_meta``."""
        if node_id not in self._signatures:
            node = self._prompt[node_id]
            kind = CLASSES[node["class_type"]]
            changed = kind.IS_CHANGED() if hasattr(kind, "IS_CHANGED") else 0
            if isinstance(changed, float) and math.isnan(changed):
                self._changes += 1
                changed = (id(self), self._changes)
            inputs = tuple(
                (name, (self._signature(value[0]), value[1]) if is_link(value) else repr(value))
                for name, value in sorted(node["inputs"].items())
            )
            self._signatures[node_id] = (node["class_type"], changed, inputs)
        return self._signatures[node_id]

    def run(self, node_id: str) -> dict[str, Any]:
        """Run a node and what it needs. Returns what they publish."""
        published: dict[str, Any] = {}
        self._result(node_id, published)
        return published

    def _result(self, node_id: str, published: dict[str, Any]) -> list[list[Any]]:
        key = self._signature(node_id)
        if key not in self._cache:
            self._cache[key] = self._computed(node_id, published)
            self.ran.append(node_id)
        results, ui = self._cache[key]
        if ui is not None:
            published[node_id] = ui
        return results

    def _computed(self, node_id: str, published: dict[str, Any]) -> tuple[list[list[Any]], dict[str, Any] | None]:
        node = self._prompt[node_id]
        kind = CLASSES[node["class_type"]]
        lists: dict[str, list[Any]] = {}
        for name, value in node["inputs"].items():
            if is_link(value):
                lists[name] = self._result(value[0], published)[value[1]]
            else:
                lists[name] = [value["__value__"] if isinstance(value, dict) and "__value__" in value else value]
        hidden = kind.INPUT_TYPES().get("hidden") or {}
        more = {name: self._prompt for name, what in hidden.items() if what == "PROMPT"}
        try:
            return self._called(kind, lists, more)
        except Exception as error:
            meta = node.get("_meta") or {}
            failure = NodeFailure(node_id, node["class_type"], meta.get("title"), type(error).__name__, str(error))
            raise _Failed(failure) from error

    def _called(
        self, kind: Any, lists: dict[str, list[Any]], more: dict[str, Any]
    ) -> tuple[list[list[Any]], dict[str, Any] | None]:
        call = getattr(kind(), kind.FUNCTION)
        if getattr(kind, "INPUT_IS_LIST", False):
            returned = [call(**lists, **{name: [value] for name, value in more.items()})]
        else:
            count = max((len(each) for each in lists.values()), default=1)
            if any(not each for each in lists.values()):
                count = 0
            rows = [{name: each[min(index, len(each) - 1)] for name, each in lists.items()} for index in range(count)]
            returned = [call(**row, **more) for row in rows]
        ui = next((each["ui"] for each in returned if isinstance(each, dict)), None)
        tuples = [each.get("result", ()) if isinstance(each, dict) else each for each in returned]
        is_list = getattr(kind, "OUTPUT_IS_LIST", [False] * len(kind.RETURN_TYPES))
        results: list[list[Any]] = []
        for slot, is_one_list in enumerate(is_list):
            column = [each[slot] for each in tuples]
            results.append([item for each in column for item in each] if is_one_list else column)
        return results, ui


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    """A node of a prompt."""
    return {"class_type": kind, "inputs": inputs}


def port(unique_id: str, source: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    """A port of a prompt: an INPUT, or an OUTPUT that ``source`` feeds."""
    return node("DiscomfortPort", unique_id=unique_id, **({} if source is None else {"input_data": source}), **more)


def picture(level: float = 0.25, shape: tuple[int, ...] = (1, 4, 4, 3)) -> Any:
    """A picture of one level."""
    return np.full(shape, level, np.float32)
