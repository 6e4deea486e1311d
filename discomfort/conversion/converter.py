"""Converts workflows to prompts: from the cache if it can be trusted, else with the real frontend on a loaded page."""

# Longer than 400 lines: the three ways to a prompt share one order and one state.

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from discomfort._json import copied
from discomfort._system.concurrency import to_thread
from discomfort._system.http_sessions import DIRECT, Route
from discomfort.conversion.browser.page import FrontEndPage, PageFailure, PageResult
from discomfort.conversion.browser.session import BrowserSession, BrowserState, attempt_budget, conversion_error
from discomfort.conversion.cache import CachedPrompt, PromptCache
from discomfort.conversion.explanation import ConversionPath, Explanation, links_to_nowhere, node_fates
from discomfort.conversion.gateway.server import Gateway
from discomfort.conversion.native.path import NativeMode, NativePath, NativeResult
from discomfort.conversion.server_watch import ServerWatch
from discomfort.conversion.workflow_text import check_output, encode, largest_graph
from discomfort.exceptions import BrokenLinksError, BrowserError, ConversionError, DiscomfortError
from discomfort.workflow.graph_diagnosis import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from pathlib import Path

    from discomfort._json import JsonObject
    from discomfort.conversion.environment import Environment
    from discomfort.conversion.native.experiments import Convert

logger: logging.Logger = logging.getLogger("discomfort.conversion")

MAX_REFRESHES: Final = 3
"""Conversions of one workflow that may be discarded because the server changed meanwhile."""


LEARNING_END: Final = 1.0
"""Seconds that a close waits for cancelled experiments, which end at once."""


