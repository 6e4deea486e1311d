"""A complete pipeline: its parts are validated, looked at, stitched, written to a file, and run."""

import asyncio
import json
from pathlib import Path

from custom_nodes.discomfort.discomfort import Discomfort

PARTS = ["load_model.json", "img2img.json", "upscale.json"]


async def main():
    discomfort = await Discomfort.create()
    for name in PARTS:
        with Path(name).open() as file:
            if not discomfort.Tools.validate_workflow(json.load(file)):
                raise ValueError(f"{name} is not valid")
        ports = discomfort.Tools.discover_port_nodes(name)
        print(f"{name}: {list(ports['inputs'])} -> {list(ports['outputs'])}")
    stitched = discomfort.Tools.stitch_workflows(PARTS)
    with Path("pipeline.json").open("w") as file:
        json.dump(stitched["stitched_workflow"], file, indent=2)
    inputs = {
        "model_name": "sd_xl_base_1.0.safetensors",
        "input_image": discomfort.Tools.open_image_as_tensor("input.png"),
        "prompt": "a lighthouse",
        "seed": 12,
    }
    results = await discomfort.run(["pipeline.json"], inputs=inputs)
    if "upscaled_image" in results:
        discomfort.Tools.save_comfy_image_to_disk(results["upscaled_image"], "output/upscaled.png")
    await discomfort.shutdown()
    return stitched, results


if __name__ == "__main__":
    asyncio.run(main())
