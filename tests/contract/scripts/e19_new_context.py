"""The context of a long sweep is shut down in the middle, and a new one takes its name, inside the old ``with``."""

import asyncio

from custom_nodes.discomfort.discomfort import Discomfort

WORKFLOW = "custom_nodes/discomfort/examples/workflows/discomfort_workflow.json"


async def main():
    discomfort = await Discomfort.create()
    told = []
    with discomfort.Context(run_id="sweep") as context:
        for i in range(4):
            if i == 2:
                context.shutdown()
                context = discomfort.Context(run_id="sweep")
            context.save("prompt", "a castle")
            context.save("cfg_scale", 7.0)
            context.save("seed", i)
            results = await discomfort.run([WORKFLOW], context=context)
            told.append((results["output_image"], context.get_usage()["stored_keys_count"]))
    keys = context.list_keys()
    context.shutdown()
    await discomfort.shutdown()
    return told, keys


if __name__ == "__main__":
    asyncio.run(main())
