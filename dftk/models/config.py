"""What decides a detector, as flags; no TensorFlow here."""

import dataclasses
from typing import Protocol

from dftk.models.backbones.catalog import ARCHITECTURES, FITTED, MODELS, MULTILEVEL, PRETRAINED
from dftk.utils.option import as_words, option

THRESHOLD = 0.5  # an image is called fake when its probability of fake is at least this
ONE_CLASS_HEADS = ("mahalanobis", "pca", "forest")  # fitted on real images alone
HEADS_WITH_BATCHNORM = ("dense", "linear")


def _brought(model: str) -> str:
    return as_words(MODELS[model].defaults)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network below the head. The fields are documented by their help texts."""

    name: str = option(
        "xception",
        f"The network. {', '.join(PRETRAINED)}: networks with ImageNet weights; vit is DeiT's "
        "ViT-S/16, needs `pip install -e '.[vit]'` and takes images of one size. NAME_multilevel: "
        "the same network, whose head sees the mean after every residual block and of the last "
        f"activation and is, by default, all that is trained ({as_words(MULTILEVEL)}). anomaly: "
        f"xception_multilevel that learns from real images alone ({_brought('anomaly')}). cnn: "
        "four stages of convolution and pooling and a dense layer, trained from scratch "
        f"({_brought('cnn')}). residual: a small network on differences of neighbouring pixels, "
        f"trained from scratch ({_brought('residual')}).",
        choices=tuple(MODELS),
        flag="model",
    )
    weights: str = option(
        "imagenet", "Weights of the network: imagenet, none, or a Keras .weights.h5 file."
    )
    image_size: int = option(
        224,
        "Height and width in pixels of the image that the network sees. Images are resized on the "
        "device.",
        low=32,
    )
    scaling: str = option(
        "symmetric",
        "Range of the pixels that the network sees. symmetric: [-1, 1], which Xception, "
        "MobileNetV2 and ResNet50V2 were trained on. imagenet: less the mean and over the standard "
        "deviation of ImageNet's channels, which the others were trained on and have as default. "
        "unit: [0, 1].",
        choices=("symmetric", "imagenet", "unit"),
    )
    freeze_blocks: int = option(
        0,
        "Number of blocks, counted from the image, that stay frozen in phase 2, too. A block ends "
        "with each residual sum: Xception has 13, MobileNetV2 11, vit two for each of its own.",
        low=0,
    )
    batchnorm_momentum: float = option(
        0.99, "Momentum of the base's BatchNorm statistics, when they are updated.", low=0.0
    )

    @property
    def backbone(self) -> str:
        """Name of the network with its outputs: models of one backbone share features."""
        return MODELS[self.name].backbone

    @property
    def size_multiple(self) -> int:
        """The network takes images of one size, a multiple of this; 0 if it takes any size."""
        return ARCHITECTURES[MODELS[self.name].architecture].size_multiple

    @property
    def from_scratch(self) -> bool:
        """Whether the network has no ImageNet weights."""
        return not ARCHITECTURES[MODELS[self.name].architecture].pretrained


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """The layers from features to the logit. The fields are documented by their help texts."""

    kind: str = option(
        "dense",
        "The layers from features to the logit. dense: the notebook's two layers of 256 and 128 "
        "units with BatchNorm. hidden: one layer of 128 units. linear: logistic regression on "
        "standardised features. Three heads are fitted on real images alone and measure how far "
        "features lie from theirs. mahalanobis: a distance in their first 256 principal "
        "components. pca: the part that these components leave out. forest: how easily trees "
        f"isolate the features. These three need {as_words(FITTED)}.",
        choices=("dense", "hidden", "linear", *ONE_CLASS_HEADS),
        flag="head",
    )
    fakes_lie: str = option(
        "inside",
        "For a head that is fitted on real images. inside: fakes lie nearer to the middle of the "
        "real images than these themselves, as images of generators do that keep to what is "
        "common. outside: fakes lie farther away. Real images cannot tell which; the default was "
        "chosen by looking at RVF10K's fakes.",
        choices=("inside", "outside"),
    )
    dropout: float = option(0.3, "Dropout rate of the head.", low=0.0)
    l2: float = option(1e-4, "L2 penalty on the head's kernels.", low=0.0)
    batchnorm: str = option(
        "moving",
        "Statistics that the head's BatchNorm uses once it is trained. moving: averages over the "
        "batches of training. precise: mean and variance over up to 512 whole training images "
        "without augmentation, measured after each epoch (arXiv:2105.07576). The two differ if "
        "training sees crops.",
        choices=("moving", "precise"),
        flag="head_batchnorm",
    )

    @property
    def is_fitted(self) -> bool:
        """Whether the head is fitted on real images alone, not trained."""
        return self.kind in ONE_CLASS_HEADS


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """The augmentation of training images. The fields are documented by their help texts."""

    enabled: bool = option(
        True,
        "Augment training images on the device: flip, brightness 0.2, contrast and saturation "
        "0.8-1.2, hue 0.05.",
        flag="augment",
    )
    colour: bool = option(True, "Augment colours. false: flip only.", flag="augment_colour")
    compression: bool = option(
        False,
        "Also blur one image in two, and send one in two through JPEG of quality 50 to 100.",
        flag="augment_compression",
    )
    crop_size: int = option(
        0,
        "Height and width in pixels of the square that training sees, drawn anew in every epoch "
        "from the image as resized to --image_size. Scoring sees the whole image. 0: training "
        "sees the whole image, too.",
        low=0,
        flag="crop_size",
    )


class DetectorConfig(Protocol):
    """The part of a run's config that a detector is built from."""

    @property
    def model(self) -> ModelConfig:
        """The network."""

    @property
    def head(self) -> HeadConfig:
        """The layers behind it."""

    @property
    def seed(self) -> int:
        """Seed of the initial weights and of dropout."""
