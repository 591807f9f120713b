"""Detectors trained in half precision as float32 ones, with the same weights.

Weights are float32 in either: only what is computed with them differs. A file for other runtimes
should not carry a choice that was made for one machine's training.
"""

from typing import Any

import keras

_FLOAT32 = {
    "mixed_bfloat16": "float32",
    "mixed_float16": "float32",
    "bfloat16": "float32",
    "float16": "float32",
}


def float32_twin(model: keras.Model) -> keras.Model:
    """The model with every dtype policy float32; the model itself where that changes nothing."""
    config = keras.saving.serialize_keras_object(model)
    plain = _with_float32(config)
    if plain == config:
        return model
    twin = keras.saving.deserialize_keras_object(plain)
    twin.set_weights(model.get_weights())
    return twin


def _with_float32(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_float32(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_with_float32(item) for item in value)
    return _FLOAT32.get(value, value) if isinstance(value, str) else value


def policies(model: keras.Model) -> set[str]:
    """Names of the dtype policies of all layers, parts of parts included."""
    found = set()
    for layer in model.layers:
        found.add(layer.dtype_policy.name)
        if isinstance(layer, keras.Model):
            found |= policies(layer)
    return found
