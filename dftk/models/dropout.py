"""Dropout and stochastic depth with masks that follow from a key and differ between replicas.

A layer of Keras draws each mask from a state, int64 [2], which is a variable of the model, and then
adds 1 to its second number. Under tf.distribute each replica has its own copy of the state. Keras
gives all copies one value, so that all replicas would draw the same masks. Here the copies begin at
consecutive second numbers. The first replica's copy is the one that is saved.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf


def random_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the layers that draw masks, in order. Keras gives a rate of 0 no state."""
    return [layer for layer in model.layers if getattr(layer, "seed_generator", None) is not None]


def reset(
    layers: Sequence[keras.layers.Layer], key: Sequence[int], strategy: tf.distribute.Strategy
) -> None:
    """Sets the states of layers: the masks from here on follow from the key.

    Args:
      layers: see random_layers.
      key: non-negative integers such as (seed, fold, epoch).
      strategy: in whose scope the layers were built.
    """
    states = [
        np.random.SeedSequence([*key, position]).generate_state(2).astype(np.int64)
        for position in range(len(layers))
    ]
    _assign(layers, states, strategy)


def resume(layers: Sequence[keras.layers.Layer], strategy: tf.distribute.Strategy) -> None:
    """Makes replicas draw masks of their own again, after a saved state was assigned to all.

    Args:
      layers: whose states are those of the first replica on every replica.
      strategy: in whose scope the layers were built.
    """
    _assign(layers, [layer.seed_generator.state.numpy() for layer in layers], strategy)


def _assign(
    layers: Sequence[keras.layers.Layer],
    states: Sequence[np.ndarray],
    strategy: tf.distribute.Strategy,
) -> None:
    local = strategy.experimental_local_results
    for layer, state in zip(layers, states, strict=True):
        values = strategy.experimental_distribute_values_from_function(
            lambda context, state=state: tf.constant(
                np.add(state, [0, context.replica_id_in_sync_group])
            )
        )
        for copy, value in zip(local(layer.seed_generator.state.value), local(values), strict=True):
            copy.assign(value)
