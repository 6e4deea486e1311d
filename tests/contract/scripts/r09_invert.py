"""The smallest test there is: a picture through ImageInvert."""

import asyncio

import numpy as np
from custom_nodes.discomfort.discomfort import Discomfort

WORKFLOW = {
    "nodes": [
        {"id": 1, "type": "DiscomfortPort", "pos": [0, 0], "size": [200, 60], "flags": {}, "order": 0, "mode": 0,
         "inputs": [{"name": "input_data", "type": "*", "shape": 7, "link": None}],
         "outputs": [{"name": "output_data", "type": "*", "links": [1]}],
         "properties": {"Node name for S&R": "DiscomfortPort"}, "widgets_values": ["test_input"]},
        {"id": 2, "type": "ImageInvert", "pos": [300, 0], "size": [200, 60], "flags": {}, "order": 1, "mode": 0,
         "inputs": [{"name": "image", "type": "IMAGE", "link": 1}],
         "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [2]}],
         "properties": {"Node name for S&R": "ImageInvert"}, "widgets_values": []},
        {"id": 3, "type": "DiscomfortPort", "pos": [600, 0], "size": [200, 60], "flags": {}, "order": 2, "mode": 0,
         "inputs": [{"name": "input_data", "type": "*", "shape": 7, "link": 2}],
         "outputs": [{"name": "output_data", "type": "*", "links": None}],
         "properties": {"Node name for S&R": "DiscomfortPort"}, "widgets_values": ["test_output"]},
    ],
    "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]],
    "last_node_id": 3, "last_link_id": 2, "version": 0.4,
}  # fmt: skip


async def main():
    discomfort = await Discomfort.create()
    try:
        image = np.random.default_rng(9).random((1, 64, 64, 3), np.float32)
        results = await discomfort.run([WORKFLOW], inputs={"test_input": image})
        return image, results["test_output"]
    finally:
        await discomfort.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
