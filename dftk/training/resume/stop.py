"""Whether a signal asked this run to stop: a question put between two calls, to all workers."""

import dataclasses

import numpy as np

from dftk.training.devices.devices import Devices
from dftk.training.resume.interruption import Interrupted, Interruption


@dataclasses.dataclass(frozen=True)
class StopIfAsked:
    """Asks when it is called; every worker has to call it as often as the others."""

    devices: Devices
    interruption: Interruption = dataclasses.field(default_factory=Interruption)

    def __call__(self) -> None:
        """Raises Interrupted where a signal came to this or another worker."""
        number, devices = self.interruption.number, self.devices
        if devices.workers > 1:
            heard = np.zeros(devices.workers, np.int32)
            heard[devices.worker] = number
            number = int(devices.sum_over_workers(heard).max())
        if number:
            raise Interrupted("stopped by a signal; the same command begins this anew", number)
