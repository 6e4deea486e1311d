"""Building the sub-graph that a node returns to be run in its place."""

from __future__ import annotations

from typing import Any

from discomfort.emulator.runtime import context


class GraphNode:
    """A node of the sub-graph. ``class_type`` and ``inputs`` may still be changed."""

    def __init__(self, node_id: str, class_type: str, inputs: dict[str, Any]) -> None:
        self.id, self.class_type, self.inputs = node_id, class_type, inputs
        self.override_display_id: str | None = None

    def out(self, index: int) -> list[Any]:
        """A link to an output."""
        return [self.id, index]

    def set_input(self, key: str, value: Any) -> None:
        """Set an input; ``None`` removes it."""
        if value is None:
            self.inputs.pop(key, None)
        else:
            self.inputs[key] = value

    def get_input(self, key: str) -> Any:
        """An input's value, or ``None``."""
        return self.inputs.get(key)

    def set_override_display_id(self, node_id: str) -> None:
        """Let another node show this one's progress."""
        self.override_display_id = node_id

    def serialize(self) -> dict[str, Any]:
        """The node as a prompt has it."""
        result: dict[str, Any] = {"class_type": self.class_type, "inputs": self.inputs}
        if self.override_display_id is not None:
            result["override_display_id"] = self.override_display_id
        return result


class GraphBuilder:
    """Collects nodes under ids that no other expansion uses: the parent's id, its call, a count, and a number."""

    def __init__(self, prefix: str | None = None) -> None:
        if prefix is None:
            here = context()
            prefix = f"{here.node_id}.{here.call}.{here.graphs}."
            here.graphs += 1
        self.prefix = prefix
        self.nodes: dict[str, GraphNode] = {}
        self._count = 1

    def node(self, class_type: str, id: str | None = None, **inputs: Any) -> GraphNode:  # noqa: A002 - ComfyUI's name
        """Add a node, or find the one that was added under ``id``."""
        if id is None:
            id = str(self._count)  # noqa: A001 - ComfyUI's name
            self._count += 1
        node_id = self.prefix + id
        if node_id not in self.nodes:
            self.nodes[node_id] = GraphNode(node_id, class_type, inputs)
        return self.nodes[node_id]

    def lookup_node(self, id: str) -> GraphNode | None:  # noqa: A002 - ComfyUI's name
        """The node that was added under ``id``."""
        return self.nodes.get(self.prefix + id)

    def finalize(self) -> dict[str, Any]:
        """The sub-graph, for the ``expand`` of a result."""
        return {node_id: node.serialize() for node_id, node in self.nodes.items()}

    def replace_node_output(self, node_id: str, index: int, new_value: Any) -> None:
        """Give every input that is linked to that output another value; ``None`` removes the input."""
        for node in self.nodes.values():
            for key, value in list(node.inputs.items()):
                if isinstance(value, list) and value[:2] == [node_id, index] and len(value) == 2:
                    node.set_input(key, new_value)

    def remove_node(self, id: str) -> None:  # noqa: A002 - ComfyUI's name
        """Take a node out again."""
        self.nodes.pop(self.prefix + id, None)
