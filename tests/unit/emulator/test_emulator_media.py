"""Sound and video: the nodes that use PyAV, and the error without it."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comfyui_emulator import runtime
from comfyui_emulator.nodes.media import audio, codecs, video

N = Any


def tone(rate: int = 8000, channels: int = 2, seconds: float = 0.25) -> codecs.Audio:
    """A sine of 440 Hz in every channel, the second quieter."""
    wave = np.sin(np.arange(int(rate * seconds)) / rate * 440 * 2 * np.pi).astype(np.float32)
    return {
        "waveform": np.stack([wave * np.float32(0.8 / (k + 1)) for k in range(channels)])[None],
        "sample_rate": rate,
    }


def frames(count: int = 3) -> codecs.Image:
    """Flat pictures of increasing brightness."""
    levels = np.linspace(0.1, 0.9, count, dtype=np.float32)
    return np.broadcast_to(levels[:, None, None, None], (count, 16, 32, 3)).copy()


@pytest.fixture
def folders(tmp_path: Path) -> Any:
    """A node's context; all folders are the same."""
    with runtime.using(runtime.NodeContext(runtime.Folders(tmp_path, tmp_path, tmp_path, tmp_path))) as here:
        yield here.folders


async def test_sound_is_saved_and_loaded(launch: N, make: N) -> None:
    """A saved sound has ComfyUI's reference, its prompt in the tags, and loads again."""
    import av

    async with launch() as client:
        silence = make("EmptyAudio", duration=0.1, sample_rate=8000, channels=1)
        _, record = await client.run(
            {
                "1": silence,
                "2": make("SaveAudio", audio=["1", 0], filename_prefix="audio/x"),
                "3": make("PreviewAudio", audio=["1", 0]),
            }
        )
        saved = client.base / "output" / "audio" / "x_00001_.flac"
        with av.open(str(saved)) as container:
            tags = {key.lower(): value for key, value in container.metadata.items()}
        (client.base / "input" / "x.flac").write_bytes(saved.read_bytes())
        listed = (await client.get("/object_info/LoadAudio"))["LoadAudio"]["input"]["required"]["audio"][0]

    assert record["outputs"]["2"] == {"audio": [{"filename": "x_00001_.flac", "subfolder": "audio", "type": "output"}]}
    assert record["outputs"]["3"]["audio"][0]["type"] == "temp"
    assert '"EmptyAudio"' in tags["prompt"]
    assert listed == ["x.flac"]


@pytest.mark.parametrize(("ending", "worst"), [("flac", 1e-4), ("mp3", 0.2), ("opus", 0.2)])
def test_sounds_survive_their_formats(tmp_path: Path, ending: str, worst: float) -> None:
    """Encoded sound decodes to nearly the same loudness."""
    given = tone(48000)
    path = tmp_path / f"x.{ending}"
    path.write_bytes(codecs.encode_audio(given["waveform"][0], 48000, ending, "320k", {}))

    found = codecs.read_audio(path)

    assert found["sample_rate"] == 48000
    assert found["waveform"].shape[:2] == (1, 2)
    assert np.abs(found["waveform"]).max() == pytest.approx(0.8, abs=worst)


def test_opus_gets_a_rate_that_it_takes(folders: runtime.Folders) -> None:
    """44,100 samples per second become 48,000."""
    saver = type("Saver", (audio._AudioSaver,), {"ending": "opus"})()

    saver.save(tone(44100), "x")

    assert codecs.read_audio(folders.output / "x_00001_.opus")["sample_rate"] == 48000


def test_resampling_keeps_a_tone() -> None:
    """Up and down again gives the same wave, away from the ends; the length is rounded up."""
    given = tone(8000)["waveform"]

    up = codecs.resample_audio(given, 8000, 44100)
    back = codecs.resample_audio(up, 44100, 8000)

    assert up.shape == (1, 2, 11025)
    assert np.abs(back - given)[..., 100:-100].max() < 0.01


