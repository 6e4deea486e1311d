"""For how long a server may be silent: only silence without a break counts, and only while somebody asks."""

from __future__ import annotations

import asyncio

import pytest
from unit.client.fake_comfy import FakeComfy, tiny_prompt
from waiting import until

from discomfort.client.comfy import ComfyClient
from discomfort.client.protocol import Message
from discomfort.client.reconciler import Reconciler
from discomfort.client.runs import Limits, Patience, PromptRun
from discomfort.exceptions import ServerConnectionError

LIMITS = Limits()


class Clock:
    """The event loop's time, which a test turns forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self.now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: self.now)


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """It stands still otherwise."""
    return Clock(monkeypatch)


@pytest.mark.parametrize(("refused", "limit"), [(False, LIMITS.silent), (True, LIMITS.refused)])
async def test_silence_without_a_break(clock: Clock, *, refused: bool, limit: float) -> None:
    """It ends when the limit has passed since the first failure, and not before."""
    patience = Patience(LIMITS)
    began = clock.now
    while clock.now - began < limit:
        assert patience.failed(refused=refused) is None
        clock.now += 30

    assert patience.failed(refused=refused) == clock.now - began


@pytest.mark.parametrize("refused", [False, True])
async def test_an_answer_or_news_break_it(clock: Clock, *, refused: bool) -> None:
    """However often something fails in between."""
    patience = Patience(LIMITS)
    for number in range(200):
        assert patience.failed(refused=refused, news_at=clock.now - 10 if number % 2 else 0.0) is None
        clock.now += 30
        if number % 3 == 0:
            patience.answered()


async def test_news_before_the_last_failure_say_nothing(clock: Clock) -> None:
    """The server was heard, and has been silent since."""
    patience = Patience(LIMITS)
    heard, began = clock.now - 1, clock.now
    while clock.now - began < LIMITS.silent:
        assert patience.failed(refused=False, news_at=heard) is None
        clock.now += 30

    assert patience.failed(refused=False, news_at=heard) is not None


@pytest.mark.parametrize("refused", [False, True])
async def test_two_failures_with_half_an_hour_between(clock: Clock, *, refused: bool) -> None:
    """Nobody asked, as every run had news, or as this process stood still."""
    patience = Patience(LIMITS)
    assert patience.failed(refused=refused) is None
    clock.now += 1805
    assert patience.failed(refused=refused) is None


class SilentRest:
    """A server whose HTTP does not answer."""

    url = "http://nowhere"

    async def queue(self, *, deadline: float) -> None:
        """Fail."""
        raise ServerConnectionError(f"no answer within {deadline:g} s", url=self.url)


@pytest.mark.parametrize("steady", [False, True])
async def test_a_run_whose_events_come_while_polls_fail(clock: Clock, *, steady: bool) -> None:
    """It goes on for as long as they come; without them it fails at the limit."""
    run = PromptRun("p", tiny_prompt(), None, lambda: None)
    run.sent = run.accepted = True
    news = [0.0]
    reconciler = Reconciler(
        SilentRest(),  # type: ignore[arg-type]
        {"p": run},
        LIMITS,
        events_lost=lambda _: False,
        news=lambda: news[0],
    )
    run._waiting = True
    for number in range(120):
        clock.now += 20
        if steady and number % 2:
            run.receive(Message("progress", {"prompt_id": "p", "node": "1", "value": number, "max": 120}, "p"))
            news[0] = clock.now
        clock.now += LIMITS.poll + 1
        await reconciler._work()
    reconciler.close()

    assert (run.failure is None) is steady
    assert steady or "not reachable for" in str(run.failure)


async def test_what_news_are(server: FakeComfy, client: ComfyClient) -> None:
    """Messages about a prompt of ours; neither a pong nor messages about others."""
    assert client._parts is not None
    mux = client._parts.mux
    await until(lambda: client.client_id in server.sockets)
    before = mux.last_heard
    await server.send(client.client_id, '{"type": "executing", "data": {"node": "1", "prompt_id": "theirs"}}')
    await until(lambda: mux.last_heard > before)
    assert mux.news_at == 0

    assert await client.run(tiny_prompt())
    assert mux.news_at > 0
