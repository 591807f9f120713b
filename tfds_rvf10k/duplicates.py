"""Which images belong together, so that no fold learns what another one is asked."""

import collections
import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from tfds_rvf10k import inspection, near_duplicates
from tfds_rvf10k.inspection import Inspected
from tfds_rvf10k.listing import CLASS_NAMES, Problem, SourceImage


@dataclasses.dataclass(frozen=True, slots=True)
class Edge:
    """Two images that belong together, by their indices."""

    one: int
    other: int
    why: str  # bytes, pixels, near or group


@dataclasses.dataclass(frozen=True)
class Groups:
    """Images that belong together.

    Attributes:
      of_image: int [n], the number of each image's group.
      rows: of groups with more than one image, (group, filename, split, class, why).
      notes: what a reader should know, such as near-duplicates across train and valid.
    """

    of_image: np.ndarray
    rows: list[tuple[int, str, str, str, str]]
    notes: list[str]


def same_pictures(
    images: Sequence[SourceImage], found: Sequence[Inspected], inspect: inspection.Inspection
) -> list[Edge]:
    """Edges between images of the same bytes, or of the same pixels in other bytes."""
    edges: list[Edge] = []
    first: dict[bytes, int] = {}
    by_picture: dict[bytes, list[int]] = {}
    for index, item in enumerate(found):
        if (earlier := first.setdefault(item.sha256, index)) != index:
            edges.append(Edge(earlier, index, "bytes"))
        else:
            by_picture.setdefault(item.picture, []).append(index)
    for alike in by_picture.values():
        if len(alike) > 1:
            edges += [Edge(a, b, "pixels") for a, b in _confirmed(images, alike, inspect)]
    return edges


def _confirmed(
    images: Sequence[SourceImage], alike: Sequence[int], inspect: inspection.Inspection
) -> list[tuple[int, int]]:
    """Pairs among images of one digest: a digest at a smaller scale only suspects them."""
    if inspect.scale == 1:
        return [(alike[0], index) for index in alike[1:]]
    names = {images[index].filename: index for index in alike}
    same = inspection.same_pixels(inspect.source, list(names), inspect.max_pixels)
    return [(names[group[0]], names[name]) for group in same for name in group[1:]]


def conflicts(images: Sequence[SourceImage], edges: Iterable[Edge]) -> list[Problem]:
    """Copies that no fold layout can make harmless: under both labels, or of an image of valid."""
    problems = []
    for members in components(len(images), edges):
        names = [images[i].filename for i in members]
        valid = next((images[i].filename for i in members if images[i].split == "valid"), "")
        for i in members:
            image = images[i]
            others = ", ".join(name for name in names if name != image.filename)
            if len({images[j].label for j in members}) > 1:
                what = f"the same picture is labelled real and fake ({others}); remove one"
            elif valid and image.split == "train":
                what = f"the same picture as {valid}, which no training may see; remove it"
            else:
                continue
            problems.append(Problem(image.filename, what))
    return problems


def group(
    images: Sequence[SourceImage],
    found: Sequence[Inspected],
    edges: Iterable[Edge],
    near_limit: int,
) -> Groups:
    """Puts together copies, near-duplicates and images of one value in the group column.

    Args:
      images: without conflicts.
      found: what inspection found of each.
      edges: of `same_pictures`.
      near_limit: distance of perceptual hashes in bits; 0 leaves near-duplicates alone.
    """
    edges = [*edges, *_near(found, near_limit), *_columns(images)]
    why: dict[int, set[str]] = collections.defaultdict(set)
    for edge in edges:
        why[edge.one].add(edge.why)
        why[edge.other].add(edge.why)
    of_image = np.arange(len(images))
    rows = []
    for number, members in enumerate(components(len(images), edges)):
        of_image[members] = members[0]
        for i in members:
            image = images[i]
            reasons = "+".join(sorted(why[i]))
            rows.append((number, image.filename, image.split, CLASS_NAMES[image.label], reasons))
    return Groups(of_image, rows, _notes(images, edges))


def _near(found: Sequence[Inspected], limit: int) -> list[Edge]:
    if not limit:
        return []
    pairs = near_duplicates.near_pairs(inspection.pictures(found), limit)
    return [Edge(int(a), int(b), "near") for a, b in pairs]


def _columns(images: Sequence[SourceImage]) -> list[Edge]:
    first: dict[str, int] = {}
    edges = []
    for index, image in enumerate(images):
        if image.group and (earlier := first.setdefault(image.group, index)) != index:
            edges.append(Edge(earlier, index, "group"))
    return edges


def components(count: int, edges: Iterable[Edge]) -> list[np.ndarray]:
    """Sets of two and more of `count` images that edges connect: rising indices, int64 each."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array([(edge.one, edge.other) for edge in edges], np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), (count, count))
    _, component = connected_components(graph, directed=False)
    order = np.argsort(component, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(component[order])) + 1)
    return sorted((part for part in parts if len(part) > 1), key=lambda part: part[0])


def _notes(images: Sequence[SourceImage], edges: Sequence[Edge]) -> list[str]:
    """Pairs that lie across splits or labels, counted by what they have in common."""
    words = {"near": "near-duplicates", "group": "images of one group", "bytes": "copies"}
    across: dict[tuple[str, str], list[Edge]] = {}
    for edge in edges:
        one, other = images[edge.one], images[edge.other]
        if one.split != other.split:
            across.setdefault((edge.why, "train and valid"), []).append(edge)
        if one.label != other.label:
            across.setdefault((edge.why, "real and fake"), []).append(edge)
    notes = []
    for (why, sides), found in across.items():
        names = f"{images[found[0].one].filename} and {images[found[0].other].filename}"
        noun = "pair" if len(found) == 1 else "pairs"
        notes.append(
            f"{len(found)} {noun} of {words.get(why, why)} across {sides}, kept (first: {names})"
        )
    return notes
