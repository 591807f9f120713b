"""Plans a dataset before its first shard is written: which images, and the shard of each."""

import collections
import dataclasses
from collections.abc import Collection, Sequence

import numpy as np

from tfds_rvf10k.errors import BadSource
from tfds_rvf10k.executors import Executor
from tfds_rvf10k.inspection import near_duplicates
from tfds_rvf10k.inspection.inspection import InspectedImage, Inspection, perceptual_hashes
from tfds_rvf10k.planning import duplicates, folds
from tfds_rvf10k.shards.shard_writer import Member
from tfds_rvf10k.sources.source_images import CLASS_NAMES, Listing, Problem, SourceImage

_CHUNK = 64  # images inspected in one call


@dataclasses.dataclass(frozen=True)
class FoldOptions:
    """How images are assigned to folds and shards; see FoldConfig."""

    k: int
    seed: int
    shards_per_fold: int
    stratified: bool


@dataclasses.dataclass
class Plan:
    """What will be built.

    Attributes:
      shards: for each split the (fold, members) of each shard, in order.
      fold_sizes: for each fold the number of images of each class.
      valid_size: the number of images of each class in valid.
      groups: the images that belong together.
      bytes: the size of all files together.
      problems: why images are quarantined.
      quarantined: for each split the number of images that are quarantined.
      left_out: (filename, why) of sound images that another dataset has.
      notes: what a reader should know.
    """

    shards: dict[str, list[tuple[int, list[Member]]]]
    fold_sizes: list[list[int]]
    valid_size: list[int]
    groups: duplicates.Groups
    bytes: int
    problems: list[Problem]
    quarantined: dict[str, int]
    left_out: list[tuple[str, str]]
    notes: list[str]


@dataclasses.dataclass(frozen=True)
class ExcludedImages:
    """The images of another dataset, which are left out.

    Attributes:
      name: of the other dataset.
      sha256: of the files.
      pixel_digests: of the images at scale 1.
      perceptual_hashes: uint8 [n, 32]; empty if near-duplicates are not looked for.
    """

    name: str
    sha256: frozenset[bytes] = frozenset()
    pixel_digests: frozenset[bytes] = frozenset()
    perceptual_hashes: np.ndarray = dataclasses.field(
        default_factory=lambda: np.empty((0, near_duplicates.HASH_BYTES), np.uint8)
    )


def inspect_all(
    executor: Executor, inspect: Inspection, images: Sequence[SourceImage]
) -> tuple[list[SourceImage], list[InspectedImage], list[Problem]]:
    """Returns the sound images, the inspection's result for each, and the others' problems."""
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
    options: FoldOptions,
    *,
    quarantine: bool,
    any_size: bool = False,
    near_limit: int = 0,
    excluded: ExcludedImages | None = None,
) -> Plan:
    """Inspects every image and makes the plan.

    Args:
      listing: of the source.
      executor: runs the inspection.
      inspect: the inspection.
      options: how images are assigned to folds and shards.
      quarantine: builds without the images that have a problem; False refuses to build.
      any_size: allows images of other sizes than most.
      near_limit: see `duplicates.group_images`.
      excluded: images to leave out.

    Raises:
      BadSource: there are problems, and `quarantine` is False.
      DatasetError: there are too few images for the folds or shards.
    """
    images, found, problems = inspect_all(executor, inspect, listing.images)
    left_out = _left_out(images, found, excluded, near_limit) if excluded else {}
    images, found = _without(images, found, left_out)
    problems = [*listing.problems, *problems]
    if not any_size:
        problems += _other_sizes(images, found)
    copies = duplicates.find_copies(images, found, inspect)
    problems += duplicates.conflicts(images, copies)
    problems.sort(key=lambda problem: problem.filename)
    bad = {problem.filename for problem in problems}
    if problems:
        images, found = _without(images, found, bad)
        if not quarantine:
            of_class = collections.Counter(i.label for i in images if i.split == "train")
            enough = all(of_class[label] >= options.k for label in range(len(CLASS_NAMES)))
            raise BadSource(inspect.source, problems, enough)
        copies = duplicates.find_copies(images, found, inspect)
    groups = duplicates.group_images(images, found, copies, near_limit)
    plan = _assign(images, found, groups, options)
    plan.problems = problems
    counts = collections.Counter(i.split for i in listing.images if i.filename in bad)
    plan.quarantined = {split: counts[split] for split in ("train", "valid")}
    plan.left_out = sorted(left_out.items())
    plan.notes = [*listing.notes, *groups.notes, *_mixed_formats(images)]
    return plan


