"""A path, a workflow object and another path are stitched, without the ports at both ends."""

import json
from pathlib import Path

from custom_nodes.discomfort.workflow_tools import WorkflowTools


async def main():
    tools = WorkflowTools()
    with Path("stitch_model.json").open() as file:
        middle = json.load(file)
    return tools.stitch_workflows(
        ["stitch_load.json", middle, "stitch_sample.json"], delete_input_ports=True, delete_output_ports=True
    )
