"""Which devices train, how they share the work, and in which precision."""

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
from dftk.utils.errors import UsageError, UserError
from dftk.utils.progress import say


@dataclasses.dataclass(frozen=True)
class Devices:
    """A tf.distribute strategy, what comes with it, and all in words."""

    strategy: tf.distribute.Strategy
    names: tuple[str, ...]  # of the devices of this worker's replicas
    policy: str
    jit: bool  # compile the base by XLA
    description: str
    memory: int | None  # bytes that TensorFlow may use on the smallest of the GPUs; None without
    worker: int = 0  # index of this process; 0 is the chief, which alone writes
    workers: int = 1  # processes that train one model together

    def replicate(self, array: np.ndarray) -> Any:
        """A copy of the array in each replica's device memory, one value per replica."""

        def copy(context: Any) -> tf.Tensor:  # a tf.distribute ValueContext
            with tf.device(self.names[context.replica_id_in_sync_group - self.local.start]):
                return tf.identity(host)

        with tf.device("CPU:0"):
            host = tf.experimental.dlpack.from_dlpack(array.__dlpack__())  # not copied
        return self.strategy.experimental_distribute_values_from_function(copy)

    @property
    def replicas(self) -> int:
        """Number of devices that train in step, over all workers."""
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
        """The sum of what the workers give, in all of them; each must come here."""
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
        """That all workers come here with the same numbers: else each trains another model.

        Raises:
          UserError: they do not; `what` says what the numbers stand for.
        """
        seen = np.zeros((self.workers, len(numbers)), np.int64)
        seen[self.worker] = numbers
        if (self.sum_over_workers(seen) != seen[self.worker]).any():
            raise UserError(
                f"worker {self.worker} of {self.workers}: not all of them see the same {what}"
            )


def choose(config: Config) -> Devices:
    """Takes all GPUs, or else all logical CPUs: mirrored when there are several.

    With a TF_CONFIG of several workers, those of all of them. Must then come before anything else
    of TensorFlow.

    Raises:
      UsageError: a global batch size below the number of replicas; a TF_CONFIG or --jit=on that
        cannot be.
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
            f"TF_CONFIG: cannot join the other workers ({error.message.splitlines()[0]}); see that "
            "this worker's port is free and all hosts can be reached"
        ) from error


def _on_one_machine(names: Sequence[str]) -> tf.distribute.Strategy:
    if len(names) > 1:
        return tf.distribute.MirroredStrategy(names)
    if "GPU" in names[0]:  # copies batches there ahead of the step
        return tf.distribute.OneDeviceStrategy(names[0])
    return tf.distribute.get_strategy()


def choose_jit(config: Config, replicas: int) -> bool:
    """Whether XLA compiles the base: where it is faster, and can be.

    Raises:
      UsageError: asked for where it cannot be.
    """
    # Statistics of BatchNorm over all replicas are a collective, which XLA cannot hold.
    collective = replicas > 1 and config.base_batchnorm == "update"
    if config.jit == "on" and collective:
        raise UsageError(
            f"--jit=on: not with --base_batchnorm=update on {replicas} replicas, whose BatchNorm "
            "is synchronised in the base; give --jit=off"
        )
    gpu = bool(tf.config.list_physical_devices("GPU"))
    return config.jit == "on" or (config.jit == "auto" and gpu and not collective)


def choose_precision(mixed: bool) -> tuple[str, str]:
    """Returns the Keras dtype policy and the reason for it, in words."""
    if not mixed:
        return "float32", "float32"
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        major, minor = details.get("compute_capability", (0, 0))
        if major >= 8:  # Ampere brought bfloat16 tensor cores
            return "mixed_bfloat16", f"mixed bfloat16 (compute capability {major}.{minor})"
        return "mixed_float16", f"mixed float16 (compute capability {major}.{minor}: no bfloat16)"
    # Without these instructions bfloat16 is emulated, and float16 always is (half the speed).
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
