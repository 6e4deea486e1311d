"""Limits on the uses and the memory of a page, with the measurements on which they are based."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from discomfort.conversion.browser.page import FrontEndPage

MAX_USES: Final = 1000
"""Conversions on one page before it is replaced, whatever its memory.

With the gateway's settings, the frontends 1.27.10 and 1.58.1 keep nothing of a workflow. Custom nodes may.
"""

MAX_GROWTH: Final = 128 << 20
"""Bytes by which the JavaScript heap of a page may grow, without garbage, before it is replaced. After a collection, 40
to 75 MB are in use (1.27.10), depending on the last workflow."""

MAX_HEAP: Final = 512 << 20
"""Bytes of JavaScript heap, garbage included, above which a page is replaced at once; a fresh one has 65 MB."""

MAX_OVERHEAD_GROWTH: Final = 24 << 20
"""Bytes by which Chromium's processes other than pages may grow before the browser is replaced.

Its GPU process keeps 0.18 MB of every 3D viewer (``Preview3D``), even after the WebGL context was released; only its
end frees that (Chromium 156). Other workflows leave nothing, so a new browser, which takes 4 to 5 s, is rare: one every
few hundred conversions of the recorded set, in which one workflow in twelve has viewers.
"""

LARGE: Final = 4 << 20
"""Bytes of JSON above which a page is used for one workflow only: 50 MB left 3 GB in a page of 1.27.10, while 0.13 MB,
the largest official template, leaves nothing."""

TIDY_USES: Final = 10
"""Conversions after which a page collects its garbage, which Chromium itself would let grow to 0.5 GB.

The browser's memory then stays within 5%. It costs 0.01 to 0.02 s per conversion, after the result was returned.
"""


def worn(page: FrontEndPage) -> bool:
    """Whether to replace a page, because it was used often or its memory grew."""
    return page.uses >= MAX_USES or page.heap >= MAX_HEAP or page.growth >= MAX_GROWTH


def tidy_due(page: FrontEndPage) -> bool:
    """Whether a page should collect its garbage now."""
    return page.uses % TIDY_USES == 0
