"""The event stream of a run: any number of readers, the present state for late ones, bounded memory."""

from __future__ import annotations

import asyncio
import gc

from discomfort.client.event_backlog import BACKLOG
from discomfort.connector.event_stream import EventReader, EventStream
from discomfort.connector.run_status import RunStatus
from discomfort.progress import Cached, Done, NodeOutput, NodeStarted, Preview, ProgressEvent, Queued, Started, Step


def step(number: int, node_id: str = "3") -> Step:
    """A sampler's step."""
    return Step("p", node_id, "KSampler", number, 20)


async def all_of(stream: EventStream) -> list[ProgressEvent]:
    """Everything that a new reader gets until the end."""
    return [event async for event in stream.read()]


async def test_status_follows_the_events() -> None:
    """Each phase, with what is known in it."""
    stream = EventStream()
    assert (stream.status, stream.accepted, stream.announced.is_set()) == (RunStatus(), False, False)
    assert str(stream.status) == "submitting"
    told = []
    for event in (
        Queued("p", 2),
        Started("p"),
        Cached("p", ("1",)),
        NodeStarted("p", "3", "KSampler", "KSampler", 1, 2),
        step(4),
        step(9, "other"),
        Done("p", success=False),
    ):
        stream.publish(event)
        told.append(str(stream.status))
    stream.close("p", success=True)
    stream.publish(step(5))
    told.append(str(stream.status))
    assert told == [
        "queued, 2 before it",
        "running",
        "running",
        "running KSampler (1 of 2)",
        "running KSampler (1 of 2, step 4 of 20)",
        "running KSampler (1 of 2, step 4 of 20)",
        "running KSampler (1 of 2, step 4 of 20)",
        "succeeded",
    ]


async def test_late_readers_begin_with_the_present() -> None:
    """Only what still holds: no position of a prompt that runs, no step of a node that ended."""
    stream = EventStream()
    for event in (Queued("p", 2), Queued("p", 1)):
        stream.publish(event)
    late = stream.read()
    for event in (Started("p"), Cached("p", ("1",)), NodeStarted("p", "2", "a", "A", 1, 2), step(1, "2")):
        stream.publish(event)
    for event in (NodeStarted("p", "3", "b", "B", 2, 2), step(7), Preview("p", "3", "image/png", b"")):
        stream.publish(event)
    later = stream.read()
    stream.close("p", success=False)
    assert await anext(late) == Queued("p", 1)
    assert [type(event) async for event in later] == [Started, Cached, NodeStarted, Step, Done]
    assert await all_of(stream) == [Done("p", success=False)]


async def test_a_resubmitted_prompt_begins_again() -> None:
    """Its old progress does not count any more."""
    stream = EventStream()
    for event in (Started("p"), NodeStarted("p", "3", "b", "B", 1, 1), Queued("q", 0)):
        stream.publish(event)
    reader = stream.read()
    assert await anext(reader) == Queued("q", 0)
    assert (stream.prompt_id, stream.status.phase) == ("q", "queued")


async def test_a_reader_that_stops_keeps_a_bounded_number_of_events() -> None:
    """Steps and previews that newer ones replace are dropped; the last of each node, and all else, is kept."""
    stream = EventStream()
    idle = stream.read()
    for number in range(10 * BACKLOG):
        stream.publish(step(number))
    stream.publish(NodeOutput("p", "3", "KSampler", {"n": 1}))
    assert len(idle._backlog) == BACKLOG + 1
    stream.close("p", success=True)
    events = [event async for event in idle]
    assert events[-3:] == [step(10 * BACKLOG - 1), NodeOutput("p", "3", "KSampler", {"n": 1}), Done("p", success=True)]


async def test_readers_that_were_dropped_are_forgotten() -> None:
    """A loop that was left needs no call."""
    stream = EventStream()
    async for _ in _first_of(stream):
        break
    gc.collect()
    assert not stream.is_read


def _first_of(stream: EventStream) -> EventReader:
    stream.publish(Started("p"))
    return stream.read()


async def test_outputs_belong_to_their_reader() -> None:
    """Changes of one reader are not seen by another."""
    stream = EventStream()
    first, second = stream.read(), stream.read()
    stream.publish(NodeOutput("p", "3", "KSampler", {"list": [1]}))
    one, two = await anext(first), await anext(second)
    assert isinstance(one, NodeOutput)
    assert isinstance(two, NodeOutput)
    assert isinstance(one.output, dict)
    one.output["list"].append(2)
    assert two.output == {"list": [1]}


async def test_waiting_readers_are_woken_by_the_end() -> None:
    """Also where no event came before it."""
    stream = EventStream()
    reading = [asyncio.ensure_future(all_of(stream)) for _ in range(3)]
    await asyncio.sleep(0)
    stream.close("p", success=False)
    assert await asyncio.gather(*reading) == [[Done("p", success=False)]] * 3
    assert not stream.accepted
