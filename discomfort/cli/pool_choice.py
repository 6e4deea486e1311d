"""The servers that ``--pool`` names: so many, one for each GPU, or those at some addresses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from discomfort.cli.inputs import UsageError, check_url

_MOST_SERVERS = 1000
_GPUS = re.compile(r"gpus?:([0-9]{1,4}(?:,[0-9]{1,4})*)")


@dataclass(frozen=True, slots=True)
class PoolChoice:
    """One of the three. ``repr`` omits the addresses, which may contain secrets."""

    servers: int | None = None
    gpus: Literal["all"] | tuple[int, ...] | None = None
    urls: tuple[str, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        if self.servers is not None:
            return _counted(self.servers, "server")
        if self.gpus is not None:
            return "a server for each GPU" if self.gpus == "all" else _counted(len(self.gpus), "server")
        return _counted(len(self.urls), "server")


def read_pool(texts: Sequence[str], retry: int = 0) -> PoolChoice | None:
    """The pool that ``--pool`` asks for, if it is given. Raises UsageError."""
    if retry < 0:
        raise UsageError(f"--retry {retry}: must be at least 0")
    if not texts:
        if retry:
            raise UsageError("--retry needs --pool: it begins a run again on another server")
        return None
    choices = [_read(text.strip()) for text in texts]
    if len(choices) == 1:
        return choices[0]
    if not all(choice.urls for choice in choices):
        raise UsageError("--pool: only URLs can be given several times")
    return PoolChoice(urls=tuple(url for choice in choices for url in choice.urls))


def _read(text: str) -> PoolChoice:
    if text in ("gpu", "gpus"):
        return PoolChoice(gpus="all")
    if found := _GPUS.fullmatch(text):
        return PoolChoice(gpus=tuple(int(number) for number in found[1].split(",")))
    if text.isdecimal():
        if not 1 <= int(text) <= _MOST_SERVERS:
            raise UsageError(f"--pool {text}: must be 1 to {_MOST_SERVERS} servers")
        return PoolChoice(servers=int(text))
    urls = [part.strip() for part in text.split(",")]
    if not all("." in url or ":" in url for url in urls):
        raise UsageError(
            "--pool: expected a number of servers, gpus, gpu:0,2, or URLs such as http://a:8188,http://b:8188"
        )
    return PoolChoice(urls=tuple(check_url(url) for url in urls))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
