"""``DiscomfortTestRunner``: runs a workflow file inside of a workflow, as an expansion of this node.

The server runs the nodes of the file in the same prompt, with the same cache: values and models are links, and never
leave it. A few rounds are added at a time, since ComfyUI follows links by recursion.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .._json_objects import JsonObject
from ..exceptions import PayloadError, PortError
from ..workflow.json_values import is_link
from ..workflow.port_types import ANY as UNKNOWN
from . import comfyui_process
from .any_type import ANY
from .conversion_process import converted
from .round_plan import Link, RoundPlan, declared_type, round_plan
from .workflow_files import DEFAULT, WorkflowFile, WorkflowFolders

RUNNER, ROUNDS = "DiscomfortTestRunner", "DiscomfortTestRunnerRounds"
VALUE, RESULT = "DiscomfortTestRunnerValue", "DiscomfortTestRunnerResult"

SLOTS = range(1, 6)
_MOST_ROUNDS = 1000
_NODES_AT_ONCE = 200
"""Nodes that one expansion adds, unless one round has more."""
_DEEPEST = 8
_MARK = ".run."

_log = logging.getLogger("discomfort.nodes")


@dataclass(frozen=True, repr=False)
class Held:
    """A value, or the items of a list, as a constant of an expansion. No prompt can have one, and no cache reads it."""

    items: list[Any]


@dataclass(frozen=True)
class Rounds:
    """What is still to be run: rounds from ``first`` on, whose outputs of these ids are wanted."""

    plan: RoundPlan
    prefix: str
    first: int
    number: int
    variables: tuple[str, ...]
    wanted: tuple[str, ...]
    display: str

    def expansion(self, variables: dict[str, Link]) -> JsonObject:
        """The next rounds as ComfyUI's node expansion: ``{"result": …, "expand": …}``."""
        at_once = max(1, _NODES_AT_ONCE // max(1, len(self.plan.nodes)))
        nodes: JsonObject = {}
        outputs: dict[str, Link] = {}
        for index in range(self.first, self.first + min(at_once, self.number)):
            made, outputs = self.plan.round(f"{self.prefix}{index}.", variables)
            nodes |= made
            variables |= {name: link for name, link in outputs.items() if name in variables}
        rest = self.number - at_once
        if rest > 0:
            node_id = f"{self.prefix}from{self.first + at_once}"
            later = Rounds(
                self.plan, self.prefix, self.first + at_once, rest, self.variables, self.wanted, self.display
            )
            links = {f"value{index}": variables[name] for index, name in enumerate(self.variables)}
            nodes[node_id] = {"class_type": ROUNDS, "inputs": {"rounds": later, **links}}
            outputs = {name: [node_id, index] for index, name in enumerate(self.wanted) if name in outputs}
        prefix = f"{self.prefix}result{self.first}."
        result = [
            self._collected(nodes, f"{prefix}{slot}", outputs.get(name))
            for slot, name in zip(SLOTS, self.wanted)  # noqa: B905
        ]
        for node in nodes.values():
            node["override_display_id"] = self.display
        return {"result": tuple(result), "expand": nodes}

    @staticmethod
    def _collected(nodes: JsonObject, node_id: str, link: Link | None) -> list[Any]:
        """A link to all items of an output as one list, which ComfyUI takes as the items of ours."""
        if link is None:
            return [None]
        nodes[node_id] = {"class_type": RESULT, "inputs": {"value": link}}
        return [node_id, 0]


class DiscomfortTestRunner:
    """Runs the workflow of a file ``max_iterations`` times, in this server, as a part of the workflow it is in.

    ===================== =========================================================================================
    input                 meaning
    ===================== =========================================================================================
    ``workflow_json``     a workflow with ports: JSON of the UI, or in API format. A relative name begins at
                          ComfyUI's folder, that of node packs, uploads or the workflows that users saved
    ``max_iterations``    rounds, 1 to 1000; what an OUTPUT port gets is what an INPUT port of that id has next
    ``input1`` …          values of any type, models too
    ``unique_id_input1``  … the INPUT ports that get them; an input without a name, or without a link, does not count
    ``unique_id_output1`` … the OUTPUT ports whose values are ``output1`` …; None where there is no such port
    ===================== =========================================================================================

    Each output has all the items of a list output. Errors are errors of this node: they name the file and the port. The
    workflow of the UI is converted by the library, which ComfyUI's Python or that in ``DISCOMFORT_PYTHON`` must have.
    """

    CATEGORY: ClassVar[str] = "discomfort/testing"
    DESCRIPTION: ClassVar[str] = "Runs a workflow with Discomfort ports from a file, as a part of this workflow."
    RETURN_TYPES: ClassVar[tuple[str, ...]] = (ANY,) * len(SLOTS)
    RETURN_NAMES: ClassVar[tuple[str, ...]] = tuple(f"output{slot}" for slot in SLOTS)
    INPUT_IS_LIST: ClassVar[bool] = True
    OUTPUT_IS_LIST: ClassVar[tuple[bool, ...]] = (True,) * len(SLOTS)
    FUNCTION: ClassVar[str] = "run_workflow"
    OUTPUT_NODE: ClassVar[bool] = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """The inputs."""
        optional: dict[str, Any] = {}
        for slot in SLOTS:
            # The link itself: the value goes from node to node and is not needed here.
            optional[f"input{slot}"] = (ANY, {"rawLink": True})
            optional[f"unique_id_input{slot}"] = ("STRING", {"default": ""})
        optional |= {f"unique_id_output{slot}": ("STRING", {"default": ""}) for slot in SLOTS}
        return {
            "required": {
                "workflow_json": ("STRING", {"default": DEFAULT}),
                "max_iterations": ("INT", {"default": 1, "min": 1, "max": _MOST_ROUNDS}),
            },
            "optional": optional,
            "hidden": {"node_id": "UNIQUE_ID", "dynprompt": "DYNPROMPT"},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, workflow_json: Any) -> bool | str:  # noqa: N802 - ComfyUI's name
        """Refuses a file that cannot be read, before anything runs. A linked name is not known yet."""
        name = _only(workflow_json)
        if isinstance(name, str):
            try:
                _folders().read(name)
            except PayloadError as error:
                return str(error)
        return True

    @classmethod
    def IS_CHANGED(cls, workflow_json: Any = None, **others: Any) -> str:  # noqa: N802 - ComfyUI's name
        """The file's digest: another content is run again."""
        del others
        name = _only(workflow_json)
        try:
            return _folders().read(name).digest if isinstance(name, str) else ""
        except PayloadError as error:
            return str(error)

    async def run_workflow(
        self,
        workflow_json: list[str],
        max_iterations: list[int],
        node_id: list[str],
        dynprompt: list[Any],
        **given: Any,
    ) -> dict[str, Any]:
        """The rounds of the workflow, as an expansion. Raises PayloadError, PortError, ConversionError."""
        ids = {name: str(_only(value) or "").strip() for name, value in given.items() if name.startswith("unique_id_")}
        inputs = _inputs(given, ids)
        if node_id[0].count(_MARK) >= _DEEPEST:
            raise PayloadError(f"workflow_json {workflow_json[0]!r} runs itself, or files are nested {_DEEPEST} deep")
        if not 1 <= max_iterations[0] <= _MOST_ROUNDS:
            raise PayloadError(f"max_iterations is {max_iterations[0]}: enter a number from 1 to {_MOST_ROUNDS}")
        file = _folders().read(_named(workflow_json))
        plan = await _plan(file, {name: _type_of(value, dynprompt[0]) for name, value in inputs.items()})
        _warn_of_unknown(file, plan, [ids.get(f"unique_id_output{slot}", "") for slot in SLOTS])
        prefix = f"{node_id[0]}{_MARK}"
        nodes, links = _linked(inputs, f"{prefix}input.")
        wanted = tuple(ids.get(f"unique_id_output{slot}", "") for slot in SLOTS)
        display = dynprompt[0].get_display_node_id(node_id[0])
        made = Rounds(plan, prefix, 0, max_iterations[0], tuple(links), wanted, display).expansion(links)
        made["expand"] |= {key: {**node, "override_display_id": display} for key, node in nodes.items()}
        return made


class DiscomfortTestRunnerRounds:
    """More rounds of a test runner, once those before have run. Only a test runner makes it."""

    CATEGORY: ClassVar[str] = "discomfort/internal"
    DESCRIPTION: ClassVar[str] = "Made by the Discomfort Test Runner. Not for workflows."
    RETURN_TYPES: ClassVar[tuple[str, ...]] = (ANY,) * len(SLOTS)
    INPUT_IS_LIST: ClassVar[bool] = True
    OUTPUT_IS_LIST: ClassVar[tuple[bool, ...]] = (True,) * len(SLOTS)
    FUNCTION: ClassVar[str] = "go_on"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """The rounds; beside them come the values of their variables, as ``value0`` …"""
        return {"required": {"rounds": ("DISCOMFORT_ROUNDS",)}}

    def go_on(self, rounds: list[Any], **values: list[Any]) -> dict[str, Any]:
        """The next rounds. The values are constants from here on, so no chain of links becomes too long to follow."""
        known = rounds[0]
        if not isinstance(known, Rounds):
            raise PayloadError("this node is made by the Discomfort Test Runner; take it out of the workflow")
        held = {name: Held(values[f"value{index}"]) for index, name in enumerate(known.variables)}
        nodes, links = _linked(held, f"{known.prefix}input{known.first}.")
        made = known.expansion(links)
        made["expand"] |= {key: {**node, "override_display_id": known.display} for key, node in nodes.items()}
        return made


class DiscomfortTestRunnerValue:
    """Gives a value that a test runner holds. Only a test runner makes it."""

    CATEGORY: ClassVar[str] = "discomfort/internal"
    DESCRIPTION: ClassVar[str] = "Made by the Discomfort Test Runner. Not for workflows."
    RETURN_TYPES: ClassVar[tuple[str, ...]] = (ANY,)
    OUTPUT_IS_LIST: ClassVar[tuple[bool, ...]] = (True,)
    FUNCTION: ClassVar[str] = "give"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """The value."""
        return {"required": {"held": ("DISCOMFORT_HELD",)}}

    def give(self, held: Any) -> tuple[list[Any]]:
        """Its items."""
        if not isinstance(held, Held):
            raise PayloadError("this node is made by the Discomfort Test Runner; take it out of the workflow")
        return (held.items,)


class DiscomfortTestRunnerResult:
    """Gives all items of a list output as one list. Only a test runner makes it."""

    CATEGORY: ClassVar[str] = "discomfort/internal"
    DESCRIPTION: ClassVar[str] = "Made by the Discomfort Test Runner. Not for workflows."
    RETURN_TYPES: ClassVar[tuple[str, ...]] = (ANY,)
    INPUT_IS_LIST: ClassVar[bool] = True
    FUNCTION: ClassVar[str] = "collect"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """The items."""
        return {"required": {"value": (ANY,)}}

    def collect(self, value: list[Any]) -> tuple[list[Any]]:
        """The items as they are."""
        return (list(value),)


def _folders() -> WorkflowFolders:
    default = comfyui_process.library_folder() / "test_workflow.json"
    return WorkflowFolders(
        comfyui_process.base_folder(),
        comfyui_process.workflow_folders(),
        default.resolve() if default.is_file() else None,
    )


def _only(value: Any) -> Any:
    """The single item of an input, which ComfyUI gives as a list; ``None`` if it is not known yet."""
    return (value[0] if len(value) else None) if isinstance(value, (list, tuple)) else value


def _named(names: list[str]) -> str:
    if len(names) != 1 or not isinstance(names[0], str):
        raise PayloadError("workflow_json is a list: one node runs one file")
    return names[0]


def _inputs(given: Mapping[str, list[Any]], ids: Mapping[str, str]) -> dict[str, Any]:
    """What is connected to each variable. Raises PortError."""
    found: dict[str, Any] = {}
    for slot in SLOTS:
        name, value = ids.get(f"unique_id_input{slot}", ""), _only(given.get(f"input{slot}") or [])
        if name and value is not None:
            if name in found:
                raise PortError(f"two inputs have the unique_id {name!r}: one of them would be lost")
            found[name] = value
    return found


async def _plan(file: WorkflowFile, types: Mapping[str, str]) -> RoundPlan:
    prompt, workflow = file.graph, None
    if not file.is_prompt:
        workflow = file.graph
        url, library = comfyui_process.server_url(), comfyui_process.library_folder()
        prompt = await converted(file, url, library, comfyui_process.check_interrupted)
    try:
        return round_plan(prompt, types, comfyui_process.definition, workflow=workflow)
    except PortError as error:
        raise PortError(f"{file.name}: {error}") from error


def _warn_of_unknown(file: WorkflowFile, plan: RoundPlan, outputs: list[str]) -> None:
    for name in filter(None, outputs):
        if name not in plan.outputs:
            _log.warning("%s has no OUTPUT port %r that gets a value: this output is None", file.name, name)


def _type_of(value: Any, dynprompt: Any) -> str:
    """The declared type of what an input is linked to."""
    if not is_link(value):
        return UNKNOWN
    return declared_type(dynprompt.get_node(value[0]), int(value[1]), comfyui_process.definition)


def _linked(values: Mapping[str, Any], prefix: str) -> tuple[JsonObject, dict[str, Link]]:
    """The links of variables, and the nodes that give the others."""
    nodes: JsonObject = {}
    links: dict[str, Link] = {}
    for index, (name, value) in enumerate(values.items()):
        if is_link(value):
            links[name] = list(value)
            continue
        held = value if isinstance(value, Held) else Held([value])
        nodes[f"{prefix}{index}"] = {"class_type": VALUE, "inputs": {"held": held}}
        links[name] = [f"{prefix}{index}", 0]
    return nodes, links
