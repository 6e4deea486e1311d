"""Values go to the disk once memory is nearly full, and each is exported at once."""

import asyncio

import numpy as np
from custom_nodes.discomfort.workflow_context import WorkflowContext


async def main():
    places = []
    with WorkflowContext(max_ram_gb=0.001) as context:
        for i in range(12):
            usage = context.get_usage()
            is_full = usage["ram_usage_bytes"] / usage["ram_capacity_bytes"] > 0.85
            context.save(f"image_{i}", np.full((1, 100, 100, 3), i, np.float32), use_ram=not is_full)
            places.append((is_full, context.get_storage_info(f"image_{i}")["storage_type"]))
        for i in range(12):
            context.export_data(f"image_{i}", f"exported/image_{i}.pkl")
        context.save("more", np.zeros(100_000, np.float32))
        context.export_data("more", "exported/more.pkl")
        return places, context.get_usage()


if __name__ == "__main__":
    asyncio.run(main())
