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


def _dynamic(name: str, **flags: Any) -> io.Schema:
    """Grown, named and chosen inputs."""
    sub = io.DynamicCombo.Input(
        "sub",
        [io.DynamicCombo.Option("p", [io.Float.Input("f")]), io.DynamicCombo.Option("q", [])],
        optional=True,
    )
    return io.Schema(
        node_id=name,
        category="parity",
        inputs=[
            io.Autogrow.Input("grow", io.Autogrow.TemplatePrefix(io.Int.Input("v", max=1000), "v", min=2, max=4)),
            io.Autogrow.Input("named", io.Autogrow.TemplateNames(io.AnyType.Input("x"), ["a", "b"], min=0)),
            io.DynamicCombo.Input(
                "mode",
                [
                    io.DynamicCombo.Option("one", [io.Int.Input("n", min=0, max=9)]),
                    io.DynamicCombo.Option("two", [io.String.Input("s"), io.Int.Input("o", optional=True), sub]),
                    io.DynamicCombo.Option("none", []),
                ],
            ),
        ],
        outputs=[io.String.Output()],
        is_output_node=True,
        **flags,
    )


def _told(inputs: dict[str, Any]) -> io.NodeOutput:
    def ordered(value: Any) -> Any:
        return {key: ordered(value[key]) for key in sorted(value)} if isinstance(value, dict) else value

    text = repr(ordered(inputs))
    return io.NodeOutput(text, ui={"text": [text]})


class ParityDynamic(io.ComfyNode):
    """Shows what it receives."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Every kind of dynamic input."""
        return _dynamic("ParityDynamic")

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        """What it receives."""
        return _told(inputs)


class ParityDynamicLists(io.ComfyNode):
    """The same with lists."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Every kind of dynamic input, and undeclared ones."""
        return _dynamic("ParityDynamicLists", is_input_list=True, accept_all_inputs=True)

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        """What it receives."""
        return _told(inputs)


class ParityDynamicHooks(io.ComfyNode):
    """Dynamic inputs that are lazy, fingerprinted and validated."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Grown inputs and a plain one."""
        template = io.Autogrow.TemplatePrefix(io.Int.Input("v", lazy=True), "v", min=1, max=3)
        return io.Schema(
            node_id="ParityDynamicHooks",
            category="parity",
            inputs=[io.Autogrow.Input("grow", template), io.Int.Input("plain")],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, plain: int, **inputs: Any) -> bool | str:
        """Not 13."""
        return True if plain != 13 else f"unlucky {sorted(inputs)}"

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> str:
        """What is known."""
        return repr(inputs)

    @classmethod
    def check_lazy_status(cls, grow: dict[str, Any], **_: Any) -> list[str]:
        """All that is missing."""
        return [name for value, name in grow.values() if value is None]

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        """What it receives."""
        return _told(inputs)


class ParitySchemaExtension(ComfyExtension):
    """The pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Its nodes."""
        return [ParityAsyncHooks, ParityAsyncLazy, ParityDynamic, ParityDynamicLists, ParityDynamicHooks]


async def comfy_entrypoint() -> ParitySchemaExtension:
    """The pack's beginning."""
    return ParitySchemaExtension()
