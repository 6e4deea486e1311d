"""A saved workflow called like a function: ``python call_workflow.py photo.png 4``."""

import asyncio
import sys

from discomfort import ComfyConnector


async def main(photo: str, scale: str) -> None:
    async with await ComfyConnector.create() as connector:
        upscale = await connector.load("upscale.json")
        print(upscale.interface)
        result = await upscale(image=photo, scale=float(scale))
        for path in await result.image.save("results"):
            print(path)


asyncio.run(main(*sys.argv[1:]))
