"""A sweep that goes on where it was interrupted: what has a file is done."""

import asyncio
from pathlib import Path

from custom_nodes.discomfort.discomfort import Discomfort

WORKFLOW = "custom_nodes/discomfort/examples/workflows/discomfort_workflow.json"


async def main(most=5):
    discomfort = await Discomfort.create()
    done = []
    with discomfort.Context() as context:
        context.save("prompt", "a castle")
        context.save("cfg_scale", 7.0)
        for seed in range(5):
            path = Path(f"resumed/{seed}.png")
            if path.exists():
                continue
            if len(done) == most:
                break
            context.save("seed", seed)
            results = await discomfort.run([WORKFLOW], context=context)
            discomfort.Tools.save_comfy_image_to_disk(results["output_image"], str(path))
            done.append(seed)
    await discomfort.shutdown()
    return done


if __name__ == "__main__":
    asyncio.run(main())
