"""Assigns images to folds and shards: seeded, stratified, no group in two folds."""

import heapq
from collections.abc import Sequence

import numpy as np

from tfds_rvf10k.errors import DatasetError
from tfds_rvf10k.sources.source_images import CLASS_NAMES


def assign_folds(
    labels: np.ndarray, groups: np.ndarray, k: int, seed: int, stratified: bool = True
) -> list[np.ndarray]:
    """Returns, for each of k folds, the indices of its images in a seeded random order.

    If no group has more than one image, the folds are those of scikit-learn's StratifiedKFold. If
    they are not stratified, they are those of KFold over the groups.

    Args:
      labels: int [n], 0 or 1.
      groups: int [n]; images of one group share a fold.
      k: number of folds.
      seed: seed of the assignment and of the order inside a fold.
      stratified: gives every fold equal shares of the classes, as far as the groups allow.

    Raises:
      DatasetError: a class has fewer than k groups, or a fold would have no image of a class.
    """
    counts = [len(np.unique(groups[labels == label])) for label in range(len(CLASS_NAMES))]
    for count, class_name in zip(counts, CLASS_NAMES):
        if count < k:
            raise DatasetError(
                f"{count} distinct images of class {class_name!r}, {k} folds need {k}",
                "add images, or make fewer folds",
                option="k",
                settings={"k": min(counts)} if min(counts) >= 2 else {},
            )
    members = _members(groups)
    if stratified and len(members) < len(labels):
        held_out = _around_groups(members, labels, k, seed)
    else:
        held_out = _by_scikit_learn(members, labels, k, seed, stratified)
    for fold, part in enumerate(held_out):
        for label, class_name in enumerate(CLASS_NAMES):
            if not (labels[part] == label).any():
                raise DatasetError(
                    f"fold {fold} of {k} would have no {class_name!r}: too few images, or groups "
                    "that are too large",
                    "make fewer folds",
                    option="k",
                )
    rng = np.random.default_rng(seed)
    return [rng.permutation(part) for part in held_out]


def _members(groups: np.ndarray) -> list[np.ndarray]:
    """The images of each group. The groups have the order of their first images."""
    order = np.argsort(groups, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    return sorted(parts, key=lambda part: part[0])


def _by_scikit_learn(
    members: Sequence[np.ndarray], labels: np.ndarray, k: int, seed: int, stratified: bool
) -> list[np.ndarray]:
    # Imported here: `import tfds_rvf10k` must stay fast for programs that only read the dataset.
    from sklearn.model_selection import KFold, StratifiedKFold

    splitter = (StratifiedKFold if stratified else KFold)(k, shuffle=True, random_state=seed)
    first = labels[[group[0] for group in members]]
    return [np.concatenate([members[g] for g in part]) for _, part in splitter.split(first, first)]


def _around_groups(
    members: Sequence[np.ndarray], labels: np.ndarray, k: int, seed: int
) -> list[np.ndarray]:
    """Assigns groups first, from large to small, then single images.

    A group goes to the fold where it makes the class counts most even. This is not scikit-learn's
    StratifiedGroupKFold: that takes 16 s for one pair of copies among 100,000 images, and does not
    assign single images any better.
    """
    rng = np.random.default_rng([seed, 1])
    counts = np.zeros((k, 2))
    held_out: list[list[np.ndarray]] = [[] for _ in range(k)]
    large = [members[i] for i in rng.permutation(len(members)) if len(members[i]) > 1]
    for group in sorted(large, key=len, reverse=True):
        added = np.bincount(labels[group], minlength=2)
        # The least sum of squares makes the counts of the classes most even over the folds.
        fold = int(np.argmin(((counts + added) ** 2 - counts**2).sum(1)))
        counts[fold] += added
        held_out[fold].append(group)
    for label in (0, 1):
        single = [group[0] for group in members if len(group) == 1 and labels[group[0]] == label]
        fullness = [(count, fold) for fold, count in enumerate(counts[:, label])]
        heapq.heapify(fullness)
        for image in rng.permutation(np.array(single, np.int64)):
            count, fold = heapq.heappop(fullness)
            held_out[fold].append(np.array([image]))
            heapq.heappush(fullness, (count + 1, fold))
    return [np.concatenate(part) if part else np.empty(0, np.int64) for part in held_out]


def split_into_shards(
    held_out: Sequence[np.ndarray], shards_per_fold: int
) -> list[list[np.ndarray]]:
    """Splits each fold into consecutive shards whose sizes differ by at most one.

    Args:
      held_out: the images of each fold.
      shards_per_fold: number of shards; none of them may be empty.

    Raises:
      DatasetError: a fold has fewer images than shards.
    """
    smallest = min(map(len, held_out))
    if smallest < shards_per_fold:
        raise DatasetError(
            f"a fold of {smallest} images does not fill {shards_per_fold} shards",
            'give the config a lower "shards_per_fold" and a name of its own',
            option="shards_per_fold",
            settings={"shards_per_fold": smallest},
        )
    return [np.array_split(fold, shards_per_fold) for fold in held_out]
