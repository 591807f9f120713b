"""What a built dataset's folds have in common, found in the stored images and nowhere else."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from tfds_rvf10k.inspection import near_duplicates
from tfds_rvf10k.planning import duplicates
from tfds_rvf10k.sources.source_images import CLASS_NAMES

BUILD_AGAIN = "build the dataset again with --overwrite"


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """An image of a built dataset.

    Attributes:
      filename, label: as its record has them.
      split, fold: by the place of its shard, which is what training goes by; -1 in valid.
      shard, index: the shard's path and the number of the record.
      sha256, picture, perceptual: see inspection.Inspected.
    """

    filename: str
    label: int
    split: str
    fold: int
    shard: str
    index: int
    sha256: bytes
    picture: bytes
    perceptual: bytes = b""

    @property
    def place(self) -> str:
        """The fold, or valid, in words."""
        return f"fold {self.fold}" if self.split == "train" else self.split

    def __str__(self) -> str:
        return f"{self.filename} ({self.place}, {CLASS_NAMES[self.label]})"


@dataclasses.dataclass
class Findings:
    """What was found.

    Attributes:
      groups: the number of sets of two and more images, by what they have in common: bytes,
        pixels, near, group.
      faults: a line each.
      notes: what the builder keeps and says.
    """

    groups: dict[str, int] = dataclasses.field(default_factory=dict)
    faults: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


Whole = Callable[[str, Sequence[int]], Mapping[int, bytes]]


def same_names(images: Sequence[Stored]) -> list[str]:
    """Filenames that more than one image has: a line each."""
    first: dict[str, Stored] = {}
    return [
        f"{image.filename}: of record {earlier.index + 1} of {earlier.shard} and of record "
        f"{image.index + 1} of {image.shard}"
        for image in images
        if (earlier := first.setdefault(image.filename, image)) is not image
    ]


def copies(images: Sequence[Stored], scale: int, whole: Whole) -> Findings:
    """Images of the same bytes or pixels: in two folds, in train and valid, or with two labels.

    Args:
      images: of all splits.
      scale: of their pictures; at 8 these only suspect, and `whole` confirms.
      whole: a shard and indices -> digests of the full pixels of these records.
    """
    by_picture: dict[bytes, list[Stored]] = collections.defaultdict(list)
    for image in images:
        by_picture[image.picture].append(image)
    sets = [alike for alike in by_picture.values() if len(alike) > 1]
    if scale != 1:
        sets = _confirmed(sets, whole)
    found = Findings({"bytes": 0, "pixels": 0})
    for alike in sets:
        counts = collections.Counter(image.sha256 for image in alike)
        found.groups["bytes"] += sum(count > 1 for count in counts.values())
        found.groups["pixels"] += len(counts) > 1
        word = "bytes are" if len(counts) == 1 else "pixels are"
        found.faults += _apart(alike, f"its {word} those of")
    return found


def _confirmed(sets: Sequence[Sequence[Stored]], whole: Whole) -> list[list[Stored]]:
    """Splits suspected sets by full pixels; images of the same bytes need no look at them."""
    unsure: dict[str, set[int]] = collections.defaultdict(set)
    for alike in sets:
        if len({image.sha256 for image in alike}) > 1:
            for image in alike:
                unsure[image.shard].add(image.index)
    pictures = {shard: whole(shard, sorted(indices)) for shard, indices in unsure.items()}
    confirmed: dict[bytes, list[Stored]] = collections.defaultdict(list)
    for alike in sets:
        for image in alike:
            known = pictures.get(image.shard, {}).get(image.index)
            confirmed[known or image.picture].append(image)
    return [alike for alike in confirmed.values() if len(alike) > 1]


def near(images: Sequence[Stored], limit: int) -> Findings:
    """Near-duplicates in two folds; those across train and valid or both classes are noted.

    Args:
      images: of all splits, with perceptual hashes; copies among them are passed over.
      limit: distance in bits.
    """
    flat = np.frombuffer(b"".join(image.perceptual for image in images), np.uint8)
    hashes = flat.reshape(len(images), near_duplicates.HASH_BYTES)
    close = near_duplicates.near_pairs(hashes, limit)
    copies = np.array([images[a].picture == images[b].picture for a, b in close], bool)
    close = close[~copies]
    found = Findings({"near": len(duplicates.components(len(images), close))})
    pairs = [(images[a], images[b]) for a, b in close]
    for one, other in pairs:
        if one.split == other.split == "train":
            found.faults += _apart([one, other], "a near-duplicate of", labels=False)
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
    images: Sequence[Stored], rows: Iterable[Mapping[str, str]], complete: bool
) -> Findings:
    """Groups of the table that the builder left: each in one fold, each member in its split.

    Args:
      images: of all splits.
      rows: of groups.csv: group, filename, split and why.
      complete: all images of the dataset are among them.
    """
    by_name = {image.filename: image for image in images}
    groups: dict[str, list[Stored]] = collections.defaultdict(list)
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
        found.faults += _apart(train, f"in group {name} of groups.csv with", labels=False)
    return found


def _apart(alike: Sequence[Stored], words: str, labels: bool = True) -> list[str]:
    """A line for a set that lies in two places, or has two labels."""
    for image in alike[1:]:
        if image.place != alike[0].place or (labels and image.label != alike[0].label):
            more = f", {len(alike)} in all" if len(alike) > 2 else ""
            return [f"{alike[0]}: {words} {image}{more}"]
    return []
