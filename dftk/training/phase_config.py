"""The flags of one phase of the schedule; no TensorFlow here."""

import dataclasses

from dftk.utils.option import option


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhaseConfig:
    """The schedule of one phase. The fields are documented by their help texts."""

    epochs: int = option(0, "Epochs of {phase}.", low=0)
    lr: float = option(1e-3, "Learning rate of {phase}.", low=0.0)
    stop: int = option(10, "Number of epochs without a better val_loss that end {phase}.", low=1)
    plateau: int = option(
        4,
        "Number of epochs without a better val_loss after which the learning rate is multiplied by "
        "--lr_factor, in {phase}.",
        low=1,
    )
