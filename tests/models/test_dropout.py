import json

import keras
import numpy as np
import tensorflow as tf
from child_code import run_on_two_devices

from dftk.models import dropout

X = np.ones((4, 50), np.float32)


def head():
    layers = [keras.layers.Dropout(0.5, seed=1), keras.layers.Dense(50), keras.layers.Dropout(0.0)]
    return keras.Sequential([keras.Input((50,)), *layers, keras.layers.Dropout(0.2, seed=2)])


def test_only_layers_that_draw_are_found():
    model = head()
    assert dropout.random_layers(model) == [model.layers[0], model.layers[3]]


def test_masks_are_those_of_the_key_and_of_how_many_were_drawn_since():
    """By TensorFlow's own stateless dropout: saved runs go on only as long as this holds."""
    (layer, *_) = layers = dropout.random_layers(head())
    for key in ([42, 0, 3], [42, 1, 3]):
        dropout.reset(layers, key, tf.distribute.get_strategy())
        first, second = np.random.SeedSequence([*key, 0]).generate_state(2).astype(np.int64)
        for drawn in range(3):
            seed = np.array([first, second + drawn]) % (2**31 - 2)
            expected = tf.nn.experimental.stateless_dropout(X, 0.5, seed=seed.astype(np.int32))
            np.testing.assert_array_equal(layer(X, training=True), expected)


def test_layers_of_one_key_draw_different_masks():
    model = head()
    dropout.reset(dropout.random_layers(model), [1], tf.distribute.get_strategy())
    states = [layer.seed_generator.state.numpy() for layer in dropout.random_layers(model)]
    assert (states[0] != states[1]).all()


def test_replicas_draw_masks_of_their_own_and_a_saved_state_goes_on_with_them():
    code = """
    import json
    from dftk.models import dropout
    with strategy.scope():
        layer = keras.layers.Dropout(0.5, seed=1)
        layer(tf.ones([4, 50]), training=True)

    @tf.function
    def masks():
        return strategy.run(lambda: layer(tf.ones([4, 50]), training=True))

    def drawn():
        return [mask.numpy().tolist() for mask in strategy.experimental_local_results(masks())]

    state = layer.seed_generator.state
    dropout.reset([layer], [7, 0], strategy)
    first, saved, second = drawn(), state.numpy(), drawn()
    state.assign(saved)
    dropout.resume([layer], strategy)
    print(json.dumps([first, second, drawn()]))
    """
    first, second, again = json.loads(run_on_two_devices(code))
    assert first[0] != first[1]
    assert first[1] == second[0], "the second replica is one draw ahead of the first"
    assert again == second
    (layer, *_) = dropout.random_layers(head())
    dropout.reset([layer], [7, 0], tf.distribute.get_strategy())
    np.testing.assert_array_equal(layer(np.ones((4, 50), np.float32), training=True), first[0])
