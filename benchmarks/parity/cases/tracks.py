"""Cases of tracks through videos (since ComfyUI 0.4)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from benchmarks.parity.building import Case, Source, case, load, made
from benchmarks.parity.cases.values import described

PLACE: dict[str, Any] = {
    "width": 64,
    "height": 48,
    "start_x": 0.1,
    "start_y": 0.2,
    "end_x": 0.9,
    "end_y": 0.7,
    "num_frames": 6,
    "num_tracks": 3,
    "track_spread": 0.1,
    "bezier": False,
    "mid_x": 0.5,
    "mid_y": 0.9,
    "interpolation": "linear",
}
EMPTY = made("SolidMask", value=0.0, width=8, height=8)
MASK = made("ImageToMask", image=load("p_anim.gif"), channel="red")


def cases() -> Iterator[Case]:
    """All of them."""
    yield from generated()
    yield from read()
    yield from joined()
    yield from drawn()


def generated() -> Iterator[Case]:
    """Tracks between places."""
    kinds = ("linear", "ease_in", "ease_out", "ease_in_out", "constant")
    for kind, bent in itertools.product(kinds, (False, True)):
        yield tracks(f"{kind} {bent}", interpolation=kind, bezier=bent)
    yield tracks("still", end_x=0.1, end_y=0.2)
    yield tracks("still but bent", end_x=0.1, end_y=0.2, bezier=True)
    yield tracks("one frame", num_frames=1, num_tracks=1)
    yield tracks("no frame of a mask", track_mask=EMPTY)
    yield tracks("some frames of a mask", num_frames=3, track_mask=MASK)


def tracks(label: str, **changed: Any) -> Case:
    """Generated tracks, described."""
    return described("GenerateTracks", label, (0, 1), **(PLACE | changed))


def read() -> Iterator[Case]:
    """Tracks from texts."""
    one = [{"x": k, "y": k * k} for k in range(4)]
    texts = {
        "one": json.dumps(one),
        "two": json.dumps([one, one[::-1]]),
        "quotes": str([one]),
        "none": "[]",
        "no json": "[",
        "shorter": json.dumps([one, one[:2]]),
        "without y": '[[{"x": 1}]]',
        "numbers": "[1, 2]",
        "dictionary": '{"x": 1}',
    }
    for name, text in texts.items():
        yield described("WanMoveTracksFromCoords", name, (0, 1), track_coords=text)
    yield described("WanMoveTracksFromCoords", "mask", (0, 1), track_coords=texts["two"], track_mask=MASK)
    yield described("WanMoveTracksFromCoords", "nothing", (0, 1))


def joined() -> Iterator[Case]:
    """Two groups of tracks in one."""
    first, second = made("GenerateTracks", **PLACE), made("GenerateTracks", **(PLACE | {"num_tracks": 1}))
    yield described("WanMoveConcatTrack", "one", tracks_1=first)
    yield described("WanMoveConcatTrack", "two", tracks_1=first, tracks_2=second)
    longer = made("GenerateTracks", **(PLACE | {"num_frames": 9}))
    yield described("WanMoveConcatTrack", "lengths", tracks_1=first, tracks_2=longer)


def drawn() -> Iterator[Case]:
    """Tracks in pictures."""
    frames = made("RepeatImageBatch", image=load("p_smooth.png"), amount=6)
    options = {"line_resolution": 24, "circle_size": 5, "opacity": 0.75, "line_width": 6}
    moved = made("GenerateTracks", **(PLACE | {"bezier": True, "num_tracks": 7}))
    yield picture("none", frames, None, options)
    yield picture("frames", frames, moved, options)
    yield picture("one for all", load("p_smooth.png"), moved, options)
    three = made("RepeatImageBatch", image=load("p_noisy.png"), amount=3)
    yield picture("three for six", three, moved, options)
    thin = {"line_resolution": 1, "circle_size": 1, "opacity": 1.0, "line_width": 1}
    yield picture("thin", frames, moved, thin)
    yield picture("invisible", frames, moved, options | {"opacity": 0.0})
    still = made("GenerateTracks", **(PLACE | {"interpolation": "constant"}))
    yield picture("still", frames, still, options)
    short = made("GenerateTracks", **(PLACE | {"num_frames": 2}))
    yield picture("too many pictures", frames, short, options)
    far = made("WanMoveTracksFromCoords", track_coords='[[{"x": -40, "y": 9.9}, {"x": 500, "y": -3.7}]]')
    yield picture("outside", load("p_smooth.png"), far, options)


def picture(label: str, images: Source, found: Source | None, options: dict[str, Any]) -> Case:
    """Pictures with tracks."""
    linked = {} if found is None else {"tracks": found}
    return case("WanMoveVisualizeTracks", label, images=images, **options, **linked)
