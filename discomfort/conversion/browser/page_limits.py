"""Limits on the uses and the memory of a page, with the measurements behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from discomfort.conversion.browser.page import FrontEndPage

MAX_USES: Final = 1000
"""Conversions on one page before a new one takes its place, whatever its memory.

With the gateway's settings the frontends 1.27.10 and 1.58.1 keep nothing of a workflow. Custom nodes may.
"""

MAX_GROWTH: Final = 128 << 20
"""Bytes by which the JavaScript heap of a page may grow, garbage apart, before it is replaced. Between 40 and 75 MB are
in use after a collection (1.27.10), depending on the workflow before it."""

MAX_HEAP: Final = 512 << 20
"""Bytes of JavaScript heap, garbage included, above which a page is replaced at once; a fresh one has 65 MB."""

MAX_OVERHEAD_GROWTH: Final = 24 << 20
"""Bytes by which Chromium's processes apart from the pages may grow before a new browser takes its place.

Its process for graphics keeps 0.18 MB of every 3D viewer (``Preview3D``) for good, even where the WebGL context was
given up; nothing but its end frees that (Chromium 156). Other workflows leave nothing, so a new browser, which takes 4
to 5 s, is rare: every few hundred conversions of the recorded set, of which one in twelve has viewers.
"""

LARGE: Final = 4 << 20
"""Bytes of JSON above which a workflow has a page to itself: 50 MB left 3 GB in a page of 1.27.10, where 0.13 MB, the
largest official template, leaves nothing."""

TIDY_USES: Final = 10
"""After every so many conversions a page collects its garbage, which Chromium itself would let grow to 0.5 GB.

The browser's memory then stays within 5%, for 0.01 to 0.02 s a conversion, when nobody waits for that page.
"""


def worn(page: FrontEndPage) -> bool:
    """Whether a page is to be replaced: used often, or its memory grew."""
    return page.uses >= MAX_USES or page.heap >= MAX_HEAP or page.growth >= MAX_GROWTH


def tidy_due(page: FrontEndPage) -> bool:
    """Whether a page is to collect its garbage now."""
    return page.uses % TIDY_USES == 0
