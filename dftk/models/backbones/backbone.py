"""What a detector is made of between its first layers and its head."""

import dataclasses
from collections.abc import Callable, Sequence

import keras


def mean_over_image() -> keras.layers.Layer:
    """float [b, h, w, c] to float32 [b, c]; takes images of any size."""
    return keras.layers.GlobalAveragePooling2D(dtype="float32")


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network without its top, and where its activations are taken.

    Attributes:
      network: of ("imagenet" or None, image_size): float [b, s, s, 3] to its last activation.
        Files of weights are for it as it stands.
      taps: the activations of such a network that the head sees; the last one if not given.
      pool: makes the layer that takes an activation to a vector.
      require_package: raises UserError where the network needs one that is not installed.
    """

    network: Callable[[str | None, int], keras.Model]
    taps: Callable[[keras.Model], Sequence[keras.KerasTensor]] | None = None
    pool: Callable[[], keras.layers.Layer] = mean_over_image
    require_package: Callable[[], None] = lambda: None

    def base(self, network: keras.Model) -> keras.Model:
        """The same layers, with the tapped activations as outputs."""
        if self.taps is None:
            return network
        taps = list(self.taps(network))
        outputs = taps if len(taps) > 1 else taps[0]
        return keras.Model(network.input, outputs, name=network.name)

    def pooling(self, base: keras.Model) -> keras.layers.Layer:
        """From what the base gives to what the head sees, float32 [b, width]."""
        if len(base.outputs) == 1:
            return self.pool()
        activations = [keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in base.outputs]
        vectors = [self.pool()(activation) for activation in activations]
        joined = keras.layers.Concatenate(dtype="float32")(vectors)
        return keras.Model(activations, joined, name="pool")


def residual_sums(network: keras.Model) -> list[keras.KerasTensor]:
    """The output of every residual block and the network's own, in order.

    A sum is a layer in most networks, and a plain `+` in ConvNeXt.
    """
    sums = [step.output for step in network.operations if type(step).__name__ == "Add"]
    return [*sums, network.output]


def depths(network: keras.Model) -> dict[str, int]:
    """How many residual sums lie before each layer, by its name: the block that it belongs to."""
    found, sums = {}, 0
    for step in network.operations:
        found[step.name] = sums
        sums += type(step).__name__ == "Add"
    return found
