"""``_prepare_prompt_for_contextual_run``: ports by value become internal nodes."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

from discomfort.workflow_tools import WorkflowTools

TOOLS = WorkflowTools()
CONTEXT = SimpleNamespace(run_id="run")


def port(unique_id: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": "DiscomfortPort", "inputs": {"unique_id": unique_id, **inputs}}


PROMPT: dict[str, Any] = {
    "1": port(" seed "),
    "2": port("seed"),
    "3": {"class_type": "A", "inputs": {"a": ["1", 0], "b": ["2", 0], "c": ["6", 0]}},
    "4": port("image", input_data=["3", 0]),
    "5": port("seed", input_data=["3", 1]),
    "6": port("through", input_data=["3", 2]),
    "7": port("model", input_data=["3", 0]),
    "8": port("alone"),
    "9": {"class_type": "DiscomfortContextLoader", "inputs": {}},
}
INFO: dict[str, Any] = {
    "inputs": {"seed": {"node_id": 1}, "alone": {"node_id": 8}},
    "outputs": {"image": {"node_id": 4}, "seed": {"node_id": 5}, "model": {"node_id": 7}, "gone": {"node_id": 99}},
}


def test_ports_are_replaced() -> None:
    """All with an id, an INPUT and an OUTPUT of one id too; what the prompt lacks stays away. D4, D5, D21."""
    before = copy.deepcopy(PROMPT)
    handlers = {"loaders": [{"node_id": 9, "unique_id": "vae"}], "savers": []}
    made = TOOLS._prepare_prompt_for_contextual_run(PROMPT, INFO, CONTEXT, {"model": "ref"}, handlers)

    assert before == PROMPT
    loader = {"class_type": "DiscomfortContextLoader", "inputs": {"run_id": "run", "unique_id": "seed"}}
    assert made["1"] == made["2"] == loader
    assert made["4"]["class_type"] == made["5"]["class_type"] == "DiscomfortContextSaver"
    assert made["4"]["inputs"] == {"input_data": ["3", 0], "unique_id": "image", "run_id": "run"}
    assert made["5"]["inputs"] == {"input_data": ["3", 1], "unique_id": "seed", "run_id": "run"}
    assert {key: made[key] for key in "3678"} == {key: PROMPT[key] for key in "3678"}
    assert made["9"]["inputs"] == {"run_id": "run", "unique_id": "vae"}
    assert made.keys() == PROMPT.keys()
