"""Finds what the folds of a built dataset have in common.

It reads the stored images, and believes nothing that the builder wrote beside them.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from tfds_rvf10k.inspection import near_duplicates
from tfds_rvf10k.planning import duplicates
from tfds_rvf10k.sources.source_images import CLASS_NAMES


@dataclasses.dataclass(frozen=True, slots=True)
class StoredImage:
    """An image of a built dataset.

    Attributes:
      filename, label: from its record.
      split, fold: from the number of its shard, as in training; the fold of valid is -1.
      shard, index: the shard's path and the index of the record.
      sha256, pixel_digest, perceptual: see inspection.InspectedImage.
    """

    filename: str
    label: int
    split: str
    fold: int
    shard: str
    index: int
    sha256: bytes
    pixel_digest: bytes
    perceptual: bytes = b""

    @property
    def location(self) -> str:
        """The name of its fold, or valid."""
        return f"fold {self.fold}" if self.split == "train" else self.split

    def __str__(self) -> str:
        return f"{self.filename} ({self.location}, {CLASS_NAMES[self.label]})"


@dataclasses.dataclass
class Findings:
    """What was found.

    Attributes:
      groups: the number of sets of two or more images, by what they share: bytes, pixels, near,
        group.
      faults: one line each.
      notes: what a reader should know and is no fault.
    """

    groups: dict[str, int] = dataclasses.field(default_factory=dict)
    faults: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


# The path of a shard and indices of records -> the digests of their full pixels.
FullPixelDigests = Callable[[str, Sequence[int]], Mapping[int, bytes]]


def same_names(images: Sequence[StoredImage]) -> list[str]:
    """Filenames that more than one image has, one line each."""
    first: dict[str, StoredImage] = {}
    return [
        f"{image.filename}: of record {earlier.index + 1} of {earlier.shard} and of record "
        f"{image.index + 1} of {image.shard}"
        for image in images
        if (earlier := first.setdefault(image.filename, image)) is not image
    ]


def copies(
    images: Sequence[StoredImage], scale: int, full_pixel_digests: FullPixelDigests
) -> Findings:
    """Finds copies in two folds, in train and valid, or with two labels.

    Args:
      images: all images of the dataset.
      scale: of their pixel digests. At scale 8 equal digests have to be confirmed.
      full_pixel_digests: confirms them.
    """
    by_digest: dict[bytes, list[StoredImage]] = collections.defaultdict(list)
    for image in images:
        by_digest[image.pixel_digest].append(image)
    sets = [alike for alike in by_digest.values() if len(alike) > 1]
    if scale != 1:
        sets = _confirmed(sets, full_pixel_digests)
    found = Findings({"bytes": 0, "pixels": 0})
    for alike in sets:
        counts = collections.Counter(image.sha256 for image in alike)
        found.groups["bytes"] += sum(count > 1 for count in counts.values())
        found.groups["pixels"] += len(counts) > 1
        shared = "bytes" if len(counts) == 1 else "pixels"
        found.faults += _separated(alike, f"its {shared} are those of")
    return found


def _confirmed(
    sets: Sequence[Sequence[StoredImage]], full_pixel_digests: FullPixelDigests
) -> list[list[StoredImage]]:
    """Splits sets by full pixels. Images of equal bytes need not be decoded again."""
    unsure: dict[str, set[int]] = collections.defaultdict(set)
    for alike in sets:
        if len({image.sha256 for image in alike}) > 1:
            for image in alike:
                unsure[image.shard].add(image.index)
    digests = {
        shard: full_pixel_digests(shard, sorted(indices)) for shard, indices in unsure.items()
    }
    confirmed: dict[bytes, list[StoredImage]] = collections.defaultdict(list)
    for alike in sets:
        for image in alike:
            full = digests.get(image.shard, {}).get(image.index)
            confirmed[full or image.pixel_digest].append(image)
    return [alike for alike in confirmed.values() if len(alike) > 1]


def near(images: Sequence[StoredImage], limit: int) -> Findings:
    """Finds near-duplicates in two folds. Those across splits or classes are notes.

    Args:
      images: all images of the dataset, with perceptual hashes; copies among them do not count.
      limit: the largest distance in bits.
    """
    flat = np.frombuffer(b"".join(image.perceptual for image in images), np.uint8)
    hashes = flat.reshape(len(images), near_duplicates.HASH_BYTES)
    close = near_duplicates.near_pairs(hashes, limit)
    copies = np.array([images[a].pixel_digest == images[b].pixel_digest for a, b in close], bool)
    close = close[~copies]
    found = Findings({"near": len(duplicates.connected_components(len(images), close))})
    pairs = [(images[a], images[b]) for a, b in close]
    for one, other in pairs:
        if one.split == other.split == "train":
            found.faults += _separated([one, other], "a near-duplicate of", labels=False)
    for what, sides in (("split", "train and valid"), ("label", "real and fake")):
        across = [pair for pair in pairs if getattr(pair[0], what) != getattr(pair[1], what)]
        if across:
            noun = "pair" if len(across) == 1 else "pairs"
            one, other = across[0]
            found.notes.append(
                f"{len(across)} {noun} of near-duplicates across {sides}, kept (first: "
                f"{one.filename} and {other.filename})"
            )
    return found


def recorded(
    images: Sequence[StoredImage], rows: Iterable[Mapping[str, str]], complete: bool
) -> Findings:
    """Finds groups of the builder's table that are in two folds, and members in other splits.

    Args:
      images: all images that could be read.
      rows: of groups.csv: group, filename, split and why.
      complete: no image of the dataset is missing.
    """
    by_name = {image.filename: image for image in images}
    groups: dict[str, list[StoredImage]] = collections.defaultdict(list)
    found, by_column = Findings(), set()
    for row in rows:
        image = by_name.get(row["filename"])
        if image is None or image.split != row["split"]:
            if complete or image is not None:
                found.faults.append(
                    f"{row['filename']}: groups.csv has it in {row['split']}, no shard there does"
                )
            continue
        groups[row["group"]].append(image)
        if "group" in row["why"].split("+"):
            by_column.add(row["group"])
    found.groups["group"] = len(by_column)
    for name, members in groups.items():
        train = [image for image in members if image.split == "train"]
        found.faults += _separated(train, f"in group {name} of groups.csv with", labels=False)
    return found


def _separated(alike: Sequence[StoredImage], relation: str, labels: bool = True) -> list[str]:
    """One line if images that belong together are in two folds or splits, or have two labels."""
    for image in alike[1:]:
        if image.location != alike[0].location or (labels and image.label != alike[0].label):
            more = f", {len(alike)} in all" if len(alike) > 2 else ""
            return [f"{alike[0]}: {relation} {image}{more}"]
    return []
