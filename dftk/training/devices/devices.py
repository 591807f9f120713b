"""The devices that train, how they share the work, and in which precision they compute."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dftk.training.config import Config
from dftk.training.devices import cluster
from dftk.training.resume.interruption import end_at_ctrl_c
from dftk.utils import tensorflow_internals
from dftk.utils.errors import UsageError, UserError, first_line
from dftk.utils.progress import say


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of a run.

    Attributes:
      strategy: of tf.distribute.
      names: of the devices of this worker's replicas.
      policy: Keras dtype policy of the base.
      jit: whether XLA compiles the base.
      description: all of this in words, for config.json.
      memory: bytes that TensorFlow may use on the smallest GPU; None without a GPU.
      worker: index of this process; 0 is the chief, and only the chief writes.
      workers: number of processes that train one model together.
    """

    strategy: tf.distribute.Strategy
    names: tuple[str, ...]
    policy: str
    jit: bool
    description: str
    memory: int | None
    worker: int = 0
    workers: int = 1

    def replicate(self, array: np.ndarray) -> Any:
        """Copies an array into the device memory of each replica; returns a PerReplica value."""

        def copy(context: Any) -> tf.Tensor:  # a tf.distribute ValueContext
            with tf.device(self.names[context.replica_id_in_sync_group - self.local.start]):
                return tf.identity(host)

        with tf.device("CPU:0"):
            host = tf.experimental.dlpack.from_dlpack(array.__dlpack__())  # not copied
        return self.strategy.experimental_distribute_values_from_function(copy)

    @property
    def replicas(self) -> int:
        """Number of devices that make each step together, over all workers."""
        return self.strategy.num_replicas_in_sync

    @property
    def local(self) -> range:
        """Indices of this worker's replicas."""
        return range(self.worker * len(self.names), (self.worker + 1) * len(self.names))

    @property
    def chief(self) -> bool:
        """Whether this process writes."""
        return self.worker == 0

    def sum_over_workers(self, array: np.ndarray) -> np.ndarray:
        """Returns the sum of all workers' arrays, in each of them. All workers have to call it."""
        if self.workers == 1:
            return array
        zeros = np.zeros_like(array)
        values = self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(
                array if context.replica_id_in_sync_group == self.local.start else zeros
            )
        )
        return self.strategy.reduce("SUM", values, axis=None).numpy()

    def require_same(self, numbers: Sequence[int], what: str) -> None:
        """Requires that all workers have the same numbers. Else each would train another model.

        Args:
          numbers: of this worker.
          what: the numbers stand for, for the error.

        Raises:
          UserError: they have not.
        """
        by_worker = np.zeros((self.workers, len(numbers)), np.int64)
        by_worker[self.worker] = numbers
        if (self.sum_over_workers(by_worker) != by_worker[self.worker]).any():
            raise UserError(
                f"worker {self.worker} of {self.workers}: not all of them see the same {what}"
            )


def choose(config: Config) -> Devices:
    """Takes all GPUs, or all logical CPUs if there is none; several are mirrored.

    With a TF_CONFIG of several workers it takes the devices of all of them. It must then be the
    first use of TensorFlow.

    Args:
      config: batch_size, mixed_precision, jit and base_batchnorm.

    Raises:
      UsageError: a global batch size below the number of replicas; a TF_CONFIG or --jit=on that
        cannot be used.
      UserError: the other workers cannot be joined.
    """
    worker, workers = cluster.find_worker(os.environ)
    if workers > 1:
        say(f"worker {worker} of {workers}: waiting for all in TF_CONFIG={os.environ['TF_CONFIG']}")
        strategy: tf.distribute.Strategy = _over_workers()
        names = tuple(strategy.extended.worker_devices)
    else:
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        names = tuple(device.name for device in devices)
        strategy = _on_one_machine(names)
    replicas = strategy.num_replicas_in_sync
    if config.batch_size < replicas:
        raise UsageError(
            f"--batch_size={config.batch_size}: less than one example for each of the "
            f"{replicas} replicas; it is the global batch size, over all of them"
        )
    policy, precision = choose_precision(config.mixed_precision)
    jit = choose_jit(config, replicas)
    machines = f" on {workers} workers" if workers > 1 else ""
    words = f"{replicas} x {_name()}{machines}, {precision}{', XLA' if jit else ''}"
    return Devices(strategy, names, policy, jit, words, _gpu_memory(), worker, workers)


def _over_workers() -> tf.distribute.MultiWorkerMirroredStrategy:
    try:
        with end_at_ctrl_c():
            return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise UserError(
            f"TF_CONFIG: cannot join the other workers ({first_line(error)}); see that "
            "this worker's port is free and all hosts can be reached"
        ) from error


def _on_one_machine(names: Sequence[str]) -> tf.distribute.Strategy:
    if len(names) > 1:
        return tf.distribute.MirroredStrategy(names)
    if "GPU" in names[0]:  # copies batches there ahead of the step
        return tf.distribute.OneDeviceStrategy(names[0])
    return tf.distribute.get_strategy()


def choose_jit(config: Config, replicas: int) -> bool:
    """Returns whether XLA compiles the base. By default it does on GPUs, where that is faster.

    Raises:
      UsageError: --jit=on where XLA cannot compile the base.
    """
    # BatchNorm statistics over all replicas are a collective, which XLA cannot compile.
    collective = replicas > 1 and config.base_batchnorm == "update"
    if config.jit == "on" and collective:
        raise UsageError(
            f"--jit=on: not with --base_batchnorm=update on {replicas} replicas, whose BatchNorm "
            "is synchronised in the base; give --jit=off"
        )
    gpu = bool(tf.config.list_physical_devices("GPU"))
    return config.jit == "on" or (config.jit == "auto" and gpu and not collective)


def choose_precision(mixed: bool) -> tuple[str, str]:
    """Returns the Keras dtype policy and the reason for it, in words.

    Args:
      mixed: whether half precision is asked for.
    """
    if not mixed:
        return "float32", "float32"
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        major, minor = details.get("compute_capability", (0, 0))
        if major >= 8:  # Ampere brought bfloat16 tensor cores
            return "mixed_bfloat16", f"mixed bfloat16 (compute capability {major}.{minor})"
        return "mixed_float16", f"mixed float16 (compute capability {major}.{minor}: no bfloat16)"
    # Without these instructions bfloat16 is emulated. float16 always is, at half the speed.
    flags = set(Path("/proc/cpuinfo").read_text().split())
    for flag in ("amx_bf16", "avx512_bf16"):
        if flag in flags:
            return "mixed_bfloat16", f"mixed bfloat16 ({flag})"
    return "float32", "float32: --mixed_precision gains nothing, this CPU has no bfloat16 unit"


def _gpu_memory() -> int | None:
    if not tf.config.list_logical_devices("GPU"):
        return None
    return tensorflow_internals.gpu_memory_limit()


def _name() -> str:
    if not (gpus := tf.config.list_physical_devices("GPU")):
        return "CPU"
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
