"""Everything that is decided before the first shard is written."""

import collections
import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from tfds_rvf10k.executors import Executor
from tfds_rvf10k.inspection import near_duplicates
from tfds_rvf10k.inspection.inspection import Inspected, Inspection
from tfds_rvf10k.planning import duplicates, folds
from tfds_rvf10k.shards.shard_writer import Member
from tfds_rvf10k.sources.source_images import CLASS_NAMES, Listing, Problem, SourceImage

_CHUNK = 64  # images inspected by one call
OTHER_SIZE_REMEDY = 'give the config "any_size": true'


class BadSource(ValueError):
    """All that is wrong with a source, a line each."""

    def __init__(self, source: Any, problems: Sequence[Problem]):
        self.problems = problems
        noun = "problem" if len(problems) == 1 else "problems"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(
            f"{len(problems)} {noun} in {source}, nothing was built:\n{lines}\n"
            'Mend them, or build what is sound: give the config "on_bad": "quarantine" and a '
            'name of its own, such as --config=\'{"name": "sound", "on_bad": "quarantine"}\''
        )


@dataclasses.dataclass(frozen=True)
class Cut:
    """How images become folds and shards; see FoldConfig."""

    k: int
    seed: int
    shards_per_fold: int
    stratified: bool


@dataclasses.dataclass
class Plan:
    """What will be built.

    Attributes:
      shards: for each split (fold, members) of each shard, in order.
      fold_sizes: for each fold the number of images of each class.
      valid_size: the same of valid.
      groups: what belongs together.
      bytes: of all files.
      problems: what was set aside.
      set_aside: for each split the number of images among it.
      left_out: (filename, why) of sound images that another dataset has.
      notes: what a reader should know.
    """

    shards: dict[str, list[tuple[int, list[Member]]]]
    fold_sizes: list[list[int]]
    valid_size: list[int]
    groups: duplicates.Groups
    bytes: int
    problems: list[Problem]
    set_aside: dict[str, int]
    left_out: list[tuple[str, str]]
    notes: list[str]


@dataclasses.dataclass(frozen=True)
class Excluded:
    """What another dataset holds already."""

    name: str
    sha256: frozenset[bytes] = frozenset()
    pictures: frozenset[bytes] = frozenset()
    hashes: np.ndarray = dataclasses.field(
        default_factory=lambda: np.empty((0, near_duplicates.HASH_BYTES), np.uint8)
    )


def inspect_all(
    executor: Executor, inspect: Inspection, images: Sequence[SourceImage]
) -> tuple[list[SourceImage], list[Inspected], list[Problem]]:
    """Returns the sound images, what was found of each, and what is wrong with the others."""
    names = [image.filename for image in images]
    chunks = [names[i : i + _CHUNK] for i in range(0, len(names), _CHUNK)]
    results = [item for chunk in executor.run(inspect, chunks, "checking", len) for item in chunk]
    sound, found, problems = [], [], []
    for image, item in zip(images, results):
        if isinstance(item, Problem):
            problems.append(item)
        else:
            sound.append(image)
            found.append(item)
    return sound, found, problems


def make(
    listing: Listing,
    executor: Executor,
    inspect: Inspection,
    cut: Cut,
    *,
    quarantine: bool,
    any_size: bool = False,
    near_limit: int = 0,
    excluded: Excluded | None = None,
) -> Plan:
    """Inspects every image and decides where each goes.

    Args:
      listing: of the source.
      executor: what inspects.
      inspect: how.
      cut: into folds and shards.
      quarantine: sets aside what is wrong; False refuses to build.
      any_size: images of other sizes than most are sound.
      near_limit: see `duplicates.group`.
      excluded: what to leave out.

    Raises:
      BadSource: anything is wrong, and `quarantine` is False.
      ValueError: too few images for the folds or shards.
    """
    images, found, problems = inspect_all(executor, inspect, listing.images)
    left_out = _left_out(images, found, excluded, near_limit) if excluded else {}
    images, found = _without(images, found, left_out)
    problems = [*listing.problems, *problems]
    if not any_size:
        problems += _other_sizes(images, found)
    copies = duplicates.same_pictures(images, found, inspect)
    problems += duplicates.conflicts(images, copies)
    problems.sort(key=lambda problem: problem.filename)
    if problems and not quarantine:
        raise BadSource(inspect.source, problems)
    if problems:
        images, found = _without(images, found, {problem.filename for problem in problems})
        copies = duplicates.same_pictures(images, found, inspect)
    groups = duplicates.group(images, found, copies, near_limit)
    plan = _cut(images, found, groups, cut)
    plan.problems = problems
    bad = {problem.filename for problem in problems}
    aside = collections.Counter(i.split for i in listing.images if i.filename in bad)
    plan.set_aside = {split: aside[split] for split in ("train", "valid")}
    plan.left_out = sorted(left_out.items())
    plan.notes = [*listing.notes, *groups.notes, *_mixed_formats(images)]
    return plan


