"""The command line of the server, and the server as a coroutine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import importlib
import importlib.util
import logging
import os
import signal
import socket as socket_module
import ssl
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfyui_emulator.console import start_logging
from comfyui_emulator.database_lock import DatabaseLock, DatabaseLockError
from comfyui_emulator.faults import ENVIRONMENT_VARIABLE, Faults, parse_faults
from comfyui_emulator.feature_flags import parse_flags, registry
from comfyui_emulator.flags import MISSED, console_level, parse
from comfyui_emulator.registry import UnloadedNodesError
from comfyui_emulator.settings import COMFYUI_VERSION, CacheKind, CacheRam, EmulatorConfig

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger("comfyui_emulator")

STOPPED = "\nStopped server"
"""The last line after SIGINT, as in ComfyUI."""

SHUTDOWN_SECONDS = 1.0
"""Grace period for open requests once the server is asked to stop."""


async def serve(
    config: EmulatorConfig,
    *,
    host: str | Sequence[str] = "127.0.0.1",
    port: int = 8188,
    ready: Callable[[int], None] | None = None,
    tls: ssl.SSLContext | None = None,
    announce: bool = True,
) -> None:
    """Serve until cancelled, or until SIGINT or SIGTERM (in the main thread only).

    ``host`` is one address, a sequence, or a comma-separated list; ``port`` 0 lets the system choose. ``ready`` is
    called with the port once connections are accepted, and ``announce`` logs the address. The port is bound before any
    folder is touched. Raises :class:`PortInUseError`, ``FileNotFoundError`` for a frontend folder without
    ``index.html``, another ``OSError``, or :class:`~comfyui_emulator.registry.UnloadedNodesError`.
    """
    from aiohttp import web

    from comfyui_emulator.server import EMULATOR

    if config.faults.any:
        log.warning("faults on demand: %s", config.faults)
    if not await _start_faults(config.faults):
        return
    hosts = [part.strip() for part in host.split(",")] if isinstance(host, str) else list(host)
    sockets = bind(hosts, port)
    runner = await _set_up(config, sockets)
    stopped = asyncio.Event()
    try:
        for taken in sockets:
            await web.SockSite(runner, taken, ssl_context=tls).start()
        actual = int(sockets[0].getsockname()[1])
        runner.app[EMULATOR].context.address = hosts[0], actual
        # Before the address is told: whoever reads it may end the server at once.
        with _signals(stopped):
            banner(config)
            if announce:
                show_addresses(hosts, actual, "http" if tls is None else "https")
            if ready is not None:
                ready(actual)
            # A server without node types is of no use.
            await _first(runner.app[EMULATOR].nodes(), stopped.wait())
            await stopped.wait()
    finally:
        await runner.cleanup()


async def _start_faults(faults: Faults) -> bool:
    """Apply the faults at start; returns ``False`` if the server must not start."""
    if faults.start_delay:
        await asyncio.sleep(faults.start_delay)
    if faults.exit_at_start is not None:
        raise SystemExit(faults.exit_at_start)
    if faults.never_listen:
        stopped = asyncio.Event()
        with _signals(stopped):
            await stopped.wait()
        return False
    return True


async def _set_up(config: EmulatorConfig, sockets: Sequence[socket_module.socket]) -> web.AppRunner:
    """Make and start the application. If that fails, the sockets are closed."""
    from aiohttp import web

    from comfyui_emulator.http.app import create_app

    try:
        runner = web.AppRunner(create_app(config), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
    except BaseException:
        for taken in sockets:
            taken.close()
        raise
    return runner


async def _first(*awaited: Coroutine[Any, Any, object]) -> None:
    """Wait until one of several is done; raise its error if it has one."""
    tasks = [asyncio.create_task(each) for each in awaited]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


class PortInUseError(OSError):
    """Another program listens on the port; the text is what ComfyUI logs (0.21 and newer)."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            errno.EADDRINUSE,
            f"Port {port} is already in use on address {host}. Please close the other application or use a different "
            "port with --port.",
        )


