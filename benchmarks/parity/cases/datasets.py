"""Cases of folders and lists of pictures, videos and texts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from benchmarks.parity.building import Case, case, load, made
from benchmarks.parity.cases.media import film
from benchmarks.parity.cases.values import described
from benchmarks.parity.samples import pictures

ONE, SEVERAL = load("p_smooth.png"), load("p_anim.png")
LISTED = made("LoadImageDataSetFromFolder", folder="p_set")
TEXTS = made("LoadImageTextDataSetFromFolder", 1, folder="p_set")
FILMS = made("LoadVideoDataSetFromFolder", folder="p_films")
SEEDS = (0, 7, 2**64 - 1)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from folders()
    yield from changed()
    yield from lists()
    yield from clips()
    yield from captions()
    yield from grouped()
    yield from trained()


def folders() -> Iterator[Case]:
    """All that is in a folder, and nothing; saving shows nothing."""
    for folder in ("p_set", "p_nothing", "p_missing", "p_films"):
        yield described("LoadImageDataSetFromFolder", folder, folder=folder)
        yield described("LoadImageTextDataSetFromFolder", folder, (0, 1), folder=folder)
        yield described("LoadVideoDataSetFromFolder", folder, folder=folder)
        yield described("LoadVideoTextDataSetFromFolder", folder, (0, 1), folder=folder)
    for mode, folder in itertools.product(("overwrite", "increment"), ("p_saved", "p_saved/deeper", "../p_outside")):
        place = {"folder_name": folder, "filename_prefix": "x", "mode": mode}
        yield case("SaveImageDataSetToFolder", f"{mode} {folder}", (), images=LISTED, **place)
        yield case("SaveImageTextDataSetToFolder", f"{mode} {folder}", (), images=LISTED, texts=TEXTS, **place)


def changed() -> Iterator[Case]:
    """Each picture for itself."""
    for label, images in (("one", ONE), ("several", SEVERAL), ("a list", LISTED)):
        for edge in (1, 24, 60):
            yield described("ResizeImagesByShorterEdge", f"{label} {edge}", images=images, shorter_edge=edge)
            yield described("ResizeImagesByLongerEdge", f"{label} {edge}", images=images, longer_edge=edge)
        for width, height in ((10, 7), (33, 400), (500, 500)):
            size = {"width": width, "height": height}
            yield described("CenterCropImages", f"{label} {size}", images=images, **size)
            for seed in SEEDS:
                yield described("RandomCropImages", f"{label} {size} {seed}", images=images, seed=seed, **size)
        for mean, std in ((0.5, 0.5), (0.0, 0.001), (0.3, 0.7)):
            yield described("NormalizeImages", f"{label} {mean}", images=images, mean=mean, std=std)
        for factor in (0.0, 0.4, 1.0, 2.0):
            yield described("AdjustBrightness", f"{label} {factor}", images=images, factor=factor)
            yield described("AdjustContrast", f"{label} {factor}", images=images, factor=factor)


def lists() -> Iterator[Case]:
    """Lists in another order, with fewer pictures, or in one picture."""
    for seed in SEEDS:
        for label, images in (("one", ONE), ("several", SEVERAL), ("a list", LISTED)):
            yield described("ShuffleDataset", f"{label} {seed}", images=images, seed=seed)
        yield described("ShuffleImageTextDataset", seed, (0, 1), images=LISTED, texts=TEXTS, seed=seed)
    for threshold in (0.0, 0.6, 0.95, 1.0):
        for label, images in (("several", SEVERAL), ("a list", LISTED)):
            yield described("ImageDeduplication", f"{label} {threshold}", images=images, similarity_threshold=threshold)
    for columns, padding in ((1, 0), (2, 5), (20, 50)):
        grid = {"columns": columns, "cell_width": 40, "cell_height": 33, "padding": padding}
        for label, images in (("several", SEVERAL), ("a list", LISTED)):
            yield described("ImageGrid", f"{label} {columns}", images=images, **grid)
    for label, images in (("one", ONE), ("several", SEVERAL), ("a list", LISTED)):
        yield described("MergeImageLists", label, images=images)


def clips() -> Iterator[Case]:
    """Frames and parts of videos, of files and of pictures."""
    films = {"a list": FILMS, "pictures": made("CreateVideo", images=SEVERAL, fps=10.0)}
    for (label, video), strategy in itertools.product(films.items(), ("uniform", "head", "tail", "random")):
        for count in (1, 2, 3, 99):
            chosen = {"num_frames": count, "strategy": strategy, "seed": 3}
            yield described("VideoFrameSample", f"{label} {strategy} {count}", video=video, **chosen)
    for (label, video), length in itertools.product(films.items(), (1, 2, 99)):
        for start in (0, 1, 99):
            chosen = {"start_frame": start, "length": length}
            yield described("VideoTemporalCrop", f"{label} {start} {length}", video=video, **chosen)
        for seed in SEEDS:
            chosen = {"length": length, "seed": seed}
            yield described("VideoRandomTemporalCrop", f"{label} {length} {seed}", video=video, **chosen)
    texts = made("LoadVideoTextDataSetFromFolder", 1, folder="p_films")
    for seed in SEEDS:
        yield described("ShuffleVideoDataset", seed, videos=FILMS, seed=seed)
        yield described("ShuffleVideoTextDataset", seed, (0, 1), videos=FILMS, texts=texts, seed=seed)


def captions() -> Iterator[Case]:
    """Texts, changed."""
    for label, texts in (("word", "  Äb\tC  "), ("a list", TEXTS)):
        for node in ("TextToLowercase", "TextToUppercase", "StripWhitespace", "MergeTextLists"):
            yield case(node, label, ("text",), texts=texts)
        yield case("TruncateText", label, ("text",), texts=texts, max_length=4)
        yield case("AddTextPrefix", label, ("text",), texts=texts, prefix="> ")
        yield case("AddTextSuffix", label, ("text",), texts=texts, suffix=" <")
        yield case("ReplaceText", label, ("text",), texts=texts, find="b", replace="ß")


def grouped() -> Iterator[Case]:
    """Latents by their size."""
    conditioning = made("ParityConditioning", seed=1, tokens=3)
    one, two = (made("EmptyLatentImage", width=64, height=side, batch_size=1) for side in (64, 32))
    pair = made("ParityList", first=one, second=two)
    for label, latents in (("one", one), ("pair", pair)):
        yield described("ResolutionBucket", label, (0, 1), latents=latents, conditioning=conditioning)


def samples() -> dict[str, bytes]:
    """The folders."""
    found = pictures()
    films = {
        "p_films/a.mp4": film("libx264", "mp4", sound=True),
        "p_films/b.mkv": film("libvpx-vp9", "matroska", sound=False),
    }
    return {
        "p_set/a.png": found["p_smooth.png"],
        "p_set/a.txt": b"  a Cab \n",
        "p_set/2_twice/b.png": found["p_noisy.png"],
        "p_set/2_twice/b.txt": "Äb b".encode(),
        "p_films/a.txt": b"a film",
        "p_films/once/c.mp4": films["p_films/a.mp4"],
        "p_nothing/a.txt": b"",
        **films,
    }


def trained() -> Iterator[Case]:
    """Data sets and LoRAs of trainings, saved and loaded again."""
    latents = made("ParityMaskedLatent", batch=2, side=4, indices=True)
    conditioning = made("ParityConditioning", seed=4, tokens=3)
    pairs = made("ParityList", first=latents, second=made("ParityMaskedLatent", batch=1, side=8, indices=False))
    for folder in ("p_trained/one", "p_trained", "../p_outside", "", "."):
        given = {"latents": latents, "conditioning": conditioning, "folder_name": folder, "shard_size": 1}
        yield case("SaveTrainingDataset", f"in {folder}", (), **given)
    given = {"latents": pairs, "conditioning": conditioning, "folder_name": "p_unequal", "shard_size": 1}
    yield case("SaveTrainingDataset", "lists differ", (), **given)
    for folder in ("p_trained", "p_trained/one", "p_unequal", ""):
        yield described("LoadTrainingDataset", folder, (0, 1), folder_name=folder)
    for steps in ({}, {"steps": 5}):
        yield case("SaveLoRA", steps, (), lora=made("ParityLora", factor=""), prefix="p_lora/x", **steps)
    for factor in ("", "2", "1.6", "0", "x"):
        yield described("GetICLoRAParameters", factor, iclora_model=made("ParityLora", 1, factor=factor))
