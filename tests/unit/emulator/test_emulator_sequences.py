"""Latents of videos and of video with sound, schedules and tracks: facts measured on ComfyUI 0.33.0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from comfyui_emulator.nodes.conditioning import references
from comfyui_emulator.nodes.latents import empty, joint, resizing, sequences
from comfyui_emulator.nodes.media import tracks
from comfyui_emulator.nodes.sampling import samplers, schedules

VIDEO = np.arange(2 * 3 * 7 * 4 * 5, dtype=np.float32).reshape(2, 3, 7, 4, 5)


@pytest.mark.parametrize(
    ("dim", "size", "shape"),
    [("t", 3, (4, 3, 3, 4, 5)), ("x", 2, (4, 3, 7, 4, 2)), ("y", 99, (2, 3, 7, 4, 5)), ("t", 7, (2, 3, 7, 4, 5))],
)
def test_pieces_become_a_batch(dim: str, size: int, shape: tuple[int, ...]) -> None:
    """What does not fill a piece is dropped, and a piece is at most the whole."""
    (cut,) = sequences.cut_to_batch({"samples": VIDEO}, dim, size)

    assert cut["samples"].shape == shape
    assert np.array_equal(cut["samples"][0, :, 0, 0, 0], VIDEO[0, :, 0, 0, 0])


@pytest.mark.parametrize(("index", "changed"), [(0, [0, 1]), (5, [5, 6]), (-2, [5, 6]), (6, []), (-1, []), (8, [])])
def test_frames_are_replaced_where_they_fit(index: int, changed: list[int]) -> None:
    """A negative index counts from the end; what does not fit changes nothing."""
    source = {"samples": np.full((2, 3, 2, 4, 5), -1, np.float32), "batch_index": [9]}

    (result,) = sequences.replace_frames({"samples": VIDEO}, index, source)

    assert [frame for frame in range(7) if (result["samples"][:, :, frame] == -1).all()] == changed
    assert ("batch_index" in result) == bool(changed)


def test_latents_of_other_sizes_join_a_batch() -> None:
    """The first gives the size; the indices of all follow each other."""
    small, large = np.ones((1, 4, 8, 8), np.float32), np.zeros((2, 4, 16, 12), np.float32)

    (batch,) = sequences.batch_latents(
        {"latent0": {"samples": large, "batch_index": [5, 6]}, "latent7": {"samples": small}}
    )

    assert batch is not None
    assert batch["samples"].shape == (3, 4, 16, 12)
    assert batch["batch_index"] == [5, 6, 0]


def test_the_start_of_a_video_is_normalized_within_limits() -> None:
    """Mean and deviation move at most so far, and the rest stays."""
    samples = np.concatenate([np.zeros((1, 2, 2, 4, 4)), np.full((1, 2, 3, 4, 4), 9.0)], axis=2).astype(np.float32)
    samples[:, :, :2] += np.random.default_rng(0).standard_normal((1, 2, 2, 4, 4)).astype(np.float32)

    (result,) = sequences.normalize_start({"samples": samples}, 2, 3)

    start, before = result["samples"][:, :, :2], samples[:, :, :2]
    assert np.allclose(start.mean(axis=(1, 3, 4)) - before.mean(axis=(1, 3, 4)), 0.35, atol=1e-4)
    assert np.array_equal(result["samples"][:, :, 2:], samples[:, :, 2:])


@pytest.mark.parametrize(
    ("frames", "overlap", "lengths"), [(5, 0, [2, 2, 2, 2, 2, 1]), (21, 3, [6, 6, 5]), (41, 5, [11]), (1, 9, [1] * 11)]
)
def test_a_video_is_split_and_merged(frames: int, overlap: int, lengths: list[int]) -> None:
    """Pieces overlap by less than their length, and give the video again."""
    video = {"samples": np.random.default_rng(0).random((1, 16, 11, 2, 2), dtype=np.float32)}
    mode = {"chunking_mode": "manual", "frames_per_chunk": frames}

    pieces, effective = sequences.split(video, overlap, mode)
    (merged,) = sequences.merge(pieces, [effective])

    assert [piece["samples"].shape[2] for piece in pieces] == lengths
    assert np.allclose(merged["samples"], video["samples"], atol=1e-6)


def test_video_and_sound_are_one_latent() -> None:
    """Both come back with their masks; a missing mask is filled."""
    mask = np.zeros((1, 1, 4, 5), np.float32)
    sound = np.zeros((1, 8, 16, 9), np.float32)

    (both,) = joint.concat({"samples": VIDEO, "noise_mask": mask}, {"samples": sound, "type": "audio"})
    video, audio = joint.separate(both)

    assert both["samples"].shape == VIDEO.shape
    assert video["noise_mask"] is mask
    assert audio["noise_mask"].shape == sound.shape
    assert audio["samples"] is sound
    assert audio["type"] == "audio"


@pytest.mark.parametrize(("length", "masked"), [(6, False), (6, True), (12, True)])
def test_another_sound_is_fitted_to_the_former(length: int, masked: bool) -> None:
    """A longer sound is cut; a shorter one is padded with zeros, which may change."""
    former = joint.Streams((VIDEO, np.zeros((1, 8, 2, 9), np.float32)))
    sound = {"samples": np.ones((1, 8, 2, length), np.float32)}
    if masked:
        sound["noise_mask"] = np.zeros((1, 1, 4, 4), np.float32)

    (both,) = joint.concat({"samples": former}, sound)

    fitted = both["samples"].unbind()[1]
    assert fitted.shape == (1, 8, 2, 9)
    assert fitted.sum() == 16 * min(length, 9)
    if masked:
        assert both["noise_mask"].unbind()[1].shape == fitted.shape
    with pytest.raises(ValueError, match="cannot be fitted"):
        joint.concat({"samples": former}, {"samples": np.ones((1, 4, 2, 9), np.float32)})


def test_empty_latents_tell_their_scale() -> None:
    """Sizes and what else ComfyUI writes beside them."""
    assert empty.empty_latent(64, 32)[0]["downscale_ratio_spacial"] == 8
    (music,) = empty.empty_minimax_music(1.0, 1)
    assert (music["samples"].shape, music["downscale_ratio_temporal"]) == ((1, 128, 86), 512)
    (video,) = joint.empty_minimax(64, 96, 6)
    assert [part.shape for part in video["samples"].unbind()] == [(1, 24, 7, 6, 4), (1, 32, 2, 37)]


def test_an_item_is_counted_from_the_end() -> None:
    """A negative index that is too small is the first."""
    batch = {"samples": np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1)}

    assert resizing.from_batch(batch, -1, 5)[0]["samples"].ravel().tolist() == [2]
    assert resizing.from_batch(batch, -9, 2)[0]["batch_index"] == [0, 1]


def test_schedules() -> None:
    """Levels that ComfyUI gives for the same inputs."""
    assert schedules.manual("1, .5 -2 x3").tolist() == [1, 0.5, -2, 3]
    with pytest.raises(ValueError, match="could not convert"):
        schedules.manual("1..5")
    assert np.allclose(schedules.flux(4, 1024, 1024), [1, 0.967384, 0.908144, 0.767200, 0], atol=1e-6)
    assert np.allclose(
        schedules.ideogram(4, 1024, 1024, 0.0, 1.75), [0.999877, 0.866863, 0.666667, 0.380551, 0], atol=1e-6
    )


def test_samplers_and_noise_are_descriptions() -> None:
    """Name and options, and noise that is a latent."""
    assert samplers.lcm(1, 0, 2).options == {"s_noise": 1.0, "s_noise_end": 0.0, "noise_clip_std": 2.0}
    noise = samplers.warped_noise({"samples": VIDEO})
    assert (noise.seed, noise.generate_noise({}).shape) == (0, VIDEO.shape)


def test_references_are_appended() -> None:
    """Pictures are taken by their numbers, and added to those before."""
    given: list[list[Any]] = [[np.ones((1, 2, 3), np.float32), {"reference_latents": [0]}]]

    images: Any = {"image_3": 3, "image_1": 1}

    positive, negative = references.pictures(given, [[given[0][0], {}]], images)

    assert positive[0][1]["reference_latents"] == [0, 1, 3]
    assert negative[0][1]["reference_latents"] == [1, 3]


PLACES: dict[str, Any] = {"start_x": 0.0, "start_y": 0.0, "mid_x": 0.0, "mid_y": 1.0, "end_x": 1.0, "end_y": 0.0}


def test_tracks_run_side_by_side() -> None:
    """They are apart at right angles to the direction."""
    found, length = tracks.generate(100, 50, 3, 3, 0.1, **PLACES)

    assert length == 3
    assert found["track_path"][:, 1].tolist() == [[0, 0], [50, 0], [100, 0]]
    assert found["track_path"][0].tolist() == [[0, -7.5], [0, 0], [0, 7.5]]


def test_bent_tracks_and_tracks_that_stand_still() -> None:
    """A curve passes the middle halfway; what does not move is spread sideways."""
    bent, _ = tracks.generate(100, 50, 3, 1, 0.1, bezier=True, **PLACES)
    still, _ = tracks.generate(100, 50, 2, 2, 0.1, **(PLACES | {"end_x": 0.0}))

    assert bent["track_path"][1, 0].tolist() == [25, 25]
    assert still["track_path"][1].tolist() == [[-3.75, 0], [3.75, 0]]


def test_tracks_are_drawn_over_pictures() -> None:
    """The disc is where the track is, and the line leads to where it was."""
    found = tracks.from_coordinates("[[{'x': 8, 'y': 8}, {'x': 24, 'y': 8}]]")[0]
    images = np.zeros((1, 16, 32, 3), np.float32)

    drawn = tracks.visualize(images, 24, 2, 1.0, 3, found)

    assert drawn.shape == (2, 16, 32, 3)
    assert drawn[0, 8, 8].tolist() == pytest.approx([102 / 255, 153 / 255, 1])
    assert drawn[0, 8, 16].max() == 0
    assert 0 < drawn[1, 8, 16, 2] < 1
