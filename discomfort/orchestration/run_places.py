"""Places in a run: which workflow of the list, which iteration, and which of its nodes."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from discomfort.exceptions import (
    DiscomfortError,
    ExecutionError,
    MissingNodesError,
    PortError,
    RunError,
    UnsafePromptError,
    ValidationError,
    WorkflowPlace,
)
from discomfort.progress import NodeOrigin


class NodeNames:
    """The nodes of a compiled prompt that have ids made of their content, by these ids."""

    def __init__(self, prompt: Mapping[str, Any], origin: str) -> None:
        self.own: dict[str, str] = {}
        """The ids in the workflow that runs."""
        self.others: dict[str, NodeOrigin] = {}
        for node_id, node in prompt.items():
            found = (node.get("_meta") or {}).get("origin")
            if not isinstance(found, Mapping):
                continue
            workflow, own_id = str(found.get("workflow")), str(found.get("node_id"))
            if workflow == origin:
                self.own[node_id] = own_id
            else:
                self.others[node_id] = NodeOrigin(str(found.get("name") or workflow[:12]), own_id)

    def note(self, node_id: str) -> str:
        """What a made id stands for; empty for an id of the workflow itself."""
        other = self.others.get(node_id)
        if other is not None:
            return f"node {node_id} is node {other.node_id} of {other.workflow}, which a reference brought"
        return f"node {node_id} is node {self.own[node_id]}" if node_id in self.own else ""


NO_NAMES = NodeNames({}, "")


@contextmanager
def placed(place: WorkflowPlace, names: NodeNames = NO_NAMES) -> Iterator[None]:
    """Errors of the block say where in the run they arose, and name nodes as their workflows do."""
    try:
        yield
    except DiscomfortError as error:
        if error.workflow is not None:
            raise
        raise _placed(error, place, names) from error.__cause__
    except OSError as error:
        note = f"in {place}"
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        raise


def _named_nodes(error: DiscomfortError) -> list[str]:
    """The nodes that an error's problems and missing classes name, once each."""
    problems = [str(getattr(each, "node_id", "")) for each in getattr(error, "problems", ())]
    missing = [node_id for each in getattr(error, "missing", ()) for node_id in each.node_ids]
    return list(dict.fromkeys([*problems, *missing]))


def _rename(error: DiscomfortError, own: Mapping[str, str]) -> None:
    """Name nodes by their ids in the workflow, in the text and the fields. What a server answered stays."""
    if not own.keys() & _named_nodes(error):
        return
    # Ids that are made of content stand for nothing else in a text.
    made_ids = re.compile("|".join(map(re.escape, own)))

    def renamed(text: str) -> str:
        return made_ids.sub(lambda found: own[found[0]], text)

    error.args = tuple(renamed(each) if isinstance(each, str) else each for each in error.args)
    if isinstance(error, RunError):
        error.problem = renamed(error.problem)
    if isinstance(error, MissingNodesError):
        error.missing = tuple(replace(each, node_ids=tuple(map(renamed, each.node_ids))) for each in error.missing)
    elif isinstance(error, ValidationError):
        error.problems = tuple(replace(each, node_id=renamed(each.node_id)) for each in error.problems)
    elif isinstance(error, UnsafePromptError | PortError):
        error.problems = tuple(
            replace(each, node_id=renamed(each.node_id), problem=renamed(each.problem)) for each in error.problems
        )


def _placed(error: DiscomfortError, place: WorkflowPlace, names: NodeNames) -> DiscomfortError:
    # A copy, since the error of a lost server may belong to several runs.
    made = copy.copy(error)
    notes = [*getattr(error, "__notes__", ())]
    if isinstance(error, ExecutionError):
        own_id = names.own.get(error.node_id, error.node_id)
        if own_id != error.node_id:
            made = type(error)(replace(error.failure, node_id=own_id), prompt_id=error.prompt_id, history=error.history)
        notes += filter(None, [names.note(error.node_id) if own_id == error.node_id else ""])
    else:
        notes += [names.note(node_id) for node_id in _named_nodes(error) if node_id in names.others]
        _rename(made, names.own)
    made.workflow = place
    made.__notes__ = [*notes, f"in {place}"]
    return made
