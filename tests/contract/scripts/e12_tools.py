"""The page about the tools; at the end, a workflow that was pruned is a reference of a run."""

import asyncio
import json
from pathlib import Path

from custom_nodes.discomfort.discomfort import Discomfort


async def main():
    discomfort = await Discomfort.create()
    tools, told = discomfort.Tools, {}
    image = tools.open_image_as_tensor("input.png")
    tools.save_comfy_image_to_disk(image, "new/folder/copy.png")
    told["copy"] = (image, tools.open_image_as_tensor("new/folder/copy.png"))
    told["ports"] = tools.discover_port_nodes("complex_workflow.json")
    with Path("complex_workflow.json").open() as file:
        workflow = json.load(file)
    told["valid"] = (tools.validate_workflow(workflow), tools.validate_workflow({"nodes": []}))
    parts = ["load_model.json", "process.json"]
    for name, arguments in {"kept": {}, "deleted": {"delete_input_ports": True, "delete_output_ports": True}}.items():
        told[name] = tools.stitch_workflows(parts, **arguments)
        with Path(f"stitched_{name}.json").open("w") as file:
            json.dump(told[name]["stitched_workflow"], file, indent=2)
    told["run"] = await discomfort.run(["stitched_kept.json"], inputs={"prompt": "a cat"})
    nodes = {node["id"]: node for node in workflow["nodes"]}
    told["reroutes"] = (nodes, *tools.remove_reroute_nodes(nodes, workflow["links"]))
    told["rules"] = tools._load_pass_by_rules()
    pruned = tools._prune_workflow_to_output(workflow, "final_image")
    with discomfort.Context() as context:
        context.save("final_image", pruned, pass_by="ref")
        told["info"] = context.get_storage_info("final_image")
        told["used"] = await discomfort.run(["save.json"], context=context)
    told["pruned"] = pruned
    await discomfort.shutdown()
    return told


if __name__ == "__main__":
    asyncio.run(main())
