"""Every network that a detector can be built on: the one place to add another.

No TensorFlow here: flags, their help and their defaults come from this table, too.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

# Everything is trained, on squares of the image as it was stored, without resizing: the traces of a
# generator lie in single pixels.
NATIVE_PIXELS: dict[str, Any] = {
    "image_size": 256,
    "crop_size": 128,
    "augment_colour": False,
    "frozen_epochs": 0,
    "base_batchnorm": "update",
    "head_batchnorm": "precise",
    "warmup": 150,
    "decay": "cosine",
    "keep": "last",
}
# A head that sees every level of a network: logistic regression on features computed once.
MULTILEVEL: dict[str, Any] = {
    "head": "linear",
    "augment": False,
    "l2": 0.01,
    "dropout": 0.0,
    "frozen_features": "cached",
    "finetune_epochs": 0,
    "head_batchnorm": "precise",
    "decay": "cosine",
    "keep": "last",
}
# A head that is fitted on real images alone, in one pass over features of unchanged images.
FITTED: dict[str, Any] = {
    "frozen_features": "cached",
    "frozen_epochs": 1,
    "finetune_epochs": 0,
    "augment": False,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network without its top.

    Attributes:
      module: in this package, with a function `backbone(multilevel, **arguments)` that returns a
        Backbone.
      arguments: of that function.
      pretrained: whether the network has ImageNet weights; if not, it is trained from scratch.
      weights_file: name of Keras's file of ImageNet weights, for those who copy it by hand; "" if
        there is no such file.
      size_multiple: the network takes images of one size only, a multiple of this; 0 takes any.
      multilevel: whether NAME_multilevel, whose head sees every level, is a model, too.
      defaults: values of flags that this network changes, by flag; see dftk.training.config.
    """

    module: str
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pretrained: bool = False
    weights_file: str = ""
    size_multiple: int = 0
    multilevel: bool = True
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)


ARCHITECTURES: dict[str, Architecture] = {
    "xception": Architecture(
        module="applications",
        arguments={"name": "Xception"},
        pretrained=True,
        weights_file="xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    "mobilenetv2": Architecture(
        module="applications",
        arguments={"name": "MobileNetV2"},
        pretrained=True,
        weights_file="mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    ),
    "resnet50v2": Architecture(
        module="applications",
        arguments={"name": "ResNet50V2"},
        pretrained=True,
        weights_file="resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    "efficientnetv2b0": Architecture(
        module="applications",
        arguments={"name": "EfficientNetV2B0", "include_preprocessing": False},
        pretrained=True,
        weights_file="efficientnetv2-b0_notop.h5",
        defaults={"scaling": "imagenet"},
    ),
    "convnext_tiny": Architecture(
        module="applications",
        arguments={"name": "ConvNeXtTiny", "include_preprocessing": False},
        pretrained=True,
        weights_file="convnext_tiny_notop.h5",
        defaults={"scaling": "imagenet"},
    ),
    "vit": Architecture(
        module="vit",
        pretrained=True,  # KerasHub has the weights
        size_multiple=16,  # each patch is known by its place
        defaults={"scaling": "imagenet"},
    ),
    "cnn": Architecture(
        module="cnn",
        size_multiple=1,  # its head sees every place
        multilevel=False,
        defaults={
            "head": "hidden",
            "weights": "none",
            "image_size": 256,
            "frozen_epochs": 0,
            "finetune_lr": 3e-4,
        },
    ),
    "residual": Architecture(
        module="residual",
        multilevel=False,
        defaults={
            **NATIVE_PIXELS,
            "head": "linear",
            "weights": "none",
            "finetune_epochs": 20,
            "finetune_lr": 2e-3,
        },
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """What --model names: an architecture and what its head sees of it.

    Attributes:
      architecture: a key of ARCHITECTURES.
      multilevel: the head sees every level.
      defaults: values of flags that this model changes, by flag.
    """

    architecture: str
    multilevel: bool = False
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def backbone(self) -> str:
        """Name of the network with its outputs: models of one backbone share features."""
        return f"{self.architecture}_multilevel" if self.multilevel else self.architecture


def _models() -> dict[str, Model]:
    models = {
        name: Model(architecture=name, defaults=entry.defaults)
        for name, entry in ARCHITECTURES.items()
    }
    models |= {
        f"{name}_multilevel": Model(
            architecture=name, multilevel=True, defaults={**entry.defaults, **MULTILEVEL}
        )
        for name, entry in ARCHITECTURES.items()
        if entry.multilevel
    }
    models["anomaly"] = Model(
        architecture="xception", multilevel=True, defaults={"head": "pca", **FITTED}
    )
    return models


MODELS: dict[str, Model] = _models()
PRETRAINED = tuple(name for name, entry in ARCHITECTURES.items() if entry.pretrained)
