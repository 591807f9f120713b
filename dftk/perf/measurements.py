"""What was measured of a run: plain values without TensorFlow, for the diagnosis and the tables."""

import dataclasses
from collections.abc import Sequence

FIRST_PASS = ("read", "parse", "decode", "batch")  # from the files to where pixels are kept
STAGES = (*FIRST_PASS, "cache", "transfer", "augment", "step")


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage on the way from a file to a training step.

    Attributes:
      stage: its name, one of STAGES or "head".
      img_per_s: images per second of the path from its start through this stage.
      own_s: seconds per image that this stage adds to its path.
      ceiling: name of the rate that the stage is compared with.
      ceiling_img_per_s: that rate, in images per second.
    """

    stage: str
    img_per_s: float
    own_s: float
    ceiling: str
    ceiling_img_per_s: float


@dataclasses.dataclass(frozen=True)
class Measurements:
    """All measurements of a run. Times are seconds per image unless said otherwise.

    With --frozen_features=cached the stage "step" makes features, once for all runs, and `head`
    trains on them.

    Attributes:
      stages: in the order of STAGES.
      residency: where pixels are kept: none, ram, device or disk.
      on_accelerator: whether input and step run side by side; on a CPU they share its cores.
      images: number of training images of the run.
      first_pass_s: seconds from the files to where pixels are kept, for all images.
      visits: how often each image passes through all stages in the run.
      step_s: time of training on one batch repeated.
      real_s: time of training on real input.
      input_wait: fraction of real_s that steps wait for input.
      double_batch_s: time of training on one batch of twice the size.
      ram_s: time of making batches from RAM.
      raw_s: time of reading raw pixels at the speed of this machine's storage.
      batch_size: global batch size.
      parallelism: parameters of the decoding pipeline: ours, and what tf.data's autotuner chooses.
      head: training of the head on cached features, or None.
      head_visits: how often the head sees each image in the run.
    """

    stages: Sequence[Stage]
    residency: str
    on_accelerator: bool
    images: int
    first_pass_s: float
    visits: float
    step_s: float
    real_s: float
    input_wait: float
    double_batch_s: float
    ram_s: float
    raw_s: float
    batch_size: int
    parallelism: dict[str, dict[str, float]]
    head: Stage | None = None
    head_visits: float = 0.0

    @property
    def steps_s(self) -> float:
        """Seconds of all steps of the run."""
        return self.images * self.visits * self.real_s

    @property
    def head_s(self) -> float:
        """Seconds of all training of the head on cached features."""
        return self.images * self.head_visits * self.head.own_s if self.head else 0.0

    @property
    def input_s(self) -> float:
        """Seconds per image of making batches and bringing them to the device."""
        return 1 / self.stage("transfer").img_per_s

    def stage(self, name: str) -> Stage:
        """Returns the stage of that name."""
        return self.stages[STAGES.index(name)]