class Converter:
    """Converts workflows with the frontend of one ComfyUI server, in a headless Chromium that it starts and owns.

    ``url`` is the server's address, or a function that returns the current one; ``headers`` are sent with every request
    to it (an attached server's credentials). ``front_end_root`` is the folder of the frontend that this server will
    serve: with it the page loads while the server is starting. The caller sets ``server_ready`` once the server answers
    (``None``: it does already).
    ``chromium_path`` chooses the browser, ``install`` allows the installation of one. ``on_process`` is called with pid
    and start time (psutil's ``create_time``) of each process started, ``on_process_end`` with the pid once it ended.

    ``pages`` is the number of pages kept loaded; on two cores one is fastest. ``directory`` is the browser's folder
    (default: a new one in the system's temporary folder), ``environment`` has variables for the browser in addition to
    ours. ``cache`` holds converted prompts (``None``: no cache); with a cache, the browser is started only for a
    workflow that is not in it. ``native``: whether workflows that differ from known ones only in widget values may be
    converted without the browser (see ``native``).

    Any number of conversions may run at once. Without :meth:`start` the first conversion that needs it starts the
    browser.
    """

    def __init__(
        self,
        url: str | Callable[[], str],
        *,
        headers: Mapping[str, str] | None = None,
        front_end_root: Path | None = None,
        server_ready: asyncio.Event | None = None,
        chromium_path: str | None = None,
        install: bool = True,
        on_process: Callable[[int, float], None] | None = None,
        on_process_end: Callable[[int], None] | None = None,
        pages: int = 1,
        directory: Path | None = None,
        cache: PromptCache | None = None,
        environment: Mapping[str, str] | None = None,
        native: NativeMode = "off",
        route: Route = DIRECT,
    ) -> None:
        self._gateway = Gateway(
            url, headers=headers, front_end_root=front_end_root, server_ready=server_ready, route=route
        )
        self._watch = ServerWatch(self._gateway)
        self._opening = asyncio.Lock()
        self._cache = cache
        self._native = NativePath(native, cache)
        self._learning: set[asyncio.Task[None]] = set()
        self._paths: Counter[ConversionPath] = Counter()
        self._engine = BrowserSession(
            self._gateway,
            self._label,
            self._is_stale,
            server_ready=server_ready,
            chromium_path=chromium_path,
            install=install,
            on_process=on_process,
            on_process_end=on_process_end,
            pages=pages,
            directory=directory,
            environment_variables=environment,
        )

    def __repr__(self) -> str:
        return f"<Converter {self._engine!r} {self._gateway!r} {self._watch!r} {self._native!r} cache={self._cache!r}>"

    @property
    def browser_state(self) -> BrowserState:
        """``idle`` (not needed yet, or closed on purpose), ``running``, or ``died`` (launched again when needed)."""
        return self._engine.state

    @property
    def server_lost(self) -> bool:
        """Whether the last request to the server got no answer."""
        return self._gateway.server_lost.is_set()

    @property
    def healthy(self) -> bool:
        """Whether the browser runs and answers."""
        return self._engine.healthy

    @property
    def private_directory(self) -> Path:
        """The folder of everything that the browser writes; removed by :meth:`aclose` and :meth:`kill_now`."""
        return self._engine.directory

    @property
    def counts(self) -> JsonObject:
        """How many workflows each path converted, and how often the native path declined, by reason."""
        return {"paths": dict(self._paths), "declined": dict(self._native.declined)}

    # -- life ----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the gateway and the browser, and begin to load a page in the background. Does nothing if started.

        Raises ``BrowserError`` (its text names the command to run if there is no Chromium), ``StateError`` after
        :meth:`aclose`. On failure and cancellation no browser keeps running.
        """
        async with self._engine.call():
            await self._open_gateway()
            await self._engine.start()

    async def _open_gateway(self) -> None:
        async with self._opening:
            self._engine.refuse_if_closed()
            if self._gateway.port:
                return
            try:
                await self._gateway.start()
            except OSError as error:
                raise BrowserError(f"no port of 127.0.0.1 can be opened for the page: {error}") from error

    async def restart_browser(self) -> None:
        """Close the browser gracefully, kill processes that are left, launch a new one.

        Conversions in the old browser are retried in the new one. Raises ``BrowserError`` if the launch fails,
        ``StateError`` after :meth:`aclose`.
        """
        async with self._engine.call():
            await self._open_gateway()
            await self._engine.restart()

    async def aclose(self) -> None:
        """Close pages, browser, driver and gateway, remove the private directory. Idempotent; bounded to 20 s.

        Conversions in flight raise StateError. A cancellation is delivered after the processes were killed.
        """
        # First, so that callers that wait raise StateError at once, and no new work begins.
        self._engine.end_calls()
        learning = tuple(self._learning)
        for work in learning:
            work.cancel()
        try:
            if learning:
                await asyncio.wait(learning, timeout=LEARNING_END)
            await self._engine.aclose()
        finally:
            await self._watch.aclose()
            await self._gateway.aclose()

    def kill_now(self) -> None:
        """Kill our processes and remove our files at once. For exit handlers: synchronous, idempotent, never raises."""
        self._engine.kill_now()

    async def wait_page(self) -> None:
        """Wait until a page of the server's own frontend can convert; starts the browser if necessary.

        Raises ``BrowserError``, ``ConversionTimeout`` (no page was ready 60 s after the server),
        ``ConversionError``, ``StateError``.
        """
        async with self._engine.call():
            await self.start()
            await self._look()
            await self._engine.wait_page()

    # -- what the server offers ----------------------------------------------------------------------------------------

    async def _label(self) -> Environment | None:
        """What the server offers, for a page that is being loaded; ``None`` if the server cannot be asked."""
        try:
            return await self._watch.current()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            logger.debug("a page is loaded without knowing what the server offers: %r", error)
            return None

    async def _look(self, *, lists: bool = False) -> Environment:
        """What the server offers now; with ``lists``, including its lists of files."""
        before = self._watch.latest
        try:
            return await (self._watch.look_again() if lists else self._watch.current())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if before is not None:
                # A server that does not answer offers nothing new, so a loaded page is still as good as before.
                return before
            raise ConversionError(f"the server at {self._gateway.url} does not serve its page: {error!r}") from error

    def _is_stale(self, page: FrontEndPage) -> bool:
        """Whether a page has another frontend, or other node definitions, than the server has now."""
        known, now = page.environment, self._watch.latest
        other = known is not None and now is not None and known.digest != now.digest
        return other or page.root != self._gateway.static_root

    # -- conversion ----------------------------------------------------------------------------------------------------

    async def convert(self, workflow: JsonObject, *, allow_missing: bool = False) -> JsonObject:
        """The API prompt of ``workflow``, exactly as the server's frontend makes it. ``workflow`` is not changed.

        Makes up to three attempts of 3 s each (more for workflows above 0.1 MB, see ``workflow_text.budget``, and on a
        busy machine): on a loaded page, in a new context, in a new browser. The time until a page is loaded does not
        count.

        With ``allow_missing``, nodes of unknown type stay in the prompt as the frontend leaves them, with a
        ``class_type`` of ``None``; no server can run such a prompt.

        Raises ``PayloadError`` (not a workflow), ``MissingNodesError``, ``BrokenLinksError``, ``ConversionTimeout``,
        ``ConversionError``, ``BrowserError``, ``StateError``. Cancelling closes the page that was working.
        """
        # Encoded before the first await, since the caller may change its object while this waits.
        text = encode(workflow)
        return (await self._converted(json.loads(text), text, allow_missing=allow_missing))[1]

    async def explain(self, workflow: JsonObject) -> Explanation:
        """Convert, and report what happened to each node and which path converted it.

        Nodes of missing types are listed instead of raising ``MissingNodesError``. Otherwise raises as :meth:`convert`.
        """
        text = encode(workflow)
        taken: JsonObject = json.loads(text)
        path, output = await self._converted(taken, text, allow_missing=True)
        return Explanation(path, node_fates(taken, output), output)

    async def _converted(
        self, workflow: JsonObject, text: str, *, allow_missing: bool
    ) -> tuple[ConversionPath, JsonObject]:
        """The prompt of ``workflow``, which must not be changed by others, and whose JSON is ``text``.

        The caller owns the result. Background work compares, learns and stores another object: if the caller could
        change an entry of the cache, every later process would use the wrong prompt.
        """
        async with self._engine.call():
            path, output = await self._by_some_path(workflow, text, allow_missing=allow_missing)
        self._paths[path] += 1
        return path, copied(output)

    async def _by_some_path(
        self, workflow: JsonObject, text: str, *, allow_missing: bool
    ) -> tuple[ConversionPath, JsonObject]:
        await self._open_gateway()
        environment = await self._look()
        key = environment.key(text) if self._cache else ""
        stored = await self._recall(key)
        if stored is not None:
            return "cache", stored
        native = await self._native.convert(text, environment)
        if native is not None and native.prompt is not None and native.trusted:
            if native.check and self._engine.healthy:
                self._learn_in_background(self._check_again(native, text))
            return "native", native.prompt
        result = await self._in_browser(workflow, text, key, allow_missing=allow_missing)
        if native is not None and _is_of(result, environment):
            await self._native.compare(native, result.output)
            self._learn_in_background(
                self._native.learn(native, text, json.dumps(result.output), self._probe(environment))
            )
        return "browser", result.output

    async def _in_browser(self, workflow: JsonObject, text: str, key: str, *, allow_missing: bool) -> PageResult:
        try:
            result = await self._convert_fresh(workflow, text, key)
        except ConversionError as error:
            # The frontend names at most the first such input.
            if problems := links_to_nowhere(workflow):
                raise BrokenLinksError(problems) from error
            if told := faults(workflow):
                raise ConversionError(f"{error.problem}: {'; '.join(told)}", attempts=error.attempts) from None
            raise
        if not allow_missing:
            check_output(workflow, result.output, result.unknown)
        if problems := links_to_nowhere(workflow, result.output):
            raise BrokenLinksError(problems)
        return result

    def _probe(self, environment: Environment) -> Convert:
        """Convert experiments, once each; ``None`` for one that fails or depends on more than ``environment``."""

        async def convert(text: str, *, steady: bool = False) -> JsonObject | None:
            answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            limit = 3 * attempt_budget(text)

            async def look(page: FrontEndPage, _: PageResult) -> None:
                stable = await page.is_stable(timeout=limit)
                if not answer.done():
                    answer.set_result(stable)

            try:
                result = await self._engine.on_warm_page(text, afterwards=look if steady else None)
                if not _is_of(result, environment):
                    return None
                async with asyncio.timeout(limit + 1):
                    return result.output if not steady or await answer else None
            except (PageFailure, DiscomfortError, TimeoutError) as error:
                logger.debug("an experiment failed: %s", error)
                return None

        return convert

    def _learn_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Learn in the background; a close does not wait for it."""
        task = asyncio.create_task(work)
        self._learning.add(task)
        task.add_done_callback(self._learning.discard)

    async def _check_again(self, native: NativeResult, text: str) -> None:
        """Compare a prompt of the native path with the browser's, after it was used."""
        prompt = await self._probe(native.environment)(text)
        if prompt is not None:
            await self._native.compare(native, prompt)

    async def attempt_isolated(self, workflow: JsonObject) -> JsonObject:
        """One attempt in a new context and page, which are closed afterwards. Raises as :meth:`convert` does."""
        text = encode(workflow)
        taken: JsonObject = json.loads(text)
        async with self._engine.call():
            await self._open_gateway()
            await self._look()
            try:
                result = await self._engine.on_fresh_page(text)
            except PageFailure as failure:
                raise conversion_error([failure]) from failure
        check_output(taken, result.output, result.unknown)
        return result.output

    async def _convert_fresh(self, workflow: JsonObject, text: str, key: str) -> PageResult:
        """Convert in the browser, and again if the page turns out to be outdated."""

        async def store(page: FrontEndPage, result: PageResult) -> None:
            await self._store(workflow, text, key, page, result)

        nodes = largest_graph(workflow)
        result = await self._engine.convert(text, store if self._cache else None, nodes=nodes)
        for _ in range(MAX_REFRESHES):
            if await self._is_fresh(workflow, result):
                break
            result = await self._engine.convert(text, nodes=nodes)
        return result

    async def _is_fresh(self, workflow: JsonObject, result: PageResult) -> bool:
        """Whether the page that made ``result`` was up to date in everything on which the result depends.

        Lists of files, and types that the page did not know, are checked only if the result depends on them.
        """
        known = result.environment
        if known is None:
            return True
        lists = bool(result.unknown) or known.depends_on_file_lists(workflow, result.output)
        now = await self._look(lists=lists)
        if known == now or (known.digest == now.digest and not lists):
            return True
        logger.info("the server's nodes or frontend changed since the page was loaded; converting on a new page")
        self._engine.pool.discard(lambda page: page.environment != now)
        return False

    # -- cache ---------------------------------------------------------------------------------------------------------

    async def _recall(self, key: str) -> JsonObject | None:
        if self._cache is None:
            return None
        entry = self._cache.recall(key) or await to_thread(self._cache.get, key)
        if entry is None or (entry.lists is not None and (await self._look(lists=True)).lists != entry.lists):
            return None
        logger.debug("prompt from the cache")
        return entry.output()

    async def _store(self, workflow: JsonObject, text: str, key: str, page: FrontEndPage, result: PageResult) -> None:
        """Store a prompt if it is the same at any other time, and depends only on what is known."""
        cache, environment = self._cache, result.environment
        if cache is None or environment is None or environment.key(text) != key or result.unknown or not result.alone:
            return
        if links_to_nowhere(workflow, result.output) or not await page.is_stable(timeout=3 * attempt_budget(text)):
            logger.debug("a prompt is not stored, because the frontend makes a different one each time")
            return
        lists = environment.lists if environment.depends_on_file_lists(workflow, result.output) else None
        entry = CachedPrompt(json.dumps(result.output).encode(), lists)
        await to_thread(cache.put, key, entry)


def _is_of(result: PageResult, environment: Environment) -> bool:
    """Whether a result has all nodes, and depends on nothing of the server but ``environment``."""
    known = result.environment
    return known is not None and known.digest == environment.digest and result.alone and not result.unknown
