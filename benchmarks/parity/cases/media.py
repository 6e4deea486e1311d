"""Cases of sound and video."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np

from benchmarks.parity.building import Case, Source, case, load, made, ramp
from benchmarks.parity.cases.values import described
from benchmarks.parity.samples import noisy

FRAMES = load("p_anim.png")
SHADE = ramp(24, 40)
# FFmpeg converts deep colours of other widths with random values at the edge.
WIDE = made("ImageScale", image=FRAMES, upscale_method="bilinear", width=64, height=64, crop="disabled")


def tone(rate: int = 8000, channels: int = 2, seconds: float = 0.5, batch: int = 1) -> Source:
    """A chord."""
    return made("ParityTone", rate=rate, channels=channels, seconds=seconds, batch=batch)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from sounds()
    yield from joined()
    yield from segments()
    yield from saved_sounds()
    yield from films()


def sounds() -> Iterator[Case]:
    """Loaded, silent, cut, louder."""
    for name in FILES:
        yield described("LoadAudio", name, audio=name)
        yield described("RecordAudio", name, audio=name)
    for duration, rate, channels in ((0.5, 8000, 1), (0.013, 44100, 2)):
        yield described("EmptyAudio", rate, duration=duration, sample_rate=rate, channels=channels)
    for start, duration in ((0.0, 60.0), (0.1, 0.2), (-0.2, 0.1), (99.0, 1.0), (0.2, 0.0)):
        label = f"{start} {duration}"
        yield described("TrimAudioDuration", label, audio=tone(), start_index=start, duration=duration)
    yield from equalized()
    for channels in (1, 2):
        yield described("SplitAudioChannels", channels, (0, 1), audio=tone(channels=channels))
    for volume in (0, 6, -20, 100):
        yield described("AudioAdjustVolume", volume, audio=tone(), volume=volume)


def equalized() -> Iterator[Case]:
    """Bass, middle and treble, alone and together, quiet and so loud that it is cut."""
    frequencies = {"low_freq": 120, "mid_freq": 900, "mid_q": 0.7, "high_freq": 3000}
    for low, middle, high in ((0, 0, 0), (6, 0, 0), (-24, 0, 0), (0, 9.5, 0), (0, 0, -12), (0, 0, 24), (5, -7, 3)):
        gains = {"low_gain_dB": low, "mid_gain_dB": middle, "high_gain_dB": high}
        yield described("AudioEqualizer3Band", f"{low} {middle} {high}", audio=tone(), **gains, **frequencies)
    quiet = {"low_gain_dB": 3, "mid_gain_dB": 3, "high_gain_dB": 3}
    yield described("AudioEqualizer3Band", "short", audio=tone(8000, 1, 0.01), **quiet, **frequencies)
    nothing = made("EmptyAudio", duration=0.0, sample_rate=8000, channels=2)
    yield described("AudioEqualizer3Band", "nothing", audio=nothing, **quiet, **frequencies)


def joined() -> Iterator[Case]:
    """Two sounds, of several sample rates."""
    pairs = ((tone(), tone(channels=1)), (tone(), tone(44100)), (tone(22050, 2, 0.1), tone(8000, 2, 0.3)))
    for (number, (one, two)), direction in itertools.product(enumerate(pairs), ("after", "before")):
        yield described("AudioConcat", f"{number} {direction}", audio1=one, audio2=two, direction=direction)
    mono = tone(channels=1)
    for number, (one, two) in enumerate(((mono, mono), (mono, tone(44100, 1, 0.2)), (mono, tone()))):
        yield described("JoinAudioChannels", number, audio_left=one, audio_right=two)
    for (number, (one, two)), method in itertools.product(enumerate(pairs), ("add", "mean", "subtract", "multiply")):
        yield described("AudioMerge", f"{number} {method}", audio1=one, audio2=two, merge_method=method)


def segments() -> Iterator[Case]:
    """Pictures in films as long as a sound."""
    for seconds, length, number in itertools.product((0.1, 1.0, 2.5), (10, 30), (0, 1, 3)):
        pieces = {"images": FRAMES, "segment_length": length, "audio": tone(8000, 2, seconds)}
        label = f"{seconds} {length} {number}"
        yield described("WanDancerPadKeyframes", label, (0, 1, 2), segment_index=number, **pieces)
        if number:
            yield described("WanDancerPadKeyframesList", label, (0, 1, 2), num_segments=number, **pieces)


def saved_sounds() -> Iterator[Case]:
    """Each format and quality, at sample rates that it takes and others."""
    prefix = {"filename_prefix": "parity/sound"}
    for rate, channels in ((8000, 1), (44100, 2)):
        label, chord = f"{rate} {channels}", tone(rate, channels, batch=2)
        yield case("SaveAudio", label, (), audio=chord, **prefix)
        yield case("PreviewAudio", label, (), audio=chord)
        for quality in ("V0", "128k", "320k"):
            yield case("SaveAudioMP3", f"{label} {quality}", (), audio=chord, quality=quality, **prefix)
        for kind in ("V0", "320k"):
            chosen = {"format": "mp3", "format.quality": kind}
            yield case("SaveAudioAdvanced", f"{label} mp3 {kind}", (), audio=chord, **chosen, **prefix)
        yield case("SaveAudioAdvanced", f"{label} flac", (), audio=chord, format="flac", **prefix)
        yield case("SaveAudioAdvanced", f"{label} unfinished", (), audio=chord, format="mp3", **prefix)
        for node in ("SaveAudio", "PreviewAudio"):
            yield described(node, f"{label} passed on", audio=chord, **(prefix if node == "SaveAudio" else {}))
    # Not at rates that are resampled first: the encoder decides otherwise for a difference of a ten-millionth.
    for (rate, channels), quality in itertools.product(((8000, 1), (48000, 2)), ("64k", "192k")):
        label, chord = f"{rate} {channels}", tone(rate, channels, batch=2)
        yield case("SaveAudioOpus", f"{label} {quality}", (), audio=chord, quality=quality, **prefix)
        chosen = {"format": "opus", "format.quality": quality}
        yield case("SaveAudioAdvanced", f"{label} opus {quality}", (), audio=chord, **chosen, **prefix)


def films() -> Iterator[Case]:
    """Made, taken apart, loaded, saved."""
    made_films = {
        "silent": made("CreateVideo", images=WIDE, fps=24.0),
        "loud": made("CreateVideo", images=WIDE, fps=12.0, audio=tone(44100)),
        "deep": made("CreateVideo", images=WIDE, fps=24.0, bit_depth=10),
    } | {name: made("LoadVideo", file=name) for name in FILMS}
    for name, film in made_films.items():
        yield described("LoadVideo" if name in FILMS else "CreateVideo", name, **inputs_of(name))
        yield described("GetVideoComponents", name, range(5), video=film)
        yield from saved_films(name, film)
        yield from cut_films(name, film)
    for codec, crf in itertools.product(("vp9", "av1"), (10.0, 50.0)):
        options = {"filename_prefix": "parity/webm", "codec": codec, "fps": 12.5, "crf": crf}
        yield case("SaveWEBM", f"{codec} {crf}", (), images=WIDE, **options)
    clear = {"filename_prefix": "parity/webm", "codec": "vp9", "fps": 12.5, "crf": 10.0}
    yield case("SaveWEBM", "transparent", (), images=made("JoinImageWithAlpha", image=FRAMES, alpha=SHADE), **clear)
    for compression in (0, 10, 35, 100):
        yield case("LTXVPreprocess", compression, image=load("p_smooth.png"), img_compression=compression)


def saved_films(name: str, film: Source) -> Iterator[Case]:
    """In every container, with every codec, as prompts give them now and as they did before."""
    prefix = {"filename_prefix": "parity/film", "video": film}
    for container, codec in itertools.product(("auto", "mp4"), ("auto", "h264")):
        yield case("SaveVideo", f"{name} {container} {codec}", (), format=container, codec=codec, **prefix)
    for container, codec in itertools.product(("auto", "mp4", "mkv", "webm"), ("auto", "h264", "av1")):
        chosen = {"format": container, "format.codec": codec}
        yield case("SaveVideo", f"{name} now {container} {codec}", (), **chosen, **prefix)
    for codec, space in itertools.product(("h264", "av1"), ("auto", "sRGB", "HDR", "HDR PQ")):
        again = {"encoding": "re-encode", "encoding.crf": 30.0, "encoding.color_space": space}
        chosen = {"format": "mp4", "format.codec": codec} | {f"format.codec.{key}": again[key] for key in again}
        yield case("SaveVideo", f"{name} again {codec} {space}", (), **chosen, **prefix)


def cut_films(name: str, film: Source) -> Iterator[Case]:
    """Parts, from the start and from the end, some too long; and what is made of parts."""
    for (start, duration), strict in itertools.product(
        ((0.0, 0.0), (0.1, 0.0), (0.1, 0.1), (-0.2, 0.1), (0.0, 9.0), (5.0, 1.0)), (False, True)
    ):
        part = {"start_time": start, "duration": duration, "strict_duration": strict}
        yield described("Video Slice", f"{name} {start} {duration} {strict}", video=film, **part)
    part = made("Video Slice", video=film, start_time=0.05, duration=0.2, strict_duration=False)
    again = made("Video Slice", video=part, start_time=0.05, duration=0.0, strict_duration=False)
    for label, source in (("part", part), ("part of a part", again)):
        prefix = {"filename_prefix": "parity/part", "video": source}
        for container, codec in (("auto", "auto"), ("mp4", "av1"), ("webm", "auto")):
            chosen = {"format": container, "format.codec": codec}
            yield case("SaveVideo", f"{name} {label} {container}", (), **chosen, **prefix)


def inputs_of(name: str) -> dict[str, Any]:
    """The inputs with which a film is made."""
    if name in FILMS:
        return {"file": name}
    more = {"loud": {"audio": tone(44100)}, "deep": {"bit_depth": 10}}
    return {"images": WIDE, "fps": 12.0 if name == "loud" else 24.0} | more.get(name, {})


def film(codec: str, container: str, *, sound: bool) -> bytes:
    """A short film. Of an odd width, VP9 is decoded with random values at the edge."""
    picture = noisy() if codec != "libvpx-vp9" else np.tile(noisy(), (1, 3, 1))[:, :64]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], picture.shape[0], "yuv420p"
        track = output.add_stream("aac", rate=16000, layout="stereo") if sound else None
        for shift in range(4):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.roll(picture, shift, axis=0)), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if track is not None:
            output.mux(track.encode(chord("flt", 16000)))
            output.mux(track.encode(None))
    return buffer.getvalue()


def chord(kind: str, rate: int) -> Any:
    """A frame of sound."""
    time = np.arange(rate // 4) / rate
    wave = np.stack([np.sin(time * 440 * 2 * np.pi * k) * 0.5 for k in (1, 2)]).T.reshape(1, -1)
    levels = wave.astype(np.float32) if kind == "flt" else (wave * 2**15).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(levels), format=kind, layout="stereo")
    frame.sample_rate, frame.pts = rate, 0
    return frame


def sound(codec: str, container: str, kind: str) -> bytes:
    """A short sound."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=16000, layout="stereo")
        output.mux(stream.encode(chord(kind, 16000)))
        output.mux(stream.encode(None))
    return buffer.getvalue()


FILES = ("p.wav", "p.flac", "p.mp3", "p_loud.mp4")
FILMS = ("p_loud.mp4", "p_quiet.mkv")


def samples() -> dict[str, bytes]:
    """The files."""
    return {
        "p.wav": sound("pcm_s16le", "wav", "s16"),
        "p.flac": sound("flac", "flac", "s16"),
        "p.mp3": sound("libmp3lame", "mp3", "flt"),
        "p_loud.mp4": film("libx264", "mp4", sound=True),
        "p_quiet.mkv": film("libvpx-vp9", "matroska", sound=False),
    }