def test_sounds_are_cut_joined_and_mixed() -> None:
    """Trims count from the end too, mono becomes stereo, a mix is never louder than full."""
    given, other = tone(), tone(channels=1)

    assert audio.trim(given, -0.1, 9.0)[0]["waveform"].shape[-1] == 800
    assert audio.concat(given, other, "after")[0]["waveform"].shape == (1, 2, 4000)
    mixed = audio.merge(given, tone(16000), "add")[0]
    assert (mixed["sample_rate"], float(np.abs(mixed["waveform"]).max())) == (16000, 1.0)
    assert audio.adjust_volume(given, 20)[0]["waveform"].max() == pytest.approx(8.0, abs=0.1)
    left, right = audio.split_channels(given)
    assert left["waveform"].max() > right["waveform"].max()
    with pytest.raises(ValueError, match="Start time"):
        audio.trim(given, 0.0, 0.0)
    with pytest.raises(ValueError, match="one channel"):
        audio.split_channels(other)


@pytest.mark.parametrize("sound", [None, tone(16000)])
def test_video_is_saved_copied_and_taken_apart(folders: runtime.Folders, sound: codecs.Audio | None) -> None:
    """An MP4 of images has their frame rate and sound, and is copied, tags and all, when it is saved again."""
    import av

    video.save_video(video.create_video(frames(), 12.0, sound), "a/x", "auto", "auto", {"1": {}}, {"workflow": {}})
    first = folders.output / "a" / "x_00001_.mp4"
    loaded = codecs.Video(first)
    answer = video.save_video(loaded, "x", "mp4", "h264")
    images, heard, fps = video.components(loaded)

    assert loaded.size() == (32, 16)
    assert (images.shape, fps) == ((3, 16, 32, 3), 12.0)
    assert (heard is None) == (sound is None)
    assert answer["ui"]["images"] == [{"filename": "x_00001_.mp4", "subfolder": "", "type": "output"}]
    with av.open(str(folders.output / "x_00001_.mp4")) as container:
        assert container.metadata["prompt"] == '{"1": {}}'


def test_webm_and_compression(folders: runtime.Folders) -> None:
    """WebM has all frames; compression keeps the picture, at even sides."""
    video.save_webm(frames(), "x", "vp9", 24.0, 10.0, {"1": {}})
    through = video.compress(frames()[:, :15, :31], 30)

    assert codecs.Video(folders.output / "x_00001_.webm").get_components().images.shape == (3, 16, 32, 3)  # type: ignore[union-attr]
    assert through.shape == (3, 14, 30, 3)
    assert np.abs(through - frames()[:, :14, :30]).max() < 0.05


def test_other_sample_types() -> None:
    """Integers become floats; other types are refused."""
    assert codecs._levels(np.array([[-(2**15)]], dtype=np.int16)).tolist() == [[-1.0]]
    with pytest.raises(ValueError, match="uint8"):
        codecs._levels(np.zeros((1, 1), dtype=np.uint8))


def test_files_without_sound_or_picture(tmp_path: Path) -> None:
    """The error names what is missing, with ComfyUI's text."""
    sound = tmp_path / "x.flac"
    sound.write_bytes(codecs.encode_audio(tone()["waveform"][0], 8000, "flac", "", {}))
    film = tmp_path / "x.mp4"
    codecs.Video(None, frames(), Fraction(5)).save(film, "auto", "auto", {})

    with pytest.raises(ValueError, match=r"No video stream found in file '.*x\.flac'"):
        codecs.Video(sound).size()
    with pytest.raises(ValueError, match="No audio stream found in the file"):
        codecs.read_audio(film)


async def test_without_pyav_the_remedy_is_named(launch: N, make: N, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node fails, and its message says what to install."""
    monkeypatch.setitem(sys.modules, "av", None)
    async with launch() as client:
        silence = make("EmptyAudio", duration=0.1, sample_rate=8000, channels=1)
        events, _ = await client.run({"1": silence, "2": make("PreviewAudio", audio=["1", 0])})

    failure = next(data for kind, data in events if kind == "execution_error")
    assert "pip install 'discomfort[media]'" in failure["exception_message"]
