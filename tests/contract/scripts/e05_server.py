"""The connector and the tools of one Discomfort; the shutdown stands in finally."""

import asyncio
import json
from pathlib import Path

from custom_nodes.discomfort.discomfort import Discomfort


async def main():
    discomfort = None
    try:
        discomfort = await Discomfort.create()
        uploaded = discomfort.Worker.upload_data("input.png", folder_type="input", is_ephemeral=True)
        with Path("workflow.json").open() as file:
            workflow = json.load(file)
        prompt = await discomfort.Worker.get_prompt_from_workflow(workflow)
        ports = discomfort.Tools.discover_port_nodes("workflow.json")
        history = await discomfort.Worker.run_workflow(
            {"1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 1}},
             "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}},
            use_workflow_json=False,
        )  # fmt: skip
        results = await discomfort.run(["workflow.json"], inputs={"prompt": "a cat", "seed": 1})
        return uploaded, prompt, sorted(ports["inputs"]), history, results
    finally:
        if discomfort:
            await discomfort.shutdown()
            await discomfort.shutdown()


if __name__ == "__main__":
    uploaded, prompt, inputs, history, results = asyncio.run(main())
    assert not Path(uploaded).exists()
    print(json.dumps({"nodes": len(prompt), "inputs": inputs, "runs": len(history), "results": list(results)}))
