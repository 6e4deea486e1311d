"""The parts of an open client: HTTP session, requests, socket, poll."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping

import aiohttp

from discomfort._system.http_sessions import DIRECT, Route, open_session
from discomfort.client.definitions import Definitions
from discomfort.client.execution import Execution
from discomfort.client.multiplexer import Multiplexer
from discomfort.client.reconciler import AFTER_END, Reconciler
from discomfort.client.rest import RestClient
from discomfort.client.runs import Limits, PromptRun
from discomfort.client.server_facts import ServerFacts
from discomfort.client.withdraw import Withdrawals
from discomfort.exceptions import ServerConnectionError, ServerResponseError

_CONNECTIONS = 100
_IDLE_CONNECTION = 4.0
"""Seconds that an idle connection is kept: less than common proxies allow, so that no POST uses a closed one."""


class Connection:
    """Made by ``open()`` of the client, in its loop; closed in two steps, :meth:`close` and :meth:`aclose`."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        runs: dict[str, PromptRun],
        limits: Limits,
        take_off: Callable[[PromptRun], Awaitable[bool]],
        route: Route = DIRECT,
    ) -> None:
        self.session: aiohttp.ClientSession = open_session(
            connections=_CONNECTIONS, idle=_IDLE_CONNECTION, route=route, cookie_jar=aiohttp.DummyCookieJar()
        )
        self.runs = runs
        self.rest: RestClient = RestClient(self.session, url, headers, route)
        self.facts: ServerFacts = ServerFacts(self.rest)
        # With a client of their own: closing ends all other requests, while withdrawals must still be sent.
        self.withdrawals: Withdrawals = Withdrawals(
            RestClient(self.session, url, headers), limits.withdraw_late, features=lambda: self.facts.known
        )
        self.mux: Multiplexer = Multiplexer(
            self.session,
            url,
            headers=headers,
            alive=self._answers,
            on_drop=self._dropped,
            ping_interval=limits.ping,
        )
        self.reconciler: Reconciler = Reconciler(
            self.rest, runs, limits, events_lost=self._are_events_lost, news=lambda: self.mux.news_at
        )
        self.definitions: Definitions = Definitions(self.rest, self.facts)
        self.execution: Execution = Execution(
            self.rest,
            self.mux,
            self.reconciler,
            self.definitions,
            limits,
            runs=runs,
            take_off=take_off,
            withdraw=self.withdraw,
        )

    def withdraw(self, *runs: PromptRun) -> Awaitable[bool]:
        """Begin to take the prompts of ``runs`` off the server; the result need not be awaited."""
        uncertain = [run.prompt_id for run in runs if not run.accepted]
        return self.withdrawals.start([run.prompt_id for run in runs], uncertain=uncertain)

    def mark_events_lost(self) -> None:
        """Note for each run that its socket is gone, so that events may be missed."""
        for run in self.runs.values():
            run.mark_events_lost()

    def after_end(self) -> None:
        """Poll soon: a prompt ended, and the message that its record is readable may be lost."""
        self.reconciler.look(AFTER_END)

    def close(self) -> None:
        """End everything that waits here with a typed error; only withdrawals continue. Idempotent."""
        self.execution.close()
        self.definitions.close()
        self.facts.close()
        self.reconciler.close()
        self.mux.close()
        self.rest.close()

    async def aclose(self) -> None:
        """Close everything in order; each step is bounded and can be repeated."""
        self.close()
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.session.close)
            stack.push_async_callback(self.withdrawals.settle, 0.0)
            stack.push_async_callback(self.mux.aclose)
            stack.push_async_callback(self.facts.aclose)
            stack.push_async_callback(self.definitions.aclose)
            stack.push_async_callback(self.execution.aclose)
            stack.push_async_callback(self.reconciler.aclose)

    def _dropped(self) -> None:
        self.facts.forget()
        self.mark_events_lost()
        self.reconciler.kick()

    def _are_events_lost(self, run: PromptRun) -> bool:
        return not self.mux.connected or self.mux.client_id != run.client_id

    async def _answers(self) -> bool:
        """Whether the server answers HTTP within 5 s."""
        try:
            await self.rest.remaining(deadline=5.0)
        except ServerResponseError:
            return True
        except ServerConnectionError:
            return False
        return True
