"""Functions on workflow and prompt JSON: detecting the format, refusing unsafe prompts, editing inputs. Pure."""

from __future__ import annotations

from discomfort.workflow.detect import Kind, classify, parse_payload, payload_from_png, unwrap
from discomfort.workflow.edit import Editor, parse_assignment
from discomfort.workflow.nodes import WorkflowNode, iterate, missing_nodes, subgraphs, titles
from discomfort.workflow.preflight import check_prompt

__all__ = [
    "Editor",
    "Kind",
    "WorkflowNode",
    "check_prompt",
    "classify",
    "iterate",
    "missing_nodes",
    "parse_assignment",
    "parse_payload",
    "payload_from_png",
    "subgraphs",
    "titles",
    "unwrap",
]
