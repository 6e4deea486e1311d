"""Pictures of a folder are enhanced one by one, and exported when memory fills up."""

import asyncio
from pathlib import Path

from custom_nodes.discomfort.discomfort import Discomfort

LIMIT_GB = 0.0
"""3 on the page, which a test does not fill."""


async def main():
    discomfort = await Discomfort.create()
    enhanced = []
    with discomfort.Context(max_ram_gb=4.0) as context:
        await discomfort.run(["load_model.json"], context=context)
        for i, path in enumerate(sorted(Path("photos").glob("*.png"))):
            context.save("input_image", discomfort.Tools.open_image_as_tensor(str(path)))
            context.save("prompt", f"enhance {path.stem}")
            context.save("seed", 1000 + i)
            results = await discomfort.run(["enhance_workflow.json"], context=context)
            enhanced.append(results["enhanced_image"])
            usage = context.get_usage()
            if usage["ram_usage_bytes"] / 1e9 > LIMIT_GB:
                context.export_data("enhanced_image", f"exports/{path.stem}.pkl")
        keys = context.list_keys()
    await discomfort.shutdown()
    return enhanced, keys


if __name__ == "__main__":
    asyncio.run(main())
