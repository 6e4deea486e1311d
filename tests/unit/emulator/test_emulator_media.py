"""Sound and video: the nodes that use PyAV, and the error without it."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comfyui_emulator import runtime
from comfyui_emulator.nodes.base import BUILT_IN, Image
from comfyui_emulator.nodes.media import audio, codecs, equalizer, video
from comfyui_emulator.nodes.media.films import Video

N = Any


def tone(rate: int = 8000, channels: int = 2, seconds: float = 0.25) -> codecs.Audio:
    """A sine of 440 Hz in every channel, the second quieter."""
    wave = np.sin(np.arange(int(rate * seconds)) / rate * 440 * 2 * np.pi).astype(np.float32)
    return {
        "waveform": np.stack([wave * np.float32(0.8 / (k + 1)) for k in range(channels)])[None],
        "sample_rate": rate,
    }


def frames(count: int = 3) -> Image:
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
        saved = client.base / "output" / "audio" / "x_00001.flac"
        with av.open(str(saved)) as container:
            tags = {key.lower(): value for key, value in container.metadata.items()}
        (client.base / "input" / "x.flac").write_bytes(saved.read_bytes())
        listed = (await client.get("/object_info/LoadAudio"))["LoadAudio"]["input"]["required"]["audio"][1]["options"]

    assert record["outputs"]["2"] == {"audio": [{"filename": "x_00001.flac", "subfolder": "audio", "type": "output"}]}
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

    assert codecs.read_audio(folders.output / "x_00001.opus")["sample_rate"] == 48000


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
    with pytest.raises(ValueError, match="must be stereo"):
        audio.split_channels(other)


@pytest.mark.parametrize("sound", [None, tone(16000)])
def test_video_is_saved_copied_and_taken_apart(folders: runtime.Folders, sound: codecs.Audio | None) -> None:
    """An MP4 of images has their frame rate and sound, and is copied, tags and all, when it is saved again."""
    import av

    made = video.create_video(frames(), 12.0, sound)
    video.save_video(made, "a/x", "auto", {"codec": "auto"}, {"1": {}}, {"workflow": {}})
    first = folders.output / "a" / "x_00001_.mp4"
    loaded = Video(first)
    answer = video.save_video(loaded, "x", "mp4", {"codec": "h264"})
    images, heard, fps, depth, space = video.components(loaded)

    assert loaded.get_dimensions() == (32, 16)
    assert (images.shape, fps, depth, space) == ((3, 16, 32, 3), 12.0, 8, "sRGB")
    assert (heard is None) == (sound is None)
    assert answer["ui"]["images"] == [{"filename": "x_00001_.mp4", "subfolder": "", "type": "output"}]
    with av.open(str(folders.output / "x_00001_.mp4")) as container:
        assert container.metadata["prompt"] == '{"1": {}}'


def film(folders: runtime.Folders, count: int = 8, **more: Any) -> Video:
    """A loaded film of that many pictures, ten in a second."""
    made = video.create_video(frames(count), 10.0, **more)
    video.save_video(made, "film", {"format": "mp4", "codec": {"codec": "h264"}})
    return Video(max(folders.output.glob("film*.mp4")))


def test_savers_return_their_input(folders: runtime.Folders) -> None:
    """What is saved can be used further (since 0.26)."""
    sound, film = tone(), video.create_video(frames(), 10.0)
    answers = [
        audio.save_audio(sound, "x", {"format": "flac"}),
        BUILT_IN["SaveAudioMP3"][0]().save(sound, "x", "V0"),
        BUILT_IN["PreviewAudio"][0]().save(sound),
        video.save_video(film, "x", "mp4"),
        video.save_webm(frames(), "x", "vp9", 10.0, 40.0),
    ]

    assert [answer["result"][0] is given for answer, given in zip(answers, (sound, sound, sound, film), strict=False)]
    assert answers[0]["ui"]["audio"][0]["filename"] == "x_00001.flac"
    assert answers[1]["ui"]["audio"][0]["filename"] == "x_00002.mp3"
    with pytest.raises(ValueError, match="SaveAudioMP3: input audio is None"):
        BUILT_IN["SaveAudioMP3"][0]().save(None)


@pytest.mark.parametrize(
    ("container", "codec", "ending", "found"),
    [("auto", "auto", "mp4", "h264"), ("mkv", "h264", "mkv", "h264"), ("webm", "auto", "webm", "av1")],
)
@pytest.mark.parametrize("loaded", [False, True])
def test_films_in_every_container(
    folders: runtime.Folders, container: str, codec: str, ending: str, found: str, loaded: bool
) -> None:
    """The container decides the name and the codec, for images and for files; sound comes along."""
    import av

    given = film(folders, audio=tone(16000)) if loaded else video.create_video(frames(), 10.0, tone(16000))

    answer = video.save_video(given, "y", {"format": container, "codec": {"codec": codec}})

    name = answer["ui"]["images"][0]["filename"]
    assert name == f"y_00001_.{ending}"
    with av.open(str(folders.output / name)) as saved:
        assert saved.streams.video[0].codec.canonical_name == found
        assert saved.streams.audio[0].codec.canonical_name == ("opus" if ending == "webm" else "aac")


def test_parts_of_films(folders: runtime.Folders) -> None:
    """A part has its frames and its sound; a part of a part adds up; too short a film is an error where asked."""
    whole = film(folders, audio=tone(16000, seconds=0.8))

    part = video.part_of_video(whole, 0.2, 0.4, strict_duration=True)
    inner = part.as_trimmed(0.1, 0.2, strict_duration=False)
    made = video.part_of_video(video.create_video(frames(8), 10.0), 0.2, 0.0, strict_duration=False)
    saved = video.save_video(part, "part", "mp4")["ui"]["images"][0]["filename"]

    assert part.get_components().images.shape[0] == 4  # type: ignore[union-attr]
    assert part.get_components().audio["waveform"].shape[-1] == 6400  # type: ignore[index]
    assert (part.get_frame_count(), part.get_duration()) == (4, 0.4)
    assert inner is not None
    assert inner.get_components().images.shape[0] == 2  # type: ignore[union-attr]
    assert made.get_components().images.shape[0] == 6  # type: ignore[union-attr]
    assert Video(folders.output / saved).get_components().images.shape[0] == 4  # type: ignore[union-attr]
    assert whole.as_trimmed(-0.3, 0.0).get_components().images.shape[0] == 3  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="Failed to slice video:\nSource duration: 0.8"):
        video.part_of_video(whole, 0.5, 9.0, strict_duration=True)
    with pytest.raises(ValueError, match="Failed to slice"):
        video.part_of_video(video.create_video(frames(), 10.0), 0.0, 9.0, strict_duration=False)


def test_deep_colours_and_color_spaces(folders: runtime.Folders) -> None:
    """Ten bits and HDR are kept; a file is not converted between colour spaces."""
    deep = video.create_video(frames(), 10.0, bit_depth=10)
    video.save_video(deep, "deep", "mp4")
    again = {"codec": "h264", "encoding": {"encoding": "re-encode", "crf": 30.0, "color_space": "HDR"}}
    video.save_video(deep, "hdr", {"format": "mp4", "codec": again})
    loaded = Video(folders.output / "hdr_00001_.mp4")

    assert Video(folders.output / "deep_00001_.mp4").get_bit_depth() == 10
    assert (loaded.get_bit_depth(), loaded.get_color_space()) == (10, "HDR")
    again["encoding"]["color_space"] = "sRGB"  # type: ignore[index]
    with pytest.raises(ValueError, match="Cannot save HDR video as sRGB"):
        video.save_video(loaded, "x", {"format": "mp4", "codec": again})
    with pytest.raises(ValueError, match="WebM output requires the AV1 codec"):
        video.save_video(loaded, "x", {"format": "webm", "codec": {"codec": "h264"}})


def test_the_equalizer_is_the_filter_of_its_formula() -> None:
    """Block by block gives what the recursion gives, and loud tones are cut."""
    given = tone(8000, 1, 0.1)
    above, below = equalizer.peak(9.0, 440, 0.7, 8000)
    x, y = given["waveform"][0, 0].astype(float), [0.0, 0.0]
    for k in range(len(x)):
        before = [x[k - d] if k >= d else 0.0 for d in range(3)]
        forward = sum(a * b for a, b in zip(above, before, strict=True))
        y.append((forward - below[1] * y[-1] - below[2] * y[-2]) / below[0])

    (louder,) = equalizer.equalize(given, 100, 440, 0.7, 3000, low_gain_dB=0.0, mid_gain_dB=9.0, high_gain_dB=0.0)

    assert np.allclose(louder["waveform"][0, 0], np.clip(y[2:], -1, 1), atol=1e-5)
    assert louder["waveform"].max() == 1.0


def test_stereo_of_two(folders: runtime.Folders) -> None:
    """Two mono sounds become one, as long as the shorter; others are refused, and nothing is passed on."""
    one = tone(8000, 1)

    assert audio.join_channels(one, tone(16000, 1, 0.1))[0]["waveform"].shape == (1, 2, 1600)  # type: ignore[index]
    assert audio.join_channels(None, one) == (one,)
    with pytest.raises(ValueError, match="must be mono"):
        audio.join_channels(one, tone())


def test_webm_and_compression(folders: runtime.Folders) -> None:
    """WebM has all frames; compression keeps the picture, at even sides."""
    video.save_webm(frames(), "x", "vp9", 24.0, 10.0, {"1": {}})
    through = video.compress(frames()[:, :15, :31], 30)

    assert Video(folders.output / "x_00001_.webm").get_components().images.shape == (3, 16, 32, 3)  # type: ignore[union-attr]
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
    Video(None, frames(), Fraction(5)).save_to(film)

    with pytest.raises(ValueError, match=r"No video stream found in file '.*x\.flac'"):
        Video(sound).get_dimensions()
    with pytest.raises(ValueError, match="No audio stream found in the file"):
        codecs.read_audio(film)


def test_a_text_that_is_loaded_as_a_film_has_no_images(tmp_path: Path) -> None:
    """Packets that cannot be decoded are left out, as in ComfyUI; the node after it fails."""
    text = tmp_path / "text.png"
    text.write_bytes(b"no picture at all")

    assert Video(text).get_components().images.shape == (0, 0, 0, 3)


async def test_without_pyav_the_remedy_is_named(launch: N, make: N, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node fails, and its message says what to install."""
    monkeypatch.setitem(sys.modules, "av", None)
    async with launch() as client:
        silence = make("EmptyAudio", duration=0.1, sample_rate=8000, channels=1)
        events, _ = await client.run({"1": silence, "2": make("PreviewAudio", audio=["1", 0])})

    failure = next(data for kind, data in events if kind == "execution_error")
    assert "pip install 'discomfort[media]'" in failure["exception_message"]
