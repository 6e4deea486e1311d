"""The servers that a pool starts on this machine, or connects to, and their settings."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ssl import SSLContext
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from discomfort._system.gpus import Gpu, list_gpus
from discomfort.config import SettingArguments, load_settings
from discomfort.connector.connector import ComfyConnector
from discomfort.exceptions import ArgumentError, PoolError
from discomfort.pool.local import LocalServer

_VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
"""The variables by which a process sees one GPU only, as its first: of CUDA, and of ROCm."""

_OF_POOLS: SettingArguments = {"browser": "lazy", "on_server_death": "restart", "on_out_of_memory": "retry_once"}
"""Settings of the servers of a pool, unless the user says otherwise."""


class OwnedServers:
    """Makes servers that this process starts: one for each GPU, or any number without."""

    def __init__(
        self, config_path: str | os.PathLike[str] | None, settings: SettingArguments, labels: Mapping[str, str]
    ) -> None:
        """Raises ArgumentError, ConfigurationError, FileNotFoundError."""
        if settings.get("on_server_death") not in (None, "restart"):
            raise ArgumentError("on_server_death", "must be 'restart' in a pool, whose runs have Retry instead")
        known = load_settings(config_path, **settings)
        # A connector that submits runs again by itself would begin them twice.
        given = {name for name in _OF_POOLS if name in known.sources and name != "on_server_death"}
        defaults = {name: value for name, value in _OF_POOLS.items() if name not in given}
        self._config_path, self._labels = config_path, dict(labels)
        self._settings = cast("SettingArguments", {**defaults, **settings})
        self._environment = known.server_environment
        self._number = 0

    def plain(self) -> LocalServer:
        """A server with what the machine has, such as an emulator."""
        name = f"server{self._number}"
        self._number += 1
        return LocalServer(name, self._connect(self._settings), labels=self._labels)

    def on_gpu(self, gpu: Gpu) -> LocalServer:
        """A server that sees one GPU only."""
        order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}  # as nvidia-smi counts; CUDA itself begins with the fastest
        environment = {**self._environment, **order, **dict.fromkeys(_VISIBLE, str(gpu.index))}
        settings = cast("SettingArguments", {**self._settings, "environment": environment})
        labels = {"gpu": str(gpu.index), **({"type": gpu.kind} if gpu.name else {}), **self._labels}
        return LocalServer(f"gpu{gpu.index}", self._connect(settings), labels=labels)

    def _connect(self, settings: SettingArguments) -> Callable[[], Awaitable[ComfyConnector]]:
        return lambda: ComfyConnector.launch(self._config_path, **settings)


async def chosen_gpus(gpus: Literal["all"] | Sequence[int]) -> list[Gpu]:
    """The GPUs that a user means. Raises PoolError if there is none, ArgumentError."""
    if gpus == "all":
        found = await list_gpus()
        if not found:
            raise PoolError(
                "no GPU was found (nvidia-smi lists none): give their numbers as gpus=[0, 1], or servers=2 for servers "
                "without a GPU of their own"
            )
        return found
    numbers = list(gpus) if isinstance(gpus, Sequence) and not isinstance(gpus, str) else None
    if not numbers or not all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in numbers):
        raise ArgumentError("gpus", f"must be 'all' or numbers of GPUs such as [0, 1], not {gpus!r}")
    if len(set(numbers)) < len(numbers):
        raise ArgumentError("gpus", f"names a GPU twice: {numbers}")
    known = {gpu.index: gpu for gpu in await list_gpus()}
    if known and (missing := [number for number in numbers if number not in known]):
        raise ArgumentError("gpus", f"there is no GPU {missing[0]}; this machine has {sorted(known)}")
    return [known.get(number, Gpu(number, "", 0)) for number in numbers]


def attached(
    urls: Sequence[str],
    *,
    headers: Mapping[str, str] | None,
    ssl: SSLContext | bool | None,
    proxy: str | None,
    config_path: str | os.PathLike[str] | None,
    settings: SettingArguments,
    labels: Mapping[str, Mapping[str, str]],
) -> list[LocalServer]:
    """A server for each URL, named by its host and port. Raises ArgumentError."""
    if isinstance(urls, str) or not urls:
        raise ArgumentError("urls", "must be a list of the servers' URLs, such as ['http://gpu1:8188']")
    if len(set(urls)) < len(urls):
        raise ArgumentError("urls", "names a server twice")
    if unknown := [url for url in labels if url not in urls]:
        raise ArgumentError("labels", f"names {unknown[0]!r}, which is none of the urls")
    options = cast("SettingArguments", {"browser": "lazy", "on_out_of_memory": "retry_once", **settings})
    names = _names(urls)

    def connect(url: str) -> Callable[[], Awaitable[ComfyConnector]]:
        return lambda: ComfyConnector.attach(
            url, headers=headers, ssl=ssl, proxy=proxy, config_path=config_path, **options
        )

    return [LocalServer(names[url], connect(url), labels=labels.get(url, {}), is_owned=False) for url in urls]


def _names(urls: Sequence[str]) -> dict[str, str]:
    """A name of each server; credentials in its URL are not part of it."""
    made: dict[str, str] = {}
    for url in urls:
        parts: Any = urlsplit(url if "://" in url else f"http://{url}")
        name = parts.netloc.rpartition("@")[2] + parts.path.rstrip("/")
        made[url] = name if name not in made.values() else f"{name}#{len(made)}"
    return made
