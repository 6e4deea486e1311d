"""``WorkflowTools``: pictures in and out, and the ports, joints and reroutes of workflows. Needs no server."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from discomfort._json import JsonObject, copied
from discomfort.config_files import CONTEXT_CONFIG_ENV, RULES_ENV, chosen_file
from discomfort.connector.payloads import Payload, read_object_of
from discomfort.context.context_settings import FILENAME
from discomfort.core_values.picture_files import read_picture, write_pictures
from discomfort.exceptions import PayloadError, PortError
from discomfort.orchestration.internal_nodes import context_handlers, contextual_prompt
from discomfort.orchestration.pass_by_rules import RULES_NAME, load_pass_by_rules
from discomfort.workflow.detect import unwrap
from discomfort.workflow.pruning import pruned_to_output
from discomfort.workflow.reroutes import (
    reroute_input,
    without_connected_ports,
    without_passing,
    without_reroutes,
)
from discomfort.workflow.stitching import stitched
from discomfort.workflow.structure import check_cycles, structure_problems
from discomfort.workflow.subgraphs import objects
from discomfort.workflow.workflow_ports import PortRole, WorkflowPort, WorkflowPorts, workflow_ports

_log = logging.getLogger("discomfort.tools")


class WorkflowTools:
    """Tools for workflows with ports, and for pictures. They need neither a server nor a browser nor torch.

    A workflow may be given as an object, as JSON text, or as the path of a JSON file or of a PNG that ComfyUI saved, in
    schema 0.4 or 1.0. Objects are never changed, and nothing that is returned is shared with them.

    ``pass_by_rules`` says which types travel by value and which by reference; a copy of the built-in rules, overridden
    by the file ``rules_path``, else ``$DISCOMFORT_PASS_BY_RULES``, else ``pass_by_rules.json`` in the working directory
    or in the folder of a cloned repository. It is a plain dict; changes affect later runs.

    Raises FileNotFoundError for a named file of rules that is missing, ConfigurationError for one that is wrong.
    """

    pass_by_rules: dict[str, str]

    def __init__(self, rules_path: str | os.PathLike[str] | None = None) -> None:
        self._rules_path = rules_path
        self.pass_by_rules = self._load_pass_by_rules()

    # --- pictures ----------------------------------------------------------------------------------------------------

    def open_image_as_tensor(self, image_path: str | os.PathLike[str]) -> Any:
        """Read a picture as float32 ``[1, height, width, 3]`` with values from 0 to 1: RGB, without transparency.

        It is turned as its EXIF data says, as ComfyUI's ``LoadImage`` does. The result is a torch tensor where torch
        can be imported, else a numpy array. Raises FileNotFoundError, and Pillow's errors.
        """
        from discomfort.context.tensors import made_of

        return made_of(read_picture(image_path), "F32", "auto")

    def save_comfy_image_to_disk(self, tensor: Any, output_path: str | os.PathLike[str]) -> None:
        """Write a picture in ComfyUI's form to a file, whose suffix chooses the format. Missing folders are made.

        Takes torch tensors of any device and numpy arrays: ``[B, H, W, C]``, ``[H, W, C]``, masks ``[B, H, W]`` and
        ``[H, W]``, with 1, 3 or 4 channels (a JPEG has no transparency). Of three axes, the last one is the channels if
        it has 1, 3 or 4. Values from 0 to 1 are multiplied by 255,
        clamped and cut off, as ComfyUI's ``SaveImage`` does; ``uint8`` values are taken as they are. Of a batch, the
        first picture is written to ``output_path``, the others beside it: ``name_2.png``, ``name_3.png`` and so on.

        A file appears complete or not at all. Raises TypeError or ValueError for what is not a picture, and OSError.
        """
        write_pictures(tensor, output_path)

    # --- ports -------------------------------------------------------------------------------------------------------

    def discover_port_nodes(self, workflow_path: Payload) -> dict[str, Any]:
        """The ports of a workflow by role, and its nodes and links.

        ``inputs``, ``outputs`` and ``passthrus`` have a port by its ``unique_id``: ``node_id`` (inside a subgraph the
        id of the prompt, ``"5:1"``), ``tags``, ``type``, ``input_type``, ``output_type`` (``"ANY"`` if unknown; looked
        up behind reroutes, primitives, other ports and the borders of subgraphs). An unconnected port is both in
        ``inputs`` and ``outputs``. Of several with one id in one of them, the last one stands there, a connected one
        before an unconnected one; ``duplicates`` names the nodes of all. ``unnamed`` has the ids of ports that have no
        ``unique_id``. Muted and bypassed ports do not take part in a run, so they are left out.

        ``execution_order`` has the ids of all nodes, each after those that it depends on; ``nodes`` each node by its
        id, ``links`` the links as saved, ``unique_id_to_node`` the id of a port's node by its ``unique_id``.

        Raises PayloadError, a ValueError, for a wrong structure, WorkflowCycleError if links run in a circle,
        FileNotFoundError.
        """
        return self._discovered(*self._checked(workflow_path))

    def _discovered(self, workflow: JsonObject, order: list[Any]) -> dict[str, Any]:
        found = workflow_ports(workflow)
        for port in found.unnamed:
            _log.warning("node %s is a port without a unique_id, and is skipped", port.node_id)
        for port in found.inactive:
            _log.info("node %s is a port that is muted or bypassed, and is skipped", port.node_id)
        return {
            "inputs": _by_id(found, PortRole.INPUT),
            "outputs": _by_id(found, PortRole.OUTPUT),
            "passthrus": {port.unique_id: _described(port) for port in found.of(PortRole.PASSTHRU)},
            "execution_order": order,
            "nodes": {node.get("id"): copied(node) for node in workflow["nodes"]},
            "links": copied(workflow.get("links", [])),
            "unique_id_to_node": {port.unique_id: port.saved_id for port in found.ports},
            "duplicates": found.duplicates(),
            "unnamed": [port.saved_id for port in found.unnamed],
        }

    def validate_workflow(self, workflow: Payload) -> bool:
        """Whether a workflow has nodes and links, and each link six parts and nodes at both ends.

        False otherwise, with a warning in the log. Raises only for a file or a text that cannot be read:
        FileNotFoundError, PayloadError.
        """
        problem = next(structure_problems(read_object_of(workflow)), None)
        if problem is not None:
            _log.warning("not a valid workflow: %s", problem)
        return problem is None

    # --- joining and reducing ----------------------------------------------------------------------------------------

    def stitch_workflows(
        self, workflows: Sequence[Payload], delete_input_ports: bool = False, delete_output_ports: bool = False
    ) -> dict[str, Any]:
        """Join workflows into one: an OUTPUT feeds each INPUT of the same ``unique_id`` in the workflows after it.

        Order matters: an OUTPUT never feeds an earlier workflow. A later OUTPUT of the same id replaces it for the
        workflows that follow; if nothing took the value of the earlier one by then, its port is left out. Connected
        ports stay, as PASSTHRU. With ``delete_input_ports`` and ``delete_output_ports``, the ports that are still
        INPUT or OUTPUT at the end are deleted with their links.

        All else comes along: subgraphs, group nodes, frames, dots on links. The workflows are laid out side by side and
        renumbered from 1. A port inside a subgraph is reached through a new input or output of that subgraph.

        Returns ``stitched_workflow`` (schema 0.4), and its ``inputs``, ``outputs`` and ``execution_order`` as
        :meth:`discover_port_nodes` gives them.

        Nodes that act on others without a link see the nodes of all parts: those that broadcast (Use Everywhere), and
        those that pair up by a name (Set and Get). Use different names in each part.

        Raises ValueError for an empty list, TypeError for an item that is not a workflow, PortError (a ValueError)
        that names the nodes, if types exclude each other, two OUTPUT ports of one workflow have the same id, or a port
        to be connected is in a subgraph that is used several times; else as :meth:`discover_port_nodes`.
        """
        given = [workflows] if isinstance(workflows, (str, os.PathLike, Mapping)) else list(workflows)
        if not given:
            raise PortError("there is no workflow to stitch: the list is empty")
        for index, item in enumerate(given):
            if not isinstance(item, (str, os.PathLike, Mapping)):
                raise TypeError(f"workflows[{index}] is a path, JSON text or an object, not {type(item).__name__}")
        parts = [self._checked(item, f"workflows[{index}]: ")[0] for index, item in enumerate(given)]
        merged = stitched(parts, delete_input_ports=delete_input_ports, delete_output_ports=delete_output_ports)
        found = self._discovered(merged, check_cycles(merged))
        return {"stitched_workflow": merged, **{key: found[key] for key in ("inputs", "outputs", "execution_order")}}

    def remove_reroute_nodes(
        self, nodes: Mapping[Any, JsonObject], links: Sequence[Any]
    ) -> tuple[dict[Any, JsonObject], list[Any], dict[Any, Any]]:
        """Drop ``Reroute`` nodes: each link then begins at the first real node in front of them.

        A link keeps its id and type; one that then begins nowhere is dropped. ``nodes`` is a dict by id, ``links`` a
        list of either schema. Returns copies of both, with slots that name just these links, and the ids of the
        links that remain, each mapped to itself.
        """
        clean_nodes, clean_links = without_passing(nodes, links, reroute_input)
        ids = [link["id"] if isinstance(link, Mapping) else link[0] for link in clean_links]
        return clean_nodes, clean_links, {key: key for key in ids}

    def _get_workflow_with_reroutes_removed(self, workflow: Payload) -> dict[str, Any]:
        """A copy of a workflow without reroutes, as nodes and as dots on links, also in its subgraphs."""
        return without_reroutes(self._checked(workflow)[0])

    def _prune_workflow_to_output(self, workflow: Payload, target_output_unique_id: str) -> dict[str, Any]:
        """A copy of a workflow with one OUTPUT port and all that it depends on; subgraphs stay whole.

        Raises KeyError if there is no such OUTPUT; else as :meth:`discover_port_nodes`.
        """
        return pruned_to_output(self._checked(workflow)[0], target_output_unique_id)

    def _delete_passthru_ports(self, workflows: Sequence[Payload]) -> list[dict[str, Any]]:
        """Copies of workflows without their PASSTHRU ports: what they feed is linked to what feeds them."""
        return [without_connected_ports(self._checked(each)[0]) for each in workflows]

    def _normalize_links(self, nodes: Sequence[JsonObject]) -> list[JsonObject]:
        """Copies of nodes in which an output without links has an empty list."""
        copies: list[JsonObject] = copied(nodes)
        for slot in (slot for node in copies for slot in objects(node.get("outputs"))):
            slot["links"] = slot.get("links") or []
        return copies

    # --- runs --------------------------------------------------------------------------------------------------------

    def _load_pass_by_rules(self) -> dict[str, str]:
        """The rules as the file has them now."""
        return load_pass_by_rules(self._rules_path)

    def _configuration_paths(self) -> dict[str, str | None]:
        """The files in use by name; ``None`` for built-in values."""
        rules = chosen_file(self._rules_path, RULES_ENV, RULES_NAME)
        contexts = chosen_file(None, CONTEXT_CONFIG_ENV, FILENAME)
        found = {RULES_NAME: rules, FILENAME: contexts}
        return {name: None if path is None else str(path) for name, path in found.items()}

    def _discover_context_handlers(self, workflow: Payload) -> dict[str, list[dict[str, Any]]]:
        """The internal nodes in a workflow: ``loaders`` and ``savers``, each with ``node_id`` and ``unique_id``."""
        return context_handlers(self._checked(workflow)[0])

    def _prepare_prompt_for_contextual_run(
        self,
        prompt: Mapping[str, Any],
        port_info: Mapping[str, Any],
        context: Any,
        pass_by_behaviors: Mapping[str, str],
        handlers_info: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """A copy of a prompt whose ports for values are internal nodes that load from, and save to, ``context``.

        ``port_info`` comes from :meth:`discover_port_nodes`, ``pass_by_behaviors`` says ``val`` or ``ref`` for each
        ``unique_id`` (not named: ``val``), ``handlers_info`` comes from :meth:`_discover_context_handlers`. All ports
        with an id are replaced, also if an INPUT and an OUTPUT have the same. Ports by reference stay as they are.
        """
        return contextual_prompt(prompt, port_info, str(context.run_id), pass_by_behaviors, handlers_info)

    def _checked(self, payload: Payload, place: str = "") -> tuple[JsonObject, list[Any]]:
        """A copy of a workflow, and its execution order. Raises PayloadError."""
        raw = read_object_of(payload)
        kind, workflow = unwrap(raw)
        if kind == "prompt":
            raise PayloadError(f"{place}this is a prompt (API format); a workflow is needed, as the UI saves it")
        problem = next(structure_problems(workflow), None)
        if problem is not None:
            raise PayloadError(f"{place}invalid structure: {problem}")
        return workflow, check_cycles(workflow)


def _by_id(found: WorkflowPorts, role: PortRole) -> dict[str, JsonObject]:
    """The ports of a role by id, in the order of the file; connected ones win over unconnected ones."""
    ports = [port for port in found.ports if port.role in (role, PortRole.UNCONNECTED)]
    best: dict[str, WorkflowPort] = {}
    for port in ports:
        if port.role is role or best.get(port.unique_id, port).role is PortRole.UNCONNECTED:
            best[port.unique_id] = port
    return {unique_id: _described(port) for unique_id, port in best.items()}


def _described(port: WorkflowPort) -> JsonObject:
    return {
        "node_id": port.saved_id,
        "tags": list(port.tags),
        "type": port.type,
        "input_type": port.input_type,
        "output_type": port.output_type,
    }