def _without(
    images: Sequence[SourceImage], found: Sequence[Inspected], names: Collection[str]
) -> tuple[list[SourceImage], list[Inspected]]:
    """All but the images of these names."""
    keep = [index for index, image in enumerate(images) if image.filename not in names]
    return [images[index] for index in keep], [found[index] for index in keep]


def _cut(
    images: Sequence[SourceImage], found: Sequence[Inspected], groups: duplicates.Groups, cut: Cut
) -> Plan:
    train = np.array([i for i, image in enumerate(images) if image.split == "train"], np.int64)
    valid = np.array([i for i, image in enumerate(images) if image.split == "valid"], np.int64)
    labels = np.array([image.label for image in images], np.int64)

    def members(indices: np.ndarray) -> list[Member]:
        return [Member(images[i].filename, images[i].label, found[i].sha256) for i in indices]

    held_out = [
        train[part]
        for part in folds.assign_folds(
            labels[train], groups.of_image[train], cut.k, cut.seed, cut.stratified
        )
    ]
    shards = {
        "train": [
            (fold, members(part))
            for fold, indices in enumerate(held_out)
            for part in folds.cut(indices, cut.shards_per_fold)
        ]
    }
    if len(valid):
        # One class follows the other in the listing: mix them, as inside a fold.
        order = valid[np.random.default_rng(cut.seed).permutation(len(valid))]
        parts = folds.cut(order, min(cut.shards_per_fold, len(order)))
        shards["valid"] = [(-1, members(part)) for part in parts]
    sizes = [[int((labels[part] == label).sum()) for label in (0, 1)] for part in held_out]
    valid_size = [int((labels[valid] == label).sum()) for label in (0, 1)]
    total = sum(item.bytes for item in found)
    return Plan(shards, sizes, valid_size, groups, total, [], {}, [], [])


def _other_sizes(images: Sequence[SourceImage], found: Sequence[Inspected]) -> list[Problem]:
    if not found:
        return []
    counts = collections.Counter(item.size for item in found)
    (height, width), _ = min(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return [
        Problem(
            image.filename,
            f"{item.size[1]}x{item.size[0]} pixels, most have {width}x{height}; remove it, or "
            f"{OTHER_SIZE_REMEDY}",
        )
        for image, item in zip(images, found)
        if item.size != (height, width)
    ]


def _left_out(
    images: Sequence[SourceImage], found: Sequence[Inspected], excluded: Excluded, near_limit: int
) -> dict[str, str]:
    """Filenames of images that the other dataset has, and how that shows."""
    left_out = {}
    if near_limit and len(found):
        from tfds_rvf10k.inspection.inspection import pictures

        pairs = near_duplicates.near_pairs_between(pictures(found), excluded.hashes, near_limit)
        left_out = {images[i].filename: f"near-duplicate in {excluded.name}" for i, _ in pairs}
    for image, item in zip(images, found):
        if item.sha256 in excluded.sha256 or item.picture in excluded.pictures:
            left_out[image.filename] = f"in {excluded.name}"
    return left_out


def _mixed_formats(images: Sequence[SourceImage]) -> list[str]:
    """A warning where the classes have other shares of PNG files: a detector learns that first."""
    share = []
    for label in (0, 1):
        names = [image.filename.lower() for image in images if image.label == label]
        share.append(sum(name.endswith(".png") for name in names) / max(1, len(names)))
    if abs(share[0] - share[1]) < 0.01:
        return []
    return [
        f"{share[0]:.0%} of {CLASS_NAMES[0]} and {share[1]:.0%} of {CLASS_NAMES[1]} are PNG files: "
        "a detector may learn the format and not the faces"
    ]
