"""Shows outputs in notebooks as HTML that contains the files themselves, since no server may be in reach later."""

from __future__ import annotations

import asyncio
import base64
import html
from collections.abc import Iterable
from typing import Any, Protocol

from discomfort._system.loop_thread import LoopThread
from discomfort.client.rest import RestClient
from discomfort.exceptions import DiscomfortError

_DEADLINE = 10.0
"""Seconds for reading one file."""

_LARGEST = 20 << 20
"""Bytes above which a file is named instead of shown: a notebook keeps everything that it shows."""

_LONGEST = 20_000
"""Characters of a value that are shown."""

_TAGS = {
    "image": '<img src="{source}" alt="{name}" style="max-width: 24em; max-height: 24em">',
    "video": '<video src="{source}" controls loop style="max-width: 32em"></video>',
    "audio": '<audio src="{source}" controls></audio>',
}


class Shown(Protocol):
    """What is needed of an output."""

    @property
    def title(self) -> str:
        """The node's title."""

    @property
    def filename(self) -> str | None:
        """The file's name; ``None`` for a value."""

    @property
    def media_type(self) -> str | None:
        """The file's type."""

    @property
    def value(self) -> Any:
        """The value, where there is no file."""

    def _read_blocking(self) -> bytes | None:
        """The content; ``None`` if it is too large to show."""


def as_html(outputs: Iterable[Shown]) -> str:
    """The outputs one below the other."""
    return "\n".join(_figure(output) for output in outputs) or "<p>no outputs</p>"


def view_blocking(rest: RestClient, filename: str, subfolder: str, folder: str) -> bytes | None:
    """A file of the server, read in a thread with a loop of its own: whoever shows an object cannot await.

    Returns ``None`` for a file that is too large to show.
    """

    async def view() -> bytes | None:
        async with asyncio.timeout(_DEADLINE), rest.apart() as client:
            return await client.view_up_to(_LARGEST, filename, subfolder, folder)

    thread = LoopThread("discomfort-view")
    try:
        return thread.call(view())
    finally:
        thread.close()


def _figure(output: Shown) -> str:
    caption = html.escape(output.title if output.filename is None else f"{output.title}: {output.filename}")
    return f"<figure>{_content(output)}<figcaption>{caption}</figcaption></figure>"


def _content(output: Shown) -> str:
    if output.filename is None:
        return f"<pre>{html.escape(str(output.value)[:_LONGEST])}</pre>"
    # A moving picture is not a video for a browser.
    tag = _TAGS.get((output.media_type or "").partition("/")[0])
    if tag is None:
        return ""
    try:
        data = output._read_blocking()
    except (DiscomfortError, OSError) as error:
        return f"<p>{html.escape(str(error) or 'the server does not answer')}</p>"
    if data is None:
        return f"<p>more than {_LARGEST >> 20} MiB, too large to show</p>"
    source = f"data:{output.media_type};base64,{base64.b64encode(data).decode()}"
    return tag.format(source=source, name=html.escape(output.filename, quote=True))
