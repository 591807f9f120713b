"""The network below the head: which activations the head sees, and how they become a vector."""

import dataclasses
from collections.abc import Callable, Sequence

import keras


def mean_over_image() -> keras.layers.Layer:
    """Returns a layer from float [b, h, w, c] to float32 [b, c], for images of any size."""
    return keras.layers.GlobalAveragePooling2D(dtype="float32")


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network without its top, and what the head sees of it.

    Attributes:
      network: ("imagenet" or None, image_size) to the network, which takes float [b, s, s, 3] to
        its last activation. Files of weights are for this network.
      levels: the activations of such a network that the head sees; the last one if not given.
      pool: makes the layer from one activation to a vector.
      require_package: raises UserError if the network needs a package that is not installed.
    """

    network: Callable[[str | None, int], keras.Model]
    levels: Callable[[keras.Model], Sequence[keras.KerasTensor]] | None = None
    pool: Callable[[], keras.layers.Layer] = mean_over_image
    require_package: Callable[[], None] = lambda: None

    def base(self, network: keras.Model) -> keras.Model:
        """Returns a model of the same layers whose outputs are the activations the head sees."""
        if self.levels is None:
            return network
        levels = list(self.levels(network))
        outputs = levels if len(levels) > 1 else levels[0]
        return keras.Model(network.input, outputs, name=network.name)

    def pooling_of(self, base: keras.Model) -> keras.layers.Layer:
        """Returns a layer from the outputs of the base to one vector, float32 [b, width]."""
        if len(base.outputs) == 1:
            return self.pool()
        activations = [keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in base.outputs]
        vectors = [self.pool()(activation) for activation in activations]
        joined = keras.layers.Concatenate(dtype="float32")(vectors)
        return keras.Model(activations, joined, name="pool")


def residual_sums(network: keras.Model) -> list[keras.KerasTensor]:
    """Returns the output of every residual block, then the network's own.

    A sum is a layer in most networks, and a plain `+` in ConvNeXt.
    """
    sums = [step.output for step in network.operations if type(step).__name__ == "Add"]
    return [*sums, network.output]


def depths(network: keras.Model) -> dict[str, int]:
    """Returns the block that each layer belongs to, by its name: how many sums lie before it."""
    found, sums = {}, 0
    for step in network.operations:
        found[step.name] = sums
        sums += type(step).__name__ == "Add"
    return found
