"""The command line of the server, and the server as a coroutine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import importlib.util
import logging
import os
import signal
import socket as socket_module
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from comfyui_emulator.faults import ENVIRONMENT_VARIABLE, Faults, parse_faults
from comfyui_emulator.settings import COMFYUI_VERSION, CacheKind, CacheRam, EmulatorConfig

log = logging.getLogger("comfyui_emulator")

SHUTDOWN_SECONDS = 1.0
"""Grace period for open requests once the server is asked to stop."""


async def serve(
    config: EmulatorConfig,
    *,
    host: str | Sequence[str] = "127.0.0.1",
    port: int = 8188,
    ready: Callable[[int], None] | None = None,
) -> None:
    """Serve until cancelled, or until SIGINT or SIGTERM (in the main thread only).

    ``host`` is one address, a sequence, or a comma-separated list; ``port`` 0 lets the system choose. ``ready`` is
    called with the port once connections are accepted. The port is bound before any folder is touched. Raises
    ``OSError`` if the port is taken, ``FileNotFoundError`` for a frontend folder without ``index.html``.
    """
    from aiohttp import web

    from comfyui_emulator.http.app import create_app

    if config.faults.any:
        log.warning("faults on demand: %s", config.faults)
    if not await _start_faults(config.faults):
        return
    hosts = [part.strip() for part in host.split(",")] if isinstance(host, str) else list(host)
    sockets = bind(hosts, port)
    try:
        runner = web.AppRunner(create_app(config), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
    except BaseException:
        for taken in sockets:
            taken.close()
        raise
    stopped = asyncio.Event()
    try:
        for taken in sockets:
            await web.SockSite(runner, taken).start()
        actual = int(sockets[0].getsockname()[1])
        banner(config, hosts, actual)
        if ready is not None:
            ready(actual)
        with _signals(stopped):
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


def bind(hosts: Sequence[str], port: int) -> list[socket_module.socket]:
    """Open a listening socket per address, all on one port. Raises ``OSError``, and leaves none open, if one fails."""
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
    except BaseException:
        for opened in sockets:
            opened.close()
        raise
    return sockets


@contextlib.contextmanager
def _signals(stopped: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    installed = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # Signal handlers need the main thread; in any other thread, the server is stopped by cancelling it.
        with contextlib.suppress(RuntimeError, ValueError):
            loop.add_signal_handler(number, stopped.set)
            installed.append(number)
    try:
        yield
    finally:
        for number in installed:
            loop.remove_signal_handler(number)


def banner(config: EmulatorConfig, hosts: Sequence[str], port: int) -> None:
    """Log that this is the emulator, and its address."""
    log.info("This is the discomfort emulator, not ComfyUI: the protocol of ComfyUI %s, no models.", COMFYUI_VERSION)
    if config.object_info is not None:
        log.info("Node definitions from %s", config.object_info)
    for host in hosts:
        shown = f"[{host}]" if ":" in host else host
        log.info("To see the GUI go to: http://%s:%d", shown, port)


def parser() -> argparse.ArgumentParser:
    """The parser of the flags, which have ComfyUI's names."""
    result = argparse.ArgumentParser(
        prog="discomfort serve", description="A light server that speaks ComfyUI's protocol; not ComfyUI."
    )
    add = result.add_argument
    add("--listen", "--host", dest="listen", nargs="?", default="127.0.0.1", const="0.0.0.0,::", metavar="IP")
    add("--port", type=int, default=8188)
    for name in ("base", "input", "output", "temp", "user"):
        add(f"--{name}-directory", type=Path, metavar="DIR")
    add("--front-end-root", type=Path, metavar="DIR", help="folder with the frontend's index.html")
    add("--object-info", type=Path, metavar="FILE", help="a saved /object_info (.json or .json.gz)")
    add(
        "--extra-nodes",
        action="append",
        default=[],
        metavar="MODULE_OR_FILE",
        help="node classes to add (NODE_CLASS_MAPPINGS)",
    )
    add(
        "--custom-node-directory",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="folder of node packs to load",
    )
    add("--fault", action="append", default=[], metavar="NAME=VALUE", help="a fault to simulate, for tests")
    add("--disable-metadata", action="store_true", help="save files without prompt and workflow")
    add("--max-upload-size", type=float, default=100, metavar="MIB")
    add("--enable-cors-header", nargs="?", const="*", metavar="ORIGIN")
    add("--enable-compress-response-body", action="store_true")
    add("--multi-user", action="store_true", help="separate settings and files for each comfy-user")
    add(
        "--comfyui",
        type=Path,
        metavar="DIR",
        help="an installed ComfyUI, to read number tables from (default: COMFYUI_PATH)",
    )
    add("--verbose", nargs="?", const="DEBUG", default="INFO", metavar="LEVEL")
    cache = result.add_mutually_exclusive_group()
    cache.add_argument("--cache-ram", nargs="*", type=float, default=[], metavar="GB")
    cache.add_argument("--cache-classic", action="store_true")
    cache.add_argument("--cache-lru", type=int, default=0, metavar="N")
    cache.add_argument("--cache-none", action="store_true")
    cache.add_argument("--high-ram", action="store_true", help="the same as --cache-classic")
    ignored = result.add_argument_group("accepted for compatibility, without effect")
    for flag in ("--cpu", "--disable-auto-launch", "--dont-print-server", "--disable-all-custom-nodes", "--log-stdout"):
        ignored.add_argument(flag, action="store_true")
    ignored.add_argument("--database-url")
    ignored.add_argument("--preview-method")
    return result


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
        argv=("discomfort serve", *argv),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server with these flags. Returns the exit code: 0 after a stop, 1 for a failure, 2 for bad usage.

    Bad flags raise ``SystemExit(2)``, as argparse does.
    """
    argv = sys.argv[1:] if argv is None else argv
    options = parser().parse_args(argv)
    if len(options.cache_ram) > 2:
        parser().error("--cache-ram accepts at most two values: active GB and inactive GB")
    logging.basicConfig(level=options.verbose.upper(), format="%(message)s", stream=sys.stderr)
    for path in (options.front_end_root, options.object_info, options.comfyui, *options.custom_node_directory):
        if path is not None and not path.exists():
            parser().error(f"{path} does not exist")
    try:
        asyncio.run(serve(config_from(options, argv), host=options.listen, port=options.port))
    except KeyboardInterrupt:
        return 0
    except (OSError, ImportError, AttributeError, ValueError, OverflowError) as error:
        log.error("the server could not start: %s", error)  # noqa: TRY400 - one line for a user, not a traceback
        return 1
    return 0