def _without(
    images: Sequence[SourceImage], found: Sequence[InspectedImage], names: Collection[str]
) -> tuple[list[SourceImage], list[InspectedImage]]:
    """Images whose names are not among these, with their results."""
    keep = [index for index, image in enumerate(images) if image.filename not in names]
    return [images[index] for index in keep], [found[index] for index in keep]


def _assign(
    images: Sequence[SourceImage],
    found: Sequence[InspectedImage],
    groups: duplicates.Groups,
    options: FoldOptions,
) -> Plan:
    """Assigns images to folds and shards."""
    train = np.array([i for i, image in enumerate(images) if image.split == "train"], np.int64)
    valid = np.array([i for i, image in enumerate(images) if image.split == "valid"], np.int64)
    labels = np.array([image.label for image in images], np.int64)

    def members(indices: np.ndarray) -> list[Member]:
        return [Member(images[i].filename, images[i].label, found[i].sha256) for i in indices]

    held_out = [
        train[part]
        for part in folds.assign_folds(
            labels[train], groups.of_image[train], options.k, options.seed, options.stratified
        )
    ]
    shards = {
        "train": [
            (fold, members(part))
            for fold, parts in enumerate(folds.split_into_shards(held_out, options.shards_per_fold))
            for part in parts
        ]
    }
    if len(valid):
        # In the listing one class follows the other. Mix them, as inside a fold.
        order = valid[np.random.default_rng(options.seed).permutation(len(valid))]
        count = min(options.shards_per_fold, len(order))  # a small valid has fewer shards
        shards["valid"] = [(-1, members(part)) for part in np.array_split(order, count)]
    sizes = [[int((labels[part] == label).sum()) for label in (0, 1)] for part in held_out]
    valid_size = [int((labels[valid] == label).sum()) for label in (0, 1)]
    total = sum(item.bytes for item in found)
    return Plan(
        shards, sizes, valid_size, groups, total, problems=[], quarantined={}, left_out=[], notes=[]
    )


def _other_sizes(images: Sequence[SourceImage], found: Sequence[InspectedImage]) -> list[Problem]:
    """Problems of images whose size is not the most frequent one."""
    if not found:
        return []
    counts = collections.Counter(item.size for item in found)
    (height, width), _ = min(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return [
        Problem(
            image.filename,
            f"{item.size[1]}x{item.size[0]} pixels, most have {width}x{height}",
            "remove it",
            setting="any_size",
        )
        for image, item in zip(images, found)
        if item.size != (height, width)
    ]


def _left_out(
    images: Sequence[SourceImage],
    found: Sequence[InspectedImage],
    excluded: ExcludedImages,
    near_limit: int,
) -> dict[str, str]:
    """Filenames of images that the other dataset has, and why they count as the same."""
    left_out = {}
    if near_limit and len(found):
        pairs = near_duplicates.near_pairs_between(
            perceptual_hashes(found), excluded.perceptual_hashes, near_limit
        )
        left_out = {images[i].filename: f"near-duplicate in {excluded.name}" for i, _ in pairs}
    for image, item in zip(images, found):
        if item.sha256 in excluded.sha256 or item.pixel_digest in excluded.pixel_digests:
            left_out[image.filename] = f"in {excluded.name}"
    return left_out


def _mixed_formats(images: Sequence[SourceImage]) -> list[str]:
    """A warning if the classes have unequal shares of PNG files: a detector learns that first."""
    share = []
    for label in (0, 1):
        names = [image.filename.lower() for image in images if image.label == label]
        share.append(sum(name.endswith(".png") for name in names) / max(1, len(names)))
    if abs(share[0] - share[1]) < 0.01:
        return []
    return [
        f"{share[0]:.0%} of {CLASS_NAMES[0]} and {share[1]:.0%} of {CLASS_NAMES[1]} are PNG files: "
        "a detector may learn the format instead of the faces"
    ]
