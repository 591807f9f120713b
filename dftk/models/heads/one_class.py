"""One-class heads: fitted once by scikit-learn on features of real images alone.

What is fitted becomes weights of Keras layers, so that a saved model loads with Keras alone. The
layers standardise the features, project them onto their first principal components, and compute a
score of how far they are from those of real images.
"""

from typing import Any

import keras
import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

COMPONENTS = 256
_TREES, _LEAVES = 100, 256  # each isolation tree is fitted on 256 examples (Liu et al. 2008)
_SPLITS = _LEAVES - 1

Weights = dict[str, list[np.ndarray]]  # by the name of a layer


def components(features: np.ndarray, seed: int) -> Pipeline:
    """Returns StandardScaler and PCA to at most COMPONENTS, fitted on features.

    Args:
      features: float32 [n, width].
      seed: of PCA's random projections.
    """
    count = min(COMPONENTS, features.shape[0] - 1, features.shape[1])
    pca = PCA(count, svd_solver="randomized", random_state=seed)
    return make_pipeline(StandardScaler(), pca).fit(features)


class Mahalanobis:
    """Squared Mahalanobis distance of the components; covariance by Ledoit and Wolf (2004)."""

    def fit(self, features: np.ndarray, seed: int) -> Weights:
        """Fits on features of real images, float32 [n, width]; returns weights of the layers."""
        self.components = components(features, seed)
        self.covariance = LedoitWolf().fit(self.components.transform(features))
        whitening = np.linalg.cholesky(self.covariance.precision_)
        return _projection(self.components, whitening, self.covariance.location_)

    def score(self, features: np.ndarray) -> np.ndarray:
        """Returns the scores by scikit-learn of features, float32 [n, width]; float [n]."""
        return self.covariance.mahalanobis(self.components.transform(features))

    @staticmethod
    def layers(features: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the score by Keras layers, float32 [b, 1], of features, float32 [b, width]."""
        part = _components(_standardise(features))
        return keras.layers.Dot(1, dtype="float32", name="score")([part, part])


class Residual:
    """Squared error of the standardised features when they are rebuilt from their components."""

    def fit(self, features: np.ndarray, seed: int) -> Weights:
        """As Mahalanobis.fit."""
        self.components = components(features, seed)
        return _projection(self.components)

    def score(self, features: np.ndarray) -> np.ndarray:
        """As Mahalanobis.score."""
        scaler, pca = (step for _, step in self.components.steps)
        whole = scaler.transform(features)
        return np.sum((whole - pca.inverse_transform(pca.transform(whole))) ** 2, axis=1)

    @staticmethod
    def layers(features: keras.KerasTensor) -> keras.KerasTensor:
        """As Mahalanobis.layers; the error is the square of all minus that of the components."""
        whole = _standardise(features)
        part = _components(whole)
        squares = [keras.layers.Dot(1, dtype="float32")([one, one]) for one in (whole, part)]
        return keras.layers.Subtract(dtype="float32", name="score")(squares)


class Forest:
    """Anomaly score of an isolation forest (Liu et al. 2008, doi:10.1109/ICDM.2008.17), (0, 1).

    The layers compute a tree by three products, which is the GEMM strategy of Hummingbird
    (Nakandala et al. 2020, arXiv:2010.04804): which splits go right, which leaf is reached, and how
    deep it is.
    """

    def fit(self, features: np.ndarray, seed: int) -> Weights:
        """As Mahalanobis.fit."""
        self.components = components(features, seed)
        self.forest = IsolationForest(
            n_estimators=_TREES, max_samples=min(_LEAVES, len(features)), random_state=seed
        ).fit(self.components.transform(features))
        return {**_projection(self.components), **_forest(self.forest, features.shape[1])}

    def score(self, features: np.ndarray) -> np.ndarray:
        """As Mahalanobis.score."""
        return -self.forest.score_samples(self.components.transform(features))

    @staticmethod
    def layers(features: keras.KerasTensor) -> keras.KerasTensor:
        """As Mahalanobis.layers; it has no gradient, because a step has none."""
        splits = keras.layers.Dense(_TREES * _SPLITS, dtype="float32", name="splits")
        by_tree = keras.layers.Reshape((_TREES, _SPLITS), dtype="float32")
        leaves = keras.layers.EinsumDense(
            "bts,tsl->btl", (_TREES, _LEAVES), "relu", "tl", dtype="float32", name="leaves"
        )
        score = keras.layers.Dense(1, "exponential", False, dtype="float32", name="score")
        right = keras.ops.greater(splits(_components(_standardise(features))), 0.0)
        leaf = leaves(by_tree(keras.ops.cast(right, "float32")))
        return score(keras.layers.Flatten(dtype="float32")(leaf))


KINDS: dict[str, Any] = {"mahalanobis": Mahalanobis, "pca": Residual, "forest": Forest}


def head(kind: str, width: int) -> keras.Model:
    """Returns a model from features, float32 [b, width], to a logit, to be fitted by `assign`.

    Args:
      kind: a key of KINDS.
      width: of the features.
    """
    features = keras.Input((width,))
    logit = keras.layers.Dense(1, dtype="float32", name="logit")
    model = keras.Model(features, logit(KINDS[kind].layers(features)), name="head")
    model.trainable = False
    return model


def assign(head: keras.Model, weights: Weights) -> None:
    """Assigns fitted weights to the layers of a head, padded with zeros to their shapes.

    Args:
      head: see `head`.
      weights: by the name of the layer.
    """
    for name, arrays in weights.items():
        for variable, array in zip(head.get_layer(name).variables, arrays, strict=True):
            room = [(0, size - used) for size, used in zip(variable.shape, array.shape)]
            variable.assign(np.pad(array, room).astype(np.float32))


def _standardise(features: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.BatchNormalization(
        center=False, scale=False, epsilon=1e-12, dtype="float32", name="standardise"
    )(features)


def _components(standardised: keras.KerasTensor) -> keras.KerasTensor:
    count = min(COMPONENTS, standardised.shape[-1])
    return keras.layers.Dense(count, dtype="float32", name="components")(standardised)


def _projection(
    fitted: Pipeline, onto: np.ndarray | None = None, origin: np.ndarray | float = 0.0
) -> Weights:
    """Returns weights of layers that compute (components - origin) @ onto from features."""
    scaler, pca = (step for _, step in fitted.steps)
    onto = np.eye(len(pca.components_)) if onto is None else onto
    # PCA subtracts its mean, which is zero but for rounding, from the standardised features.
    mean = scaler.mean_ + pca.mean_ * scaler.scale_
    kernel = pca.components_.T.astype(np.float64) @ onto
    bias = -np.broadcast_to(origin, len(onto)) @ onto
    return {"standardise": [mean, scaler.scale_**2], "components": [kernel, bias]}


def _forest(forest: IsolationForest, width: int) -> Weights:
    trees = [_tree(estimator.tree_, min(COMPONENTS, width)) for estimator in forest.estimators_]
    kernel, bias, leaf_kernel, leaf_bias, length = map(np.stack, zip(*trees))
    unit = -np.log(2) / (_TREES * expected_path(forest.max_samples_))
    return {
        "splits": [kernel.transpose(1, 0, 2).reshape(len(kernel[0]), -1), bias.reshape(-1)],
        "leaves": [leaf_kernel, leaf_bias],
        "score": [unit * length.reshape(-1, 1)],
    }


def _tree(nodes: Any, inputs: int) -> tuple[np.ndarray, ...]:
    """Returns kernel and bias of a tree's splits, those of its leaves, and the leaves' depths."""
    kernel, bias = np.zeros((inputs, _SPLITS)), np.zeros(_SPLITS)
    leaf_kernel, leaf_bias = np.zeros((_SPLITS, _LEAVES)), np.zeros(_LEAVES)
    length = np.zeros(_LEAVES)
    splits = np.flatnonzero(nodes.children_left >= 0).tolist()
    split_of_node = {node: split for split, node in enumerate(splits)}
    for node, split in split_of_node.items():
        kernel[nodes.feature[node], split] = 1
        bias[split] = -_below(nodes.threshold[node])
    for leaf, (node, path) in enumerate(_paths(nodes, 0, ())):
        for parent, right in path:
            leaf_kernel[split_of_node[parent], leaf] = 1 if right else -1
        # 1 if all turns lead to this leaf; each other turn takes 1 away.
        leaf_bias[leaf] = 1 - sum(right for _, right in path)
        length[leaf] = len(path) + expected_path(int(nodes.n_node_samples[node]))
    return kernel, bias, leaf_kernel, leaf_bias, length


def _below(threshold: float) -> np.float32:
    """Returns the largest float32 up to a threshold: a float32 exceeds either both or none."""
    rounded = np.float32(threshold)
    return rounded if rounded <= threshold else np.nextafter(rounded, np.float32(-np.inf))


def _paths(nodes: Any, node: int, path: tuple) -> list[tuple[int, tuple]]:
    """Returns the leaves below a node of a scikit-learn tree, with their turns: (node, right)."""
    if nodes.children_left[node] < 0:
        return [(node, path)]
    left = _paths(nodes, nodes.children_left[node], (*path, (node, False)))
    return left + _paths(nodes, nodes.children_right[node], (*path, (node, True)))


def expected_path(examples: int) -> float:
    """Returns the mean depth at which a tree isolates an example (Liu et al. 2008, equation 1).

    Args:
      examples: number of examples that the tree was fitted on.
    """
    if examples <= 2:
        return float(examples == 2)
    harmonic = np.log(examples - 1) + np.euler_gamma
    return 2 * harmonic - 2 * (examples - 1) / examples
