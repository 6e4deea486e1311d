"""One loaded page of the frontend: its readiness, its conversions, and its memory use."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import time
from collections import deque
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from discomfort.conversion.browser.process import BrowserGoneError
from discomfort.exceptions import ConversionError, ConversionTimeout, MissingFrontendError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from playwright.async_api import BrowserContext, CDPSession, ConsoleMessage, Page, Response

    from discomfort._json import JsonObject
    from discomfort.conversion.browser.process import Browser
    from discomfort.conversion.environment import Environment

logger: logging.Logger = logging.getLogger("discomfort.conversion")

LOAD_TIMEOUT: Final = 60.0
"""Seconds for a page to become ready once its server answers; 3 to 4 s on two idle cores."""

_NO_ANSWER: Final = frozenset({502, 504})
"""Statuses by which the gateway, or a proxy, says that the server did not answer: that says nothing about its pages."""

_NO_FRONTEND: Final = "the server has no frontend to convert workflows with: it answered GET /"
_EMPTY_FAILURE: Final = "ERR_HTTP_RESPONSE_CODE_FAILURE"
"""Chromium's name for an error status without a body, which it does not show as a page."""

ANSWER_TIMEOUT: Final = 10.0
"""Seconds for the browser to make an empty page; it takes 0.1 s. More means that it hangs."""

POLLING: Final = 50
"""Milliseconds between looks at whether a page is ready."""

COLLECT_TIMEOUT: Final = 5.0
"""Seconds to wait for a page's garbage collection."""

CLOSE_STEP: Final = 0.7
"""Seconds for each step of closing a page: asking it, stopping its script, crashing it. A sound page takes 0.05 s."""


@cache
def page_script() -> str:
    """The script that every page runs before the frontend's own."""
    return Path(__file__).with_name("page.js").read_text("utf-8")


class PageFailure(Exception):
    """An attempt on one page failed; ``problem`` describes how. ``slow``: it took too long.

    ``verdict`` is true if the frontend itself refused the workflow, which it would do again on a fresh page.
    """

    problem: str
    slow: bool
    verdict: bool

    def __init__(self, problem: str, *, slow: bool = False, verdict: bool = False) -> None:
        self.problem, self.slow, self.verdict = problem, slow, verdict
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class PageResult:
    """The result of a conversion.

    ``output`` is the prompt. ``unknown`` maps the ids of nodes whose type the page does not know to that type as the
    frontend writes it (``None`` if it does not give it). ``asked`` are the paths that scripts of the page requested
    from the server meanwhile.
    """

    output: JsonObject
    unknown: Mapping[str, str | None] = field(default_factory=dict)
    asked: tuple[str, ...] = ()
    environment: Environment | None = None
    alone: bool = False

    def on(self, page: FrontEndPage, *, alone: bool) -> PageResult:
        """The same with the page's environment, and whether the page requested nothing from the server."""
        return replace(self, environment=page.environment, alone=alone)


