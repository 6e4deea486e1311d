"""A pack in the newer schema whose hooks are coroutines; its scripts are named by its ``pyproject.toml``."""

from __future__ import annotations

import asyncio
from typing import Any

from comfy_api.latest import ComfyExtension, io


class ParityAsyncHooks(io.ComfyNode):
    """Counts its calls; is validated and fingerprinted by coroutines."""

    calls = [0]  # noqa: RUF012 - a call sees a copy of the class

    @classmethod
    def define_schema(cls) -> io.Schema:
        """A number, how its fingerprint is, and how often it ran."""
        return io.Schema(
            node_id="ParityAsyncHooks",
            category="parity",
            inputs=[io.Int.Input("value", default=1), io.String.Input("token", default="same")],
            outputs=[io.Int.Output()],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )

    @classmethod
    async def validate_inputs(cls, value: int, token: str) -> bool | str:
        """Good but for some values; 4 tells what is known of the node."""
        await asyncio.sleep(0)
        if value == 13:
            raise RuntimeError("unlucky")
        known = f"{cls.hidden.unique_id} {cls.hidden.prompt} {cls.hidden.extra_pnginfo}"
        return {2: False, 3: "not three", 4: known}.get(value, True)

    @classmethod
    async def fingerprint_inputs(cls, value: int, token: str) -> Any:
        """Equal to itself, or not, or none."""
        await asyncio.sleep(0)
        if token == "raise":
            raise ValueError("no fingerprint")
        return float("nan") if token == "nan" else f"{token} {cls.hidden.unique_id}"

    @classmethod
    async def execute(cls, value: int, token: str) -> io.NodeOutput:
        """How often it ran with this number."""
        await asyncio.sleep(0)
        cls.calls[0] += 1
        return io.NodeOutput(value)


class ParityAsyncLazy(io.ComfyNode):
    """Asks for one of two, by a coroutine."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Two numbers, of which one is taken."""
        return io.Schema(
            node_id="ParityAsyncLazy",
            category="parity",
            inputs=[
                io.Int.Input("a", lazy=True, default=0),
                io.Int.Input("b", lazy=True, default=0),
                io.Boolean.Input("second", default=False),
            ],
            outputs=[io.Int.Output()],
        )

    @classmethod
    async def check_lazy_status(cls, second: bool, a: int | None = None, b: int | None = None) -> list[str]:
        """The one that is wanted."""
        await asyncio.sleep(0)
        return [name for name, value in {"b" if second else "a": b if second else a}.items() if value is None]

    @classmethod
    def execute(cls, second: bool, a: int | None = None, b: int | None = None) -> io.NodeOutput:
        """That one."""
        return io.NodeOutput(b if second else a)


class ParitySchemaExtension(ComfyExtension):
    """The pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Its nodes."""
        return [ParityAsyncHooks, ParityAsyncLazy]


async def comfy_entrypoint() -> ParitySchemaExtension:
    """The pack's beginning."""
    return ParitySchemaExtension()