def bind(hosts: Sequence[str], port: int) -> list[socket_module.socket]:
    """Open a listening socket per address, all on one port.

    If one fails, none stays open. Raises :class:`PortInUseError`, or another ``OSError``.
    """
    sockets: list[socket_module.socket] = []
    try:
        for host in hosts:
            family = socket_module.AF_INET6 if ":" in host else socket_module.AF_INET
            bound = socket_module.socket(family, socket_module.SOCK_STREAM)
            sockets.append(bound)
            # Lets a restarted server rebind its port at once; a port with a live listener is still refused.
            bound.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_REUSEADDR, 1)
            if family is socket_module.AF_INET6:
                bound.setsockopt(socket_module.IPPROTO_IPV6, socket_module.IPV6_V6ONLY, 1)
            bound.bind((host, port))
            port = int(bound.getsockname()[1])
            bound.listen(128)
    except BaseException as error:
        for opened in sockets:
            opened.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise PortInUseError(host, port) from error
        raise
    return sockets


@contextlib.contextmanager
def _signals(stopped: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    installed = []

    def stop(number: signal.Signals) -> None:
        if number is signal.SIGINT:
            log.info(STOPPED)
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        # Signal handlers need the main thread; in any other thread, the server is stopped by cancelling it.
        with contextlib.suppress(RuntimeError, ValueError):
            loop.add_signal_handler(number, stop, number)
            installed.append(number)
    try:
        yield
    finally:
        for number in installed:
            loop.remove_signal_handler(number)


_CACHE_LINES = {
    "ram": "Using RAM pressure cache.",
    "lru": "Using LRU cache",
    "none": "Disabling intermediate node cache.",
}


def banner(config: EmulatorConfig) -> None:
    """Log that this is the emulator, and what its settings say of folders and cache, in ComfyUI's words."""
    log.info("This is the discomfort emulator, not ComfyUI: the protocol of ComfyUI %s, no models.", COMFYUI_VERSION)
    if config.object_info is not None:
        log.info("Node definitions from %s", config.object_info)
    for name in ("base", "models", "output", "input", "user"):
        folder: Path | None = getattr(config, f"{name}_directory")
        if folder is not None:
            log.info("Setting %s directory to: %s", name, folder.absolute())
    if config.temp_directory is not None:
        log.info("Setting temp directory to: %s", config.temp_directory.absolute() / "temp")
    if config.cache in _CACHE_LINES:
        log.info(_CACHE_LINES[config.cache])
    if config.load_seconds_per_gb or config.vram_gb is not None:
        memory = "no limit of memory" if config.vram_gb is None else f"{config.vram_gb:g} GB of memory"
        log.info("device: simulated, with %s; models load in %g s per GB", memory, config.load_seconds_per_gb)


def show_addresses(hosts: Sequence[str], port: int, scheme: str) -> None:
    """Log that the server is ready, and where."""
    log.info("Starting server\n")
    for host in hosts:
        shown = f"[{host}]" if ":" in host else host
        log.info("To see the GUI go to: %s://%s:%d", scheme, shown, port)


def load_extra_nodes(names: Sequence[str]) -> Mapping[str, type]:
    """The ``NODE_CLASS_MAPPINGS`` of modules or Python files. Raises ``ImportError`` or ``AttributeError``."""
    nodes: dict[str, type] = {}
    for name in names:
        path = Path(name)
        if name.endswith(".py"):
            spec = importlib.util.spec_from_file_location(path.stem, path)
            if spec is None or spec.loader is None:
                raise ImportError(f"{name} cannot be loaded")
            module = importlib.util.module_from_spec(spec)
            sys.modules[path.stem] = module
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(name)
        nodes.update(module.NODE_CLASS_MAPPINGS)
        for key, title in getattr(module, "NODE_DISPLAY_NAME_MAPPINGS", {}).items():
            nodes[key].DISPLAY_NAME = title  # type: ignore[attr-defined]
    return nodes


def cache_from(options: argparse.Namespace) -> tuple[CacheKind, CacheRam | None]:
    """The cache policy, and the limits of ``--cache-ram``, of which the second is all of the memory if it is absent."""
    if options.cache_classic or options.high_ram:
        return "classic", None
    if options.cache_lru > 0:
        return "lru", None
    limits = [*options.cache_ram, float("inf")][:2]
    return ("none" if options.cache_none else "ram"), ((limits[0], limits[1]) if options.cache_ram else None)


def config_from(options: argparse.Namespace, argv: Sequence[str]) -> EmulatorConfig:
    """Settings from parsed flags."""
    kind, ram = cache_from(options)
    return EmulatorConfig(
        base_directory=options.base_directory,
        input_directory=options.input_directory,
        output_directory=options.output_directory,
        temp_directory=options.temp_directory,
        user_directory=options.user_directory,
        front_end_root=options.front_end_root,
        object_info=options.object_info,
        extra_nodes=load_extra_nodes(options.extra_nodes),
        custom_nodes=tuple(options.custom_node_directory),
        faults=parse_faults([*os.environ.get(ENVIRONMENT_VARIABLE, "").split(), *options.fault]),
        disable_metadata=options.disable_metadata,
        cache=kind,
        cache_lru=options.cache_lru,
        cache_ram=ram,
        max_upload_size=options.max_upload_size,
        enable_cors=options.enable_cors_header,
        compress_response_body=options.enable_compress_response_body,
        multi_user=options.multi_user,
        comfyui=options.comfyui or (Path(named) if (named := os.environ.get("COMFYUI_PATH")) else None),
        models_directory=options.models_directory,
        feature_flags=parse_flags(options.feature_flag),
        block_external=options.disable_api_nodes,
        load_seconds_per_gb=options.load_seconds_per_gb,
        vram_gb=options.vram_gb,
        node_seconds=dict(options.node_seconds),
        argv=("discomfort serve", *argv),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server with these flags. Returns the exit code: 0 after a stop, 1 for a failure, 2 for bad usage.

    Bad flags raise ``SystemExit(2)``, as argparse does.
    """
    argv = sys.argv[1:] if argv is None else argv
    options = parse(argv)
    if options.list_feature_flags:
        print(registry())  # noqa: T201 - what a launcher asked for
        return 0
    files = [(level, path) for level, path in options.verbose if path is not None]
    start_logging(console_level(options), files, use_stdout=options.log_stdout)
    lock = DatabaseLock()
    try:
        return _run(options, argv, lock)
    except KeyboardInterrupt:
        log.info(STOPPED)
        return 0
    except PortInUseError as error:
        log.error(error.strerror)  # noqa: TRY400 - one line for a user, not a traceback
        return 1
    except (OSError, ImportError, AttributeError, ValueError, OverflowError, UnloadedNodesError) as error:
        log.error("the server could not start: %s", error)  # noqa: TRY400 - see above
        return 1
    finally:
        lock.release()


def _run(options: argparse.Namespace, argv: Sequence[str], lock: DatabaseLock) -> int:
    missed = [name for name in MISSED if getattr(options, name.replace("-", "_"))]
    if missed:
        log.warning("without effect in the emulator: --%s", ", --".join(missed))
    if not _claim_database(options, lock):
        return 1
    config = config_from(options, argv)
    if options.quick_test_for_ci:
        from comfyui_emulator.server import load_registry

        load_registry(config)
        return 0
    tls = None
    if options.tls_keyfile and options.tls_certfile:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.tls_certfile, options.tls_keyfile)
    announce = not options.dont_print_server
    asyncio.run(serve(config, host=options.listen, port=options.port, tls=tls, announce=announce))
    return 0


def _claim_database(options: argparse.Namespace, lock: DatabaseLock) -> bool:
    """Whether the start may go on. As in ComfyUI, a database that is in use matters only to assets."""
    try:
        if options.database_url is not None:
            lock.take(options.database_url)
    except DatabaseLockError as error:
        log.error("Failed to initialize database: %s", error)  # noqa: TRY400 - one line, as in ComfyUI
        return not options.enable_assets
    return True
