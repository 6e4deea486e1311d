"""Scenarios: who connects, what is queued and what happens meanwhile. Both servers must tell the same.

Every scenario uses numbers of its own, so that no result of another one is in a cache.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.parity.building import Builder, Graph
from benchmarks.parity.watching import Stage

Scenario = Callable[[Stage], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    """Register a scenario under its name in words."""
    SCENARIOS[getattr(function, "__name__", "").replace("_", " ")] = function
    return function


def numbers(value: int, **changed: Any) -> Graph:
    """Two numbers, their sum shown, one of them shown too."""
    b = Builder()
    one = b("ParityNumber", value=value)
    two = b("ParityNumber", value=changed.get("second", value + 1))
    total = b("ParityAdd", a=one, b=two)
    b("ParityShow", value=total)
    b("ParityShow", value=one)
    return b.graph


def shown(class_type: str, slot: int = 0, **inputs: Any) -> Graph:
    """One node and its output shown."""
    b = Builder()
    b("ParityShow", value=b(class_type, slot, **inputs))
    return b.graph


@scenario
async def a_plain_run(stage: Stage) -> None:
    """Five nodes, two outputs."""
    await stage.join("a")
    await stage.run(numbers(10))


@scenario
async def pictures(stage: Stage) -> None:
    """A saved and a shown picture, and a text for a node."""
    await stage.join("a")
    b = Builder()
    image = b("EmptyImage", width=16, height=8, batch_size=2, color=0x112233)
    b("SaveImage", images=image, filename_prefix=f"{stage.mark}/saved")
    b("PreviewImage", images=b("ImageInvert", image=image))
    b("PreviewAny", source=b("GetImageSize", image=image))
    await stage.run(b.graph)
    await stage.run(b.graph, prompt_id="again")


@scenario
async def cached_wholly_and_partly(stage: Stage) -> None:
    """The same again, then with a constant changed, then changed back."""
    await stage.join("a")
    for name, graph in (
        ("first", numbers(20)),
        ("same", numbers(20)),
        ("changed", numbers(20, second=5)),
        ("back", numbers(20)),
    ):
        await stage.run(graph, prompt_id=name)


@scenario
async def forgotten(stage: Stage) -> None:
    """Freed memory empties the cache, unloaded models do not; both between prompts."""
    client = await stage.join("a")
    for what in ("unload_models", "free_memory"):
        graph = numbers(30)
        wait = {"value": ["3", 0], "path": stage.gate(what), "deaf": True}
        graph["6"] = {"class_type": "ParityWaitOut", "inputs": wait}
        held = await stage.queue(graph, prompt_id=f"{what} asked for")
        await client.until("executing", node="6")
        await stage.post("/free", {what: True})
        after = await stage.queue(numbers(30), prompt_id=f"after {what}")
        stage.open(what)
        await client.until("executing", node=None, prompt_id=after)
        for found in (held, after):
            await stage.finish(found)


@scenario
async def renamed_nodes(stage: Stage) -> None:
    """Other ids, the same graph: cached. Equal nodes in one prompt."""
    await stage.join("a")
    await stage.run(numbers(40))
    renamed = {
        f"n{node_id}": {
            **node,
            "inputs": {
                name: [f"n{value[0]}", value[1]] if isinstance(value, list) else value
                for name, value in node["inputs"].items()
            },
        }
        for node_id, node in numbers(40).items()
    }
    await stage.run(renamed, prompt_id="renamed")
    twice = {
        "1": {"class_type": "ParityShow", "inputs": {"value": 41}},
        "2": {"class_type": "ParityShow", "inputs": {"value": 41}},
    }
    await stage.run(twice, prompt_id="twice")


@scenario
async def an_error_in_the_middle(stage: Stage) -> None:
    """One output first, then a failure; then the same without it."""
    await stage.join("a")
    for kind in ("ValueError", "KeyError", "MemoryError", "Own"):
        graph = numbers(50)
        graph["6"] = {"class_type": "ParityFail", "inputs": {"value": ["3", 0], "kind": kind, "message": "boom é"}}
        graph["7"] = {"class_type": "ParityShow", "inputs": {"value": ["6", 0]}}
        await stage.run(graph, prompt_id=kind)
    await stage.run(numbers(50), prompt_id="without")


@scenario
async def what_a_node_gives_back(stage: Stage) -> None:
    """Right and wrong returns."""
    await stage.join("a")
    for form in ("pair", "short", "long", "none", "list", "dict", "text", "number", "ui only", "blocker", "empty"):
        b = Builder()
        one = b("ParityReturns", value=60, form=form)
        b("ParityShow", value=one)
        b("ParityShow", value=[one[0], 1])
        await stage.run(b.graph, prompt_id=form)


@scenario
async def progress_and_previews(stage: Stage) -> None:
    """Steps, with pictures of both formats, for an old and for a new client."""
    await stage.join("a")
    await stage.join("b", features=True)
    for client in "ab":
        for index, preview in enumerate(("none", "JPEG", "PNG")):
            for size in (16, 200):
                value = 70 + index + 10 * (client == "b") + 100 * (size == 16)
                graph = shown("ParitySteps", value=value, steps=2, preview=preview, size=size)
                await stage.run(graph, client, f"{preview} {size} for {client}")


@scenario
async def lists(stage: Stage) -> None:
    """Lists through nodes that take one value, and through nodes that take lists; empty ones too."""
    await stage.join("a")
    for count in (3, 1, 0):
        b = Builder()
        first = b("ParityRange", start=100, count=count)
        second = b("ParityRange", start=200, count=2)
        both = b("ParityAdd", a=first, b=second)
        b("ParityShow", value=both)
        b("ParityShow", value=b("ParitySum", a=both, b=5))
        await stage.run(b.graph, prompt_id=f"{count} values")


@scenario
async def lazy_inputs(stage: Stage) -> None:
    """Only what is asked for runs."""
    await stage.join("a")
    for index, which in enumerate(("a", "b", "both", "none", "raise")):
        b = Builder()
        one, two = b("ParityNumber", value=300 + index), b("ParityNumber", value=310 + index)
        b("ParityShow", value=b("ParityLazy", a=one, b=two, which=which))
        await stage.run(b.graph, prompt_id=which)
        await stage.run(b.graph, prompt_id=f"{which} again")
    await stage.run(shown("ParityLazy", a=1, b=2, which="both"), prompt_id="constants")


@scenario
async def expansion(stage: Stage) -> None:
    """Sub-graphs, one in another, with outputs, with errors, of constants, over lists; and again, cached."""
    await stage.join("a")
    for index, inside in enumerate(("add", "show", "fail", "missing", "constant", "none")):
        for depth in (1, 2):
            graph = shown("ParityExpand", value=400 + index, depth=depth, inside=inside)
            await stage.run(graph, prompt_id=f"{inside} {depth}")
            await stage.run(graph, prompt_id=f"{inside} {depth} again")
    b = Builder()
    b("ParityShow", value=b("ParityExpand", value=b("ParityRange", start=410, count=3), depth=1, inside="add"))
    await stage.run(b.graph, prompt_id="list")


@scenario
async def blocked(stage: Stage) -> None:
    """Blocked with and without a message, in a list, into several nodes."""
    await stage.join("a")
    for message in ("", "stop here"):
        b = Builder()
        block = b("ParityBlock", value=500, block=True, message=message)
        added = b("ParityAdd", a=block, b=1)
        b("ParityShow", value=added)
        b("ParityShow", value=block)
        b("ParityShow", value=b("ParitySum", a=block, b=2))
        b("ParityShow", value=b("ParityNumber", value=501))
        await stage.run(b.graph, prompt_id=f"blocked {message}")
        await stage.run(b.graph, prompt_id=f"again {message}")
        await stage.run(b.graph, None, prompt_id=f"without client {message}")


@scenario
async def change_tokens(stage: Stage) -> None:
    """Equal, never equal, failing, and given by the prompt."""
    await stage.join("a")
    for token in ("same", "nan", "raise"):
        graph = shown("ParityToken", value=600, token=token)
        await stage.run(graph, prompt_id=token)
        await stage.run(graph, prompt_id=f"{token} again")
    for number in (1, 1, 2):
        graph = shown("ParityToken", value=601, token="nan")
        graph["1"]["is_changed"] = number
        await stage.run(graph, prompt_id="given")


@scenario
async def hidden_inputs(stage: Stage) -> None:
    """What a node can know of its prompt, and what the history does not tell."""
    await stage.join("a")
    extra = {"extra_pnginfo": {"workflow": {"x": 1}}, "api_key_comfy_org": "key", "auth_token_comfy_org": "t", "z": 1}
    graph: Graph = {"n": {"class_type": "ParityHidden", "inputs": {"value": 1}, "_meta": {"title": "T"}}}
    await stage.run(graph, extra_data=extra)
    await stage.run(graph, prompt_id="again", extra_data={})
    await stage.run({"m": graph["n"]}, prompt_id="other id")


@scenario
async def outputs_chosen(stage: Stage) -> None:
    """Only some outputs of a prompt."""
    await stage.join("a")
    for targets in (["5"], ["4"], ["4", "5"], [], ["99"], "5"):
        await stage.run(numbers(620), prompt_id=f"targets {targets}", partial_execution_targets=targets)


@scenario
async def partly_valid(stage: Stage) -> None:
    """A bad output is dropped, a good one runs; and all bad."""
    await stage.join("a")
    graph = numbers(630)
    graph["6"] = {"class_type": "ParityShow", "inputs": {}}
    graph["7"] = {"class_type": "ParityShow", "inputs": {"value": ["8", 0]}}
    graph["8"] = {"class_type": "ParityNumber", "inputs": {"value": 5000}}
    graph["12"] = {"class_type": "ParityTyped", "inputs": {"number": 11, "fraction": "x", "yes": 1, "choice": "four"}}
    await stage.run(graph)
    await stage.run({"6": graph["6"]}, prompt_id="all bad")


@scenario
async def two_clients(stage: Stage) -> None:
    """Each hears of its own prompts; a prompt of nobody is heard by all, in part."""
    await stage.join("a")
    await stage.join("b")
    await stage.run(numbers(640), "a", "of a")
    await stage.run(numbers(641), "b", "of b")
    await stage.run(shown("ParitySteps", value=642, steps=2, preview="JPEG", size=8), None, "of nobody")
    await stage.run(shown("ParityFail", value=643, kind="ValueError", message="x"), None, "failing")
    await stage.run(numbers(644), "c", "of one who is not there")


@scenario
async def several_queued(stage: Stage) -> None:
    """Numbers and front decide the order; some are deleted before they run."""
    await stage.join("a")
    held = await stage.queue(shown("ParityWait", value=650, path=stage.gate("q"), deaf=True), prompt_id="held")
    await stage.clients["a"].until("executing", node="1")
    ids = []
    for index, fields in enumerate(({"number": 5e8}, {"number": 4e8}, {"number": -1e8}, {"front": True}, {})):
        ids.append(await stage.queue(shown("ParityNumber", value=651 + index), prompt_id=f"q{index}", **fields))
    gone = await stage.queue(numbers(660), prompt_id="gone", number=9e8)
    await stage.post("/queue", {"delete": [gone, held, "unknown"]})
    await stage.post("/interrupt", {"prompt_id": ids[0]})
    stage.open("q")
    await stage.clients["a"].until("executing", node=None, prompt_id=ids[0])
    for found in (held, *ids):
        await stage.finish(found)


@scenario
async def interrupted(stage: Stage) -> None:
    """In a node that listens, and in one that does not; by id and without."""
    client = await stage.join("a")
    for name, body in (("all", {}), ("by id", {"prompt_id": stage.real("by id")}), ("empty", {"prompt_id": ""})):
        graph = numbers(670)
        graph["6"] = {"class_type": "ParityWait", "inputs": {"value": ["3", 0], "path": stage.gate("i"), "deaf": False}}
        graph["7"] = {"class_type": "ParityShow", "inputs": {"value": ["6", 0]}}
        found = await stage.queue(graph, prompt_id=name)
        await client.until("executing", node="6")
        await stage.entered("i")
        await stage.post("/interrupt", {"prompt_id": "another"})
        await stage.post("/interrupt", body)
        await client.until("executing", node=None, prompt_id=found)
        await stage.finish(found)
    await stage.run(numbers(670), prompt_id="after")


@scenario
async def interrupted_where_nobody_listens(stage: Stage) -> None:
    """A deaf node ends first; as the last one it ends well."""
    client = await stage.join("a")
    for name, last in (("middle", False), ("last", True)):
        wait = {"class_type": "ParityWait", "inputs": {"value": 680, "path": stage.gate(name), "deaf": True}}
        graph: Graph = {"1": wait, "2": {"class_type": "ParityShow", "inputs": {"value": ["1", 0]}}}
        if last:
            graph = {"2": {"class_type": "ParityShow", "inputs": {"value": 681}}} | {"1": wait}
            graph["1"]["class_type"] = "ParityWaitOut"
        found = await stage.queue(graph, prompt_id=name)
        await stage.entered(name)
        await stage.post("/interrupt", {})
        stage.open(name)
        await client.until("executing", node=None, prompt_id=found)
        await stage.finish(found)


@scenario
async def interrupted_without_client(stage: Stage) -> None:
    """Everybody is told."""
    client = await stage.join("a")
    graph = shown("ParityWait", value=690, path=stage.gate("n"), deaf=False)
    found = await stage.queue(graph, None)
    await client.until("progress_state")
    await stage.entered("n")
    await stage.post("/interrupt", {})
    await stage.finish(found)


@scenario
async def asynchronous_nodes(stage: Stage) -> None:
    """Two at once, ended in the other order; one that fails."""
    client = await stage.join("a")
    for fail in (False, True):
        b = Builder()
        one = b("ParityLater", value=700, path=stage.gate(f"one{fail}"), fail=fail)
        two = b("ParityLater", value=701, path=stage.gate(f"two{fail}"), fail=False)
        b("ParityShow", value=two)
        b("ParityShow", value=b("ParityAdd", a=one, b=two))
        found = await stage.queue(b.graph, prompt_id=f"fail {fail}")
        await client.until("executing", node="2")
        await client.until("executing", node="1")
        stage.open(f"two{fail}")
        await client.until("executed", node="3")
        stage.open(f"one{fail}")
        await client.until("executing", node=None, prompt_id=found)
        await stage.finish(found)


@scenario
async def reconnected(stage: Stage) -> None:
    """A client that comes back in the middle is told which node runs."""
    client = await stage.join("a")
    found = await stage.queue(shown("ParityWait", value=710, path=stage.gate("r"), deaf=True))
    await client.until("executing", node="1")
    await client.socket.close()
    again = await stage.join("a")
    await again.until("executing", node="1")
    stage.open("r")
    await again.until("executing", node=None, prompt_id=found)
    await stage.finish(found)


@scenario
async def the_same_id_twice(stage: Stage) -> None:
    """The later record takes the place of the former."""
    await stage.join("a")
    await stage.run(numbers(720), prompt_id="same")
    await stage.run(numbers(721), prompt_id="same")
    await stage.run(numbers(722), prompt_id="other", extra_data={"client_id": "somebody"})


@scenario
async def queue_and_history(stage: Stage) -> None:
    """What the lists tell, and what can be removed from them."""
    client = await stage.join("a")
    held = await stage.queue(shown("ParityWait", value=730, path=stage.gate("h"), deaf=True), prompt_id="held")
    await client.until("executing", node="1")
    waiting = await stage.queue(numbers(731), prompt_id="waiting", number=3.5)
    async with stage.session.get("/queue") as answer:
        listed = await answer.json()
    stage.told.append(("queue", [[item[1:4] for item in listed[key]] for key in ("queue_running", "queue_pending")]))
    await stage.post("/queue", {"clear": True})
    stage.open("h")
    await client.until("executing", node=None, prompt_id=held)
    await stage.finish(held)
    await stage.post("/history", {"delete": [held, "unknown"]})
    for found in (held, waiting):
        async with stage.session.get(f"/history/{found}") as answer:
            stage.told.append(("record", await answer.json()))
