"""Stopping all workers of a run when a signal came to one of them."""

import dataclasses

import numpy as np

from dftk.training.devices.devices import Devices
from dftk.training.resume.interruption import Interrupted, StopRequest


@dataclasses.dataclass(frozen=True)
class StopCheck:
    """Asks all workers for a stop request. Each worker has to call it equally often.

    Attributes:
      devices: of the run.
      request: of this process.
    """

    devices: Devices
    request: StopRequest = dataclasses.field(default_factory=StopRequest)

    def __call__(self) -> None:
        """Raises Interrupted if a signal came to this or another worker."""
        number, devices = self.request.number, self.devices
        if devices.workers > 1:
            by_worker = np.zeros(devices.workers, np.int32)
            by_worker[devices.worker] = number
            number = int(devices.sum_over_workers(by_worker).max())
        if number:
            raise Interrupted("stopped by a signal; the same command begins this anew", number)
