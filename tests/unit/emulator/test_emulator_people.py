"""People and faces that models found, as they are drawn; and nodes that the emulator leaves out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from comfyui_emulator.left_out import LEFT_OUT
from comfyui_emulator.nodes import register_all
from comfyui_emulator.nodes.images import faces, poses
from comfyui_emulator.registry import NeedsComfyUIError, Registry

SQUARE = np.array([[2, 2], [12, 2], [12, 12], [2, 12], [5, 5], [9, 5], [9, 9], [5, 9]], np.float32)
SETS: dict[str, Any] = dict.fromkeys((*faces._DRAWN, "tesselation"), frozenset())
SETS |= {"face_oval": frozenset([(0, 1), (1, 2), (2, 3), (3, 0)]), "lips": frozenset([(4, 5), (6, 5), (6, 7), (7, 4)])}
FOUND = {"image_size": (16, 20), "frames": [[{"landmarks_xy": SQUARE}], []], "connection_sets": SETS}


def person(**parts: Any) -> dict[str, Any]:
    """A person of whom nothing is known but the points of these parts, by their number."""
    sizes = {"pose": 18, "face": 70, "hand_right": 21, "hand_left": 21, "foot": 6}
    made = {}
    for part, count in sizes.items():
        points = np.zeros((count, 3))
        for index, place in parts.get(part, {}).items():
            points[index] = (*place, 1)
        made[f"{part}_keypoints_2d"] = points.reshape(-1).tolist()
    return made


def drawn(*people: Any, threshold: float = 0.3, only: str = "body") -> Any:
    """The first frame, 40 wide and 30 high, in levels."""
    shown = {f"draw_{part}": part == only for part in ("body", "hands", "face", "feet", "head")}
    frame = {"canvas_width": 40, "canvas_height": 30, "people": people}
    picture = poses.draw_poses([frame], stick_width=2, face_point_size=1, score_threshold=threshold, **shown)
    return (picture[0] * 255).round().astype(int)


def test_limbs_have_the_colours_of_openpose() -> None:
    """The first from the neck is red, and so on around the wheel; both ends have dots of their own colours."""
    picture = drawn(person(pose={1: (5, 15), 2: (35, 15)}))

    assert picture[15, 20].tolist() == [255, 0, 0]
    assert (picture[15, 5].tolist(), picture[15, 35].tolist()) == ([255, 85, 0], [255, 170, 0])
    assert picture[20, 20].tolist() == [0, 0, 0]
    assert 3 <= (picture[:, 20].sum(axis=-1) > 0).sum() <= 6


def test_what_a_model_is_not_sure_of_is_not_drawn() -> None:
    """Nor what is outside, nor parts that nobody asked for."""
    assert drawn(person(pose={1: (5, 15), 2: (35, 15)}), threshold=1.1).max() == 0
    assert drawn(person(face={0: (90, 5)}), only="face").max() == 0
    assert drawn(person(face={0: (20, 5)}), only="hands").max() == 0
    assert poses.draw_poses([], *[True] * 4, 4, 3, 0.3, True).shape == (1, 64, 64, 3)


def test_hands_feet_and_faces() -> None:
    """Fingers are lines between blue dots, feet have the first colours, faces are white dots without the eyes."""
    hand = drawn(person(hand_left={0: (5, 5), 1: (30, 20)}), only="hands")
    face = drawn(person(face={0: (20, 10), 69: (5, 5)}), only="face")
    foot = drawn(person(foot={0: (20, 10)}), only="feet")
    head = drawn(person(pose={0: (20, 15), 14: (35, 15)}), only="head")

    assert (hand[5, 5].tolist(), hand[20, 30].tolist()) == ([0, 0, 255], [0, 0, 255])
    assert hand[12, 17].tolist() == [255, 0, 0]
    assert (face[10, 20].tolist(), face[5, 5].tolist(), (face > 0).any(axis=-1).sum()) == ([255] * 3, [0] * 3, 5)
    assert foot[10, 20].tolist() == [255, 0, 0]
    assert head[15, 28].tolist() == [85, 0, 255]


def test_closed_lines_are_found() -> None:
    """Whatever the order of their edges; two that do not touch are two."""
    found = faces.rings(SETS["face_oval"] | SETS["lips"])

    assert [sorted(ring) for ring in found] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert found[0] in ([0, 1, 2, 3], [0, 3, 2, 1])
    assert faces.rings([]) == []


def test_faces_become_masks() -> None:
    """The chosen parts are filled, all of them if nothing is chosen; a picture without faces has an empty mask."""
    whole = faces.mask_faces(FOUND, {"regions": "all"})
    lips = faces.mask_faces(FOUND, {"regions": "custom", "lips": True})
    none = faces.mask_faces(FOUND, {"regions": "custom"})

    assert (whole.shape, whole[0, 3, 3], whole[0, 0, 0], whole[1].max()) == ((2, 16, 20), 1, 0, 0)
    assert (lips[0, 3, 3], lips[0, 7, 7], none.max()) == (0, 1, 0)


@pytest.mark.parametrize("color", ["#ff0000", "red"])
def test_faces_are_drawn(color: str) -> None:
    """As lines with dots, or filled; over the pictures, of which there may be more than frames, or on black."""
    picture = np.full((3, 16, 20, 3), 0.5, np.float32)
    lines = faces.draw_faces(FOUND, {"connections": "all"}, color, 1, 0)
    dots = faces.draw_faces(FOUND, {"connections": "custom"}, color, 1, 1)
    filled = faces.draw_faces(FOUND, {"connections": "fill"}, color, 1, 0, picture)

    assert (lines[0, 2, 7].tolist(), lines[0, 7, 7].tolist()) == ([1, 0, 0], [0, 0, 0])
    assert (dots[0, 2, 2].tolist(), dots[0, 2, 7].tolist()) == ([1, 0, 0], [0, 0, 0])
    assert (filled.shape, filled[0, 7, 7].tolist()) == ((3, 16, 20, 3), [1, 0, 0])
    assert filled[2] == pytest.approx(np.full((16, 20, 3), 128 / 255))


def test_a_colour_that_is_none_is_green() -> None:
    """As in ComfyUI."""
    filled = faces.draw_faces(FOUND, {"connections": "fill"}, "no colour", 1, 0)

    assert filled[0, 7, 7].tolist() == [0, 1, 0]


def test_nodes_that_are_left_out_say_why() -> None:
    """None of them is executed; where a saved definition has one, its error gives the reason."""
    registry = Registry()
    register_all(registry)
    registry.add_definitions({name: {"input": {}, "output": [], "output_node": True} for name in LEFT_OUT})

    for name, why in LEFT_OUT.items():
        with pytest.raises(NeedsComfyUIError) as caught:
            registry[name].instantiate()
        assert name in str(caught.value)
        assert why in str(caught.value)
        assert "real ComfyUI" in str(caught.value)
