"""Images -> folds -> shards: seeded, stratified, no group in two folds."""

import warnings
from collections.abc import Sequence

import numpy as np

from tfds_rvf10k.listing import CLASS_NAMES


def assign_folds(
    labels: np.ndarray, groups: np.ndarray, k: int, seed: int, stratified: bool = True
) -> list[np.ndarray]:
    """Returns, for each of k folds, the indices of its images in a seeded random order.

    Without groups of more than one image it is scikit-learn's StratifiedKFold, with them its
    StratifiedGroupKFold; not stratified, KFold over the groups.

    Args:
      labels: int [n], 0 or 1.
      groups: int [n]; images of one group share a fold.
      k: number of folds.
      seed: of the assignment and of the order inside a fold.
      stratified: equal class shares in every fold, as far as the groups allow.

    Raises:
      ValueError: a class has fewer than k groups, or a fold would lack one.
    """
    # Imported here: `import tfds_rvf10k` must stay light for those who only read the dataset.
    from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold

    for label, class_name in enumerate(CLASS_NAMES):
        if (count := len(np.unique(groups[labels == label]))) < k:
            raise ValueError(
                f"{count} distinct images of class {class_name!r}, {k} folds need {k}; get more, "
                "or take fewer folds"
            )
    _, first, members = np.unique(groups, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")  # groups in the order of their first images
    members = np.argsort(order)[members]
    rng = np.random.default_rng(seed)
    if stratified and len(order) < len(labels):
        splitter = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of small classes; asked above
            held_out = [part for _, part in splitter.split(labels, labels, members)]
    else:
        splitter = (StratifiedKFold if stratified else KFold)(k, shuffle=True, random_state=seed)
        chosen = [part for _, part in splitter.split(order, labels[first[order]])]
        by_group = np.argsort(members, kind="stable")
        starts = np.searchsorted(members[by_group], np.arange(len(order) + 1))
        held_out = [
            np.concatenate([by_group[starts[g] : starts[g + 1]] for g in part]) for part in chosen
        ]
    return [rng.permutation(part) for part in held_out]


def cut(indices: Sequence[int] | np.ndarray, parts: int) -> list[np.ndarray]:
    """Cuts into consecutive parts whose sizes differ by at most one, none of them empty."""
    if len(indices) < parts:
        raise ValueError(f"{len(indices)} images do not fill {parts} shards; lower shards_per_fold")
    return np.array_split(indices, parts)
