"""What all folds of a run share."""

import dataclasses

from dftk.input.residency import Examples
from dftk.models.registry import Detector
from dftk.training.config import Config
from dftk.training.devices.devices import Devices
from dftk.training.step.forward_pass import ForwardPass
from dftk.training.step.loop import BatchImages
from dftk.training.step.stop_check import StopCheck


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingContext:
    """What all folds of a run share: the data, the one model and its compiled forward pass.

    Attributes:
      config: of the run.
      devices: that train.
      detector: built in the scope of the devices' strategy.
      examples: all of `train`.
      images: of the examples, for compiled functions.
      forward: the forward pass of the detector.
      check_stop: raises Interrupted if a signal came; called often, between compiled calls.
    """

    config: Config
    devices: Devices
    detector: Detector
    examples: Examples
    images: BatchImages
    forward: ForwardPass
    check_stop: StopCheck

    @classmethod
    def create(
        cls,
        *,
        config: Config,
        devices: Devices,
        detector: Detector,
        examples: Examples,
        images: BatchImages | None = None,
        check_stop: StopCheck | None = None,
    ) -> "TrainingContext":
        """Returns the context of a run, with the parts that are not given.

        Without `check_stop` nothing stops the run.
        """
        images = images or BatchImages(devices, examples)
        return cls(
            config=config,
            devices=devices,
            detector=detector,
            examples=examples,
            images=images,
            forward=ForwardPass(detector, devices, images),
            check_stop=check_stop or StopCheck(devices),
        )
