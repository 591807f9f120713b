"""A Vision Transformer of KerasHub as a network whose activations are maps of the image.

DeiT-S/16 (Touvron et al. 2021, arXiv:2012.12877): ViT-S/16 (Dosovitskiy et al. 2021,
arXiv:2010.11929) with a second token beside the class token, 22 million parameters, about
Xception's; KerasHub's plain ViTs begin at four times that. Its weights were trained on ImageNet-1k,
as those of keras.applications, in images of 224 pixels.

What is trained and saved is a copy of KerasHub's network in Keras's own layers, with its weights. A
saved file then loads with Keras alone. KerasHub's own network could not be used: its encoder does
not give the activations between blocks, and its blocks and embeddings do not load from what their
`get_config` (0.32) returns.
"""

import importlib.util
from typing import Any

import keras
import numpy as np

from dftk.models.backbones.backbone import Backbone
from dftk.utils.errors import UserError

PRESET = "deit_small_distilled_patch16_224_imagenet"
SIZES = {
    "patch_size": 16,
    "num_layers": 12,
    "num_heads": 6,
    "hidden_dim": 384,
    "intermediate_dim": 1536,
}


def backbone(multilevel: bool) -> Backbone:
    """Returns the network as a backbone; see catalog.Architecture."""
    return Backbone(
        network, levels=block_maps if multilevel else last_map, require_package=require_package
    )


def require_package() -> None:
    """Raises UserError if KerasHub is not installed."""
    if importlib.util.find_spec("keras_hub") is None:
        raise UserError(
            "--model=vit and vit_multilevel need KerasHub, not installed here: "
            "pip install -e '.[vit]'"
        )


def network(weights: str | None, image_size: int) -> keras.Model:
    """Returns KerasHub's network, from float [b, s, s, 3] to tokens [b, tokens, 384].

    Args:
      weights: "imagenet", which are downloaded from Kaggle and for 224 pixels, or None.
      image_size: s, a multiple of 16; the config refuses others.

    Raises:
      Exception: no download; KerasHub has no class of its own for it.
    """
    from keras_hub.models import DeiTBackbone

    if weights:
        return DeiTBackbone.from_preset(PRESET)
    return DeiTBackbone(image_shape=(image_size, image_size, 3), **SIZES)


def last_map(network: keras.Model) -> list[keras.KerasTensor]:
    """Returns tokens after the last normalisation as one map; see block_maps."""
    return block_maps(network)[-1:]


def block_maps(network: keras.Model) -> list[keras.KerasTensor]:
    """Returns the tokens of the image after every block and the last normalisation, as maps.

    Args:
      network: see `network`; its weights are copied.

    Returns:
      float [b, s / 16, s / 16, 384] each. The class token and the distillation token are left out,
      because in early blocks they know little of the image.
    """
    tokens, levels = _embedded(network), []
    for number in range(1, network.num_layers + 1):
        tokens = _block(network, tokens, f"block_{number}")
        levels.append(tokens)
    levels.append(_normalised(network, tokens, "norm"))
    keras.Model(network.input, levels[-1]).set_weights(_weights(network))
    _, height, width, _ = _patches_shape(network)
    extra = levels[-1].shape[1] - height * width
    crop, as_map = keras.layers.Cropping1D((extra, 0)), keras.layers.Reshape((height, width, -1))
    return [as_map(crop(level)) for level in levels]


def _patches_shape(network: keras.Model) -> tuple[None, int, int, int]:
    """None, patches from top to bottom, from left to right, and numbers in a patch."""
    height, width, channels = network.image_shape
    side, _ = network.patch_size
    return None, height // side, width // side, side * side * channels


def _embedded(network: keras.Model) -> keras.KerasTensor:
    """Tokens [b, tokens, hidden_dim]: patches times a kernel, after empty ones, plus positions."""
    side, _ = network.patch_size
    _, height, width, numbers = _patches_shape(network)
    embedding = network.layers[1]
    patches = keras.layers.Reshape((height, side, width, side, -1))(network.input)
    patches = keras.layers.Permute((1, 3, 2, 4, 5))(patches)
    patches = keras.layers.Reshape((height * width, numbers))(patches)
    patches = keras.layers.ZeroPadding1D((embedding.num_positions - height * width, 0))(patches)
    # One bias for each token: its position, and either its own value or the patches' bias.
    return keras.layers.EinsumDense(
        "bnp,pc->bnc", (patches.shape[1], network.hidden_dim), bias_axes="nc", name="embedding"
    )(patches)


def _block(network: keras.Model, tokens: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Attention between tokens, then two dense layers on each; both are added to what came in."""
    normalised = _normalised(network, tokens, f"{name}_norm_1")
    attention = keras.layers.MultiHeadAttention(
        network.num_heads, network.hidden_dim // network.num_heads, name=f"{name}_attention"
    )
    tokens = keras.layers.Add()([tokens, attention(normalised, normalised)])
    hidden = _normalised(network, tokens, f"{name}_norm_2")
    hidden = keras.layers.Dense(
        network.intermediate_dim, activation="gelu", name=f"{name}_dense_1"
    )(hidden)
    hidden = keras.layers.Dense(network.hidden_dim, name=f"{name}_dense_2")(hidden)
    return keras.layers.Add()([tokens, hidden])


def _normalised(network: keras.Model, tokens: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.LayerNormalization(epsilon=network.layer_norm_epsilon, name=name)(tokens)


def _weights(network: keras.Model) -> list[Any]:
    """Returns the weights of KerasHub's network in the order of these layers."""
    embedding, encoder = network.layers[1:]
    own = [embedding.class_token.numpy()[0], embedding.distillation_token.numpy()[0]]
    kernel, bias = embedding.patch_embedding.get_weights()
    positions = embedding.position_embedding.numpy()[0]
    patches = np.tile(bias, (len(positions) - len(own), 1))
    biases = positions + np.concatenate([*own, patches])
    return [kernel.reshape(-1, kernel.shape[-1]), biases, *encoder.get_weights()]
