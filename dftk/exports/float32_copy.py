"""Makes float32 copies of detectors that were trained in half precision.

The weights are float32 in both; only the computations differ. The precision was chosen for the
machine that trained the model, so an exported file should not depend on it.
"""

from typing import Any

import keras

_FLOAT32 = {
    "mixed_bfloat16": "float32",
    "mixed_float16": "float32",
    "bfloat16": "float32",
    "float16": "float32",
}


def float32_copy(model: keras.Model) -> keras.Model:
    """Copies a model with the dtype policy float32; returns the model itself if it has no other."""
    config = keras.saving.serialize_keras_object(model)
    plain = _with_float32(config)
    if plain == config:
        return model
    copy = keras.saving.deserialize_keras_object(plain)
    copy.set_weights(model.get_weights())
    return copy


def _with_float32(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_float32(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_with_float32(item) for item in value)
    return _FLOAT32.get(value, value) if isinstance(value, str) else value


def dtype_policies(model: keras.Model) -> set[str]:
    """Names the dtype policies of all layers, those of nested models included."""
    found = set()
    for layer in model.layers:
        found.add(layer.dtype_policy.name)
        if isinstance(layer, keras.Model):
            found |= dtype_policies(layer)
    return found
