"""``DiscomfortPort``: where the value of a variable enters or leaves a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..context.exchange import PORT
from ..exceptions import PortError
from .any_type import ANY


class DiscomfortPort:
    """A port. In a run something else stands in its place; in the plain UI it hands its input on.

    ============== ======================================================================================
    input          meaning
    ============== ======================================================================================
    ``unique_id``  the name of the variable; spaces around it do not count
    ``input_data`` any value; without it the variable's value enters the workflow here
    ``tags``       words for people, separated by commas
    ============== ======================================================================================

    Without ``input_data`` it raises an error if something is connected to its output, and else does nothing. It has no
    ``IS_CHANGED``: what stands behind a port that hands a value on stays in ComfyUI's cache.
    """

    CATEGORY: ClassVar[str] = "discomfort/utilities"
    DESCRIPTION: ClassVar[str] = (
        "The variable unique_id of a Discomfort run: its value enters here if nothing is connected to input_data, "
        "and leaves here if nothing is connected to output_data."
    )
    RETURN_TYPES: ClassVar[tuple[str, ...]] = (ANY,)
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("output_data",)
    FUNCTION: ClassVar[str] = "passthru"
    OUTPUT_NODE: ClassVar[bool] = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """The inputs."""
        return {
            "required": {"unique_id": ("STRING", {"default": "port1"})},
            "optional": {"input_data": (ANY,), "tags": ("STRING", {"default": ""})},
            # Not UNIQUE_ID, which would put the node's id into its cache key.
            "hidden": {"prompt": "PROMPT"},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, unique_id: Any) -> bool | str:  # noqa: N802 - ComfyUI's name
        """Refuses an empty id; one that another node computes is unknown here."""
        if isinstance(unique_id, str) and not unique_id.strip():
            return "unique_id is empty: enter the name of a variable"
        return True

    def passthru(
        self, unique_id: str, tags: str = "", prompt: Mapping[str, Any] | None = None, **data: Any
    ) -> tuple[Any]:
        """``input_data``. Without it, None if nothing is connected behind the port. Raises PortError."""
        if "input_data" in data:
            return (data["input_data"],)
        if _feeds_something(prompt or {}, unique_id):
            raise PortError(
                f"port {unique_id.strip()!r} has no value outside of a Discomfort run; "
                "connect something to it to test the workflow"
            )
        return (None,)


def _feeds_something(prompt: Mapping[str, Any], unique_id: str) -> bool:
    """Whether an input is linked to a port of this id that has no input itself."""
    ports = {
        node_id
        for node_id, node in prompt.items()
        if node.get("class_type") == PORT
        and "input_data" not in (node.get("inputs") or {})
        and str(node["inputs"].get("unique_id")).strip() == unique_id.strip()
    }
    return any(
        isinstance(value, list) and len(value) == 2 and value[0] in ports
        for node in prompt.values()
        for value in (node.get("inputs") or {}).values()
    )
