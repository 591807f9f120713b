"""Which images belong together.

Copies of an image share a fold: a model must not be tested on an image that it was trained on.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tfds_rvf10k.inspection import inspection, near_duplicates
from tfds_rvf10k.inspection.inspection import InspectedImage
from tfds_rvf10k.sources.source_images import CLASS_NAMES, Problem, SourceImage

Pairs = np.ndarray  # int64 [m, 2]: the two indices of images that belong together


@dataclasses.dataclass(frozen=True)
class Groups:
    """Images that belong together.

    Attributes:
      of_image: int [n], the number of each image's group.
      rows: (group, filename, split, class, why) for each image of a group with more than one.
      notes: what a reader should know, such as near-duplicates across train and valid.
    """

    of_image: np.ndarray
    rows: list[tuple[int, str, str, str, str]]
    notes: list[str]


def find_copies(
    images: Sequence[SourceImage], found: Sequence[InspectedImage], inspect: inspection.Inspection
) -> dict[str, Pairs]:
    """Returns the pairs of images with equal "bytes", and with equal "pixels" in other bytes.

    Args:
      images: all images.
      found: the inspection's result for each.
      inspect: the inspection. It decodes images again if their digests are equal by its scale only.
    """
    same_bytes, same_pixels = [], []
    first: dict[bytes, int] = {}
    by_pixels: dict[bytes, list[int]] = {}
    for index, item in enumerate(found):
        if (earlier := first.setdefault(item.sha256, index)) != index:
            same_bytes.append((earlier, index))
        else:
            by_pixels.setdefault(item.pixel_digest, []).append(index)
    for alike in by_pixels.values():
        if len(alike) > 1:
            same_pixels += _confirmed(images, alike, inspect)
    return {"bytes": _pairs(same_bytes), "pixels": _pairs(same_pixels)}


def _confirmed(
    images: Sequence[SourceImage], alike: Sequence[int], inspect: inspection.Inspection
) -> list[tuple[int, int]]:
    """Pairs of equal pixels among images of one digest.

    A digest at a smaller scale does not prove that they are equal.
    """
    if inspect.scale == 1:
        return [(alike[0], index) for index in alike[1:]]
    names = {images[index].filename: index for index in alike}
    same = inspection.same_pixels(inspect.source, list(names), inspect.max_pixels)
    return [(names[group[0]], names[name]) for group in same for name in group[1:]]


def conflicts(images: Sequence[SourceImage], copies: Mapping[str, Pairs]) -> list[Problem]:
    """Copies that cannot stay in any layout of folds.

    They have both labels, or they are in `train` and a copy of an image of `valid`.
    """
    problems = []
    for members in connected_components(len(images), np.concatenate(list(copies.values()))):
        alike = [images[i] for i in members]
        valid = next((image.filename for image in alike if image.split == "valid"), "")
        sides = [next((i for i in alike if i.label == label), None) for label in (0, 1)]
        more = f" and {len(alike) - 2} more" if len(alike) > 2 else ""
        for image in alike:
            if (other := sides[1 - image.label]) is not None:
                what = f"the same picture is labelled real and fake ({other.filename}{more})"
                problems.append(Problem(image.filename, what, "remove one"))
            elif valid and image.split == "train":
                what = f"the same picture as {valid}, which no training may see"
                problems.append(Problem(image.filename, what, "remove it"))
    return problems


def group_images(
    images: Sequence[SourceImage],
    found: Sequence[InspectedImage],
    copies: Mapping[str, Pairs],
    near_limit: int,
) -> Groups:
    """Groups copies, near-duplicates, and images with one value in the group column.

    Args:
      images: all images, without conflicts.
      found: the inspection's result for each.
      copies: from `find_copies`.
      near_limit: the largest distance of perceptual hashes, in bits; 0 does not look for
        near-duplicates.
    """
    pairs = {**copies, "near": _near_pairs(found, near_limit), "group": _column_pairs(images)}
    why: dict[int, list[str]] = {}
    for reason in sorted(pairs):
        for index in np.unique(pairs[reason]).tolist():
            why.setdefault(index, []).append(reason)
    of_image = np.arange(len(images))
    rows = []
    together = connected_components(len(images), np.concatenate(list(pairs.values())))
    for number, members in enumerate(together):
        of_image[members] = members[0]
        for i in members.tolist():
            image = images[i]
            label = CLASS_NAMES[image.label]
            rows.append((number, image.filename, image.split, label, "+".join(why[i])))
    return Groups(of_image, rows, _notes(images, pairs))


def _near_pairs(found: Sequence[InspectedImage], limit: int) -> Pairs:
    if not limit:
        return _pairs([])
    return near_duplicates.near_pairs(inspection.perceptual_hashes(found), limit)


def _column_pairs(images: Sequence[SourceImage]) -> Pairs:
    """Pairs of each image of a group with the first image of the group."""
    first: dict[str, int] = {}
    return _pairs(
        [
            (earlier, index)
            for index, image in enumerate(images)
            if image.group and (earlier := first.setdefault(image.group, index)) != index
        ]
    )


def _pairs(pairs: Sequence[tuple[int, int]]) -> Pairs:
    return np.array(pairs, np.int64).reshape(-1, 2)


def connected_components(count: int, pairs: Pairs) -> list[np.ndarray]:
    """Sets of two or more images that pairs connect, each sorted, in the order of their firsts.

    Args:
      count: the number of images.
      pairs: their pairs.
    """
    from scipy.sparse import coo_array, csgraph

    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    _, component = csgraph.connected_components(graph, directed=False)
    order = np.argsort(component, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(component[order])) + 1)
    return sorted((part for part in parts if len(part) > 1), key=lambda part: part[0])


def _notes(images: Sequence[SourceImage], pairs: Mapping[str, Pairs]) -> list[str]:
    """Notes on near-duplicates and groups across splits or labels. Copies there are conflicts."""
    sides = {
        "train and valid": np.array([image.split == "valid" for image in images], bool),
        "real and fake": np.array([image.label == 1 for image in images], bool),
    }
    notes = []
    for where, side in sides.items():
        near = pairs["near"]
        across = near[side[near[:, 0]] != side[near[:, 1]]]
        notes += _note(images, across, "pair", "of near-duplicates", where)
        of_column = pairs["group"]
        across = of_column[side[of_column[:, 0]] != side[of_column[:, 1]]]
        _, once = np.unique(across[:, 0], return_index=True)  # all pairs of a group have one first
        notes += _note(images, across[once], "group", "of the group column", where)
    return notes


def _note(
    images: Sequence[SourceImage], across: Pairs, noun: str, what: str, where: str
) -> list[str]:
    if not len(across):
        return []
    one, other = (images[i].filename for i in across[0])
    plural = noun if len(across) == 1 else f"{noun}s"
    return [f"{len(across)} {plural} {what} across {where}, kept (first: {one} and {other})"]
