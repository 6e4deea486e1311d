"""Three coroutines save into one context at the same time."""

import asyncio

from custom_nodes.discomfort.workflow_context import WorkflowContext


async def worker(context, name):
    for i in range(10):
        context.save(f"{name}_{i}", {"worker": name, "item": i})
        await asyncio.sleep(0)


async def main():
    with WorkflowContext() as context:
        await asyncio.gather(worker(context, "a"), worker(context, "b"), worker(context, "c"))
        return context.list_keys(), [context.load(key)["item"] for key in context.list_keys()]


if __name__ == "__main__":
    asyncio.run(main())
