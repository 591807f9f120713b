"""Shares of one machine for processes that run side by side."""

import dataclasses
from collections.abc import Mapping, Sequence

from dftk.utils import limits


@dataclasses.dataclass(frozen=True)
class MachineShare:
    """What one of several processes may use of a machine.

    Attributes:
      environment: variables that say so to TensorFlow and to dftk.utils.limits.
      cores: of the CPU.
    """

    environment: Mapping[str, str]
    cores: Sequence[int]


def split_machine(processes: int, gpus: Sequence[str], cores: Sequence[int]) -> list[MachineShare]:
    """Splits a machine among processes.

    Args:
      processes: number of processes that run at once.
      gpus: as CUDA_VISIBLE_DEVICES names them. Each process gets one, in turn; if there are fewer
        GPUs than processes, several processes share one.
      cores: of the CPU. They are dealt out evenly; if there are fewer cores than processes,
        several processes share one.
    """
    shares = []
    for index in range(processes):
        environment = {limits.SIBLINGS: str(processes)}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
        if processes > len(gpus) > 0:  # else the first process takes all memory of its GPU
            environment["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
        shares.append(
            MachineShare(environment, cores[index::processes] or [cores[index % len(cores)]])
        )
    return shares
