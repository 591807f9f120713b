"""Networks of keras.applications without their tops, for images of any size.

Xception (Chollet 2017, arXiv:1610.02357), MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381),
ResNet50V2 (He et al. 2016, arXiv:1603.05027), EfficientNetV2B0 (Tan and Le 2021, arXiv:2104.00298),
ConvNeXtTiny (Liu et al. 2022, arXiv:2201.03545). None of them scales its input: see --scaling.
"""

from collections.abc import Callable
from typing import Any

import keras

from dftk.models.backbones.backbone import Backbone, residual_sums

_ANY = (None, None, 3)


def network(name: str, **options: Any) -> Callable[[str | None, int | None], keras.Model]:
    """Returns the function that makes a network of keras.applications, as Backbone wants it.

    The network takes images of any size: with a fixed size Keras insists on 71 pixels for Xception,
    which the network does not need.

    Args:
      name: of the function in keras.applications.
      **options: of that function.
    """

    def make(weights: str | None, image_size: int | None = None) -> keras.Model:
        del image_size
        maker = getattr(keras.applications, name)
        return maker(include_top=False, weights=weights, input_shape=_ANY, **options)

    return make


def backbone(multilevel: bool, name: str, **options: Any) -> Backbone:
    """Returns a network of keras.applications as a backbone; see catalog.Architecture."""
    return Backbone(network(name, **options), levels=residual_sums if multilevel else None)