class FrontEndPage:
    """A page in a context of its own, for one conversion at a time; its owner closes it."""

    uses: int
    heap: int
    growth: int

    def __init__(self, name: str, context: BrowserContext, page: Page, session: CDPSession) -> None:
        self.name = name
        self._context, self._page, self._session = context, page, session
        self._console: deque[str] = deque(maxlen=20)
        self._crashed = False
        self.uses = 0
        self.heap = 0
        """Bytes of JavaScript heap after the latest conversion, garbage included."""
        self._least: float = math.inf
        self.growth = 0
        """Bytes by which the heap in use after the latest collection exceeds the least ever after one."""
        self.version: str | None = None
        self.node_limit: int | None = None
        """How many nodes this frontend accepts in one graph: LiteGraph's ``MAX_NUMBER_OF_NODES``, 10,000."""
        self.environment: Environment | None = None
        """What the server offered when the page was loaded."""
        self.browser: Browser | None = None
        """The browser of the page."""
        self.root: Path | None = None
        """The folder that the frontend's files came from; ``None``: from the server."""
        page.on("console", self._on_console)
        page.on("crash", self._on_crash)

    def __repr__(self) -> str:
        return f"<FrontEndPage {self.version or 'loading'}, uses={self.uses}, alive={self.alive}>"

    @classmethod
    async def open(
        cls,
        browser: Browser,
        address: str,
        name: str,
        cookies: Mapping[str, str],
        *,
        timeout: float = LOAD_TIMEOUT,
        server_ready: asyncio.Event | None = None,
        server_lost: asyncio.Event | None = None,
        early: bool = False,
    ) -> FrontEndPage:
        """Load the frontend from ``address`` into a new context and wait until it can convert.

        ``name`` is the caller's, ``cookies`` are what ``address`` knows this page by. ``timeout`` (seconds) begins when
        ``server_ready`` is set. With ``early`` the load itself begins before that. ``server_lost`` ends a load that
        cannot succeed.

        Raises ``ConversionTimeout`` if it is not ready in ``timeout`` seconds, ``ConversionError`` if the page cannot
        be loaded, ``BrowserError`` if the browser is gone. On any failure, cancellation included, nothing stays open.
        """
        from playwright.async_api import Error

        context: BrowserContext | None = None
        page: FrontEndPage | None = None
        try:
            # These calls have no timeout in Playwright, and a browser that is stopped or hangs never answers them.
            async with asyncio.timeout(ANSWER_TIMEOUT) as limit:
                context = await browser.new_context()
                await context.add_cookies(
                    [
                        {"name": key, "value": value, "url": address, "httpOnly": True, "sameSite": "Strict"}
                        for key, value in cookies.items()
                    ]
                )
                await context.add_init_script(page_script())
                plain = await context.new_page()
                page = cls(name, context, plain, await context.new_cdp_session(plain))
            # Windows that scripts open are closed at once, since nobody can see them.
            context.on("page", _close_popup)
            if early:
                await page._go(address, timeout)
            if server_ready is not None:
                await server_ready.wait()
            await page._become_ready(address, timeout, server_lost, loaded=early)
        except BaseException as error:
            if context is not None:
                await _close(context, page._session if page else None)
            if isinstance(error, TimeoutError) and limit.expired():
                raise BrowserGoneError(f"the browser did not answer within {ANSWER_TIMEOUT:.0f} s") from error
            if isinstance(error, Error) and _EMPTY_FAILURE in str(error):
                raise MissingFrontendError(f"{_NO_FRONTEND} with an error status and no text") from error
            if isinstance(error, Error):
                raise ConversionError(f"the frontend's page did not load: {_short(error)}") from error
            raise
        return page

    @property
    def alive(self) -> bool:
        """Whether the page can still be used; a crash, a navigation or a closed browser ends that."""
        return not self._crashed and not self._page.is_closed()

    async def _go(self, address: str, timeout: float) -> None:
        answer = await self._page.goto(address, wait_until="commit", timeout=timeout * 1000)
        if answer is not None and answer.status >= 400 and answer.status not in _NO_ANSWER:
            raise await _no_frontend(answer)

    async def _become_ready(
        self, address: str, timeout: float, server_lost: asyncio.Event | None, *, loaded: bool
    ) -> None:
        started = time.monotonic()
        try:
            async with asyncio.timeout(timeout):
                if not loaded:
                    await self._go(address, timeout)
                await self._wait_ready(server_lost)
                status = await self._page.evaluate("() => window.__discomfort.status()")
        except TimeoutError as error:
            state = await self._state()
            raise ConversionTimeout(f"the frontend's page was not ready after {timeout:.0f} s ({state})") from error
        self.version = status["version"]
        self.node_limit = status["limit"]
        # From now on, a navigation to another document ends the loaded frontend; its address may change (1.58.1).
        self._page.on("domcontentloaded", self._on_document)
        logger.info(
            "frontend %s with %d node types ready after %.1f s",
            self.version,
            status["types"],
            time.monotonic() - started,
        )

    async def _wait_ready(self, server_lost: asyncio.Event | None) -> None:
        if server_lost is None:
            server_lost = asyncio.Event()
        expression = "() => window.__discomfort?.ready()"
        ready = asyncio.ensure_future(self._page.wait_for_function(expression, polling=POLLING, timeout=0))
        lost = asyncio.ensure_future(server_lost.wait())
        try:
            await asyncio.wait((ready, lost), return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                raise ConversionError("the server stopped responding while the frontend was loading")
            ready.result()
        finally:
            ready.cancel()
            lost.cancel()

    async def _state(self) -> str:
        from playwright.async_api import Error

        try:
            async with asyncio.timeout(1):
                status: Any = await self._page.evaluate("() => window.__discomfort?.status()")
        except (Error, TimeoutError):
            status = "no answer"
        return f"page state {status}; console: {'; '.join(self._console) or 'silent'}"

    async def convert(self, text: str, *, timeout: float) -> PageResult:
        """Convert the workflow in ``text`` (JSON) within ``timeout`` seconds.

        Raises :class:`PageFailure`; the page must then be closed, as after a cancellation, unless ``verdict`` is set.
        """
        from playwright.async_api import Error

        self.uses += 1
        try:
            async with asyncio.timeout(timeout):
                answer = await self._page.evaluate("text => window.__discomfort.convert(text)", text)
        except TimeoutError as error:
            raise PageFailure(f"no result within {timeout:.1f} s", slow=True) from error
        except Error as error:
            raise PageFailure(f"the page failed: {_short(error)}") from error
        # Not orjson: it reads integers beyond 64 bits as floats.
        result = json.loads(answer)
        self.heap = result.get("heap", 0)
        if "error" in result:
            problem = f"the frontend failed to {result['stage']} it: {result['error']}{_place(result)}"
            raise PageFailure(problem, verdict=result["stage"] in ("load", "configure", "serialize"))
        if not isinstance(result.get("output"), dict):
            raise PageFailure("the frontend returned no prompt")
        return PageResult(result["output"], dict(result["unknown"]), tuple(result["asked"]))

    async def is_stable(self, *, timeout: float) -> bool:
        """Whether the last conversion has the same result when repeated with other random numbers and another date.

        Also false if that could not be determined within ``timeout`` seconds; the page is then no longer ``alive``.
        Raises nothing but cancellations.
        """
        from playwright.async_api import Error

        try:
            async with asyncio.timeout(timeout):
                return bool(await self._page.evaluate("() => window.__discomfort.stable()"))
        except TimeoutError:
            self._crashed = True
            return False
        except Error as error:
            logger.debug("a page failed while a conversion was repeated: %s", _short(error))
            self._crashed = True
            return False

    async def collect_garbage(self) -> None:
        """Have the page give back the memory that it does not use, and see what is left; 0.1 to 0.2 s. Never raises."""
        try:
            async with asyncio.timeout(COLLECT_TIMEOUT):
                await _guarded(self._collect(), "a page")
        except TimeoutError:
            logger.debug("a page was too busy to collect its garbage")

    async def _collect(self) -> None:
        await self._session.send("HeapProfiler.collectGarbage")
        used = (await self._session.send("Runtime.getHeapUsage"))["usedSize"]
        self._least = min(self._least, used)
        self.growth = round(used - self._least)

    async def aclose(self) -> None:
        """Close the page and its context within two seconds, whatever runs in it. Idempotent; never raises."""
        await _close(self._context, self._session)

    def _on_document(self, _: Page) -> None:
        self._crashed = True
        logger.warning("a page navigated away after %d conversions", self.uses)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._console.append(message.text[:200])

    def _on_crash(self, _: Page) -> None:
        self._crashed = True
        logger.warning("a page crashed after %d conversions", self.uses)


async def _close_popup(page: Page) -> None:
    await _guarded(page.close(), "a window opened by the page")


async def _close(context: BrowserContext, session: CDPSession | None) -> None:
    """Close a context, by force where its page does not react: Chromium's I/O thread still does."""
    closing = asyncio.ensure_future(_guarded(context.close(), "a page"))
    try:
        for command in ("Runtime.terminateExecution", "Page.crash"):
            done, _ = await asyncio.wait([closing], timeout=CLOSE_STEP)
            if done:
                return
            if session is not None:
                logger.debug("a page does not close: %s", command)
                # Page.crash is never answered: the renderer that would do it is gone.
                await asyncio.wait([asyncio.ensure_future(_guarded(session.send(command), command))], timeout=0.1)
        if not (await asyncio.wait([closing], timeout=CLOSE_STEP))[0]:
            logger.warning("a page could not be closed; it goes with its browser")
    finally:
        if not closing.done():
            closing.cancel()


async def _guarded(work: Awaitable[object], what: str) -> None:
    from playwright.async_api import Error

    try:
        await work
    except Error as error:
        logger.debug("%s is gone already: %s", what, _short(error))


async def _no_frontend(answer: Response) -> MissingFrontendError:
    """The error for a server that answers something else than the frontend's page, with what it says."""
    text = re.sub(r"<head>.*?</head>|<[^>]*>", " ", await answer.text(), flags=re.DOTALL)
    status = f"{answer.status} {answer.status_text}".strip()
    return MissingFrontendError(f"{_NO_FRONTEND} with {status}: {' '.join(text.split())[:300]}")


def _place(result: Mapping[str, Any]) -> str:
    """The node and the script of a failure, as far as the page found them."""
    node, script = result.get("node"), result.get("script")
    parts = []
    if node:
        parts.append(f"node {node['id']}, {node['type']}" if node["id"] is not None else f"a node {node['type']}")
    if script:
        parts.append(f"thrown in {script}")
    return f" ({'; '.join(parts)})" if parts else ""


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:500] if lines else type(error).__name__
