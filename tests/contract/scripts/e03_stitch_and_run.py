"""A stitched workflow whose end is a node that saves: there is no OUTPUT port, and nothing comes back."""

import asyncio

from custom_nodes.discomfort.discomfort import Discomfort


async def main():
    discomfort = await Discomfort.create()
    stitched = discomfort.Tools.stitch_workflows(["load_model.json", "process.json", "save.json"])
    results = await discomfort.run([stitched["stitched_workflow"]], inputs={"prompt": "a fox"})
    await discomfort.shutdown()
    return stitched, results


if __name__ == "__main__":
    asyncio.run(main())
