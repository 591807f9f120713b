"""Which devices train, how they share the work, and in which precision."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.client import device_lib  # the only place that tells a device's memory

from dftk.config import Config, UsageError


@dataclasses.dataclass(frozen=True)
class Devices:
    """A tf.distribute strategy, the dtype policy for it, and both in words."""

    strategy: tf.distribute.Strategy
    names: tuple[str, ...]  # of the replicas' devices
    policy: str
    description: str
    memory: int | None  # bytes that TensorFlow may use on the smallest of the GPUs; None without

    def replicate(self, array: np.ndarray) -> Any:
        """A copy of the array in each replica's device memory, one value per replica."""

        def copy(context: Any) -> tf.Tensor:  # a tf.distribute ValueContext
            with tf.device(self.names[context.replica_id_in_sync_group]):
                return tf.identity(host)

        with tf.device("CPU:0"):
            host = tf.experimental.dlpack.from_dlpack(array.__dlpack__())  # not copied
        return self.strategy.experimental_distribute_values_from_function(copy)

    @property
    def replicas(self) -> int:
        """Number of devices that train in step."""
        return self.strategy.num_replicas_in_sync


def choose(config: Config) -> Devices:
    """Takes all GPUs, or else all logical CPUs: mirrored when there are several.

    Raises:
      UsageError: a global batch size below the number of replicas.
    """
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    names = tuple(device.name for device in devices)
    if len(devices) > 1:
        strategy = tf.distribute.MirroredStrategy(names)
    elif devices[0].device_type == "GPU":  # copies batches there ahead of the step
        strategy = tf.distribute.OneDeviceStrategy(names[0])
    else:
        strategy = tf.distribute.get_strategy()
    if config.batch_size < len(devices):
        raise UsageError(
            f"--batch_size={config.batch_size}: less than one example for each of the "
            f"{len(devices)} replicas; it is the global batch size, over all of them"
        )
    policy, precision = choose_precision(config.mixed_precision)
    description = f"{len(devices)} x {_name(devices[0])}, {precision}"
    return Devices(strategy, names, policy, description, _gpu_memory())


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
    found = device_lib.list_local_devices()
    return min(device.memory_limit for device in found if device.device_type == "GPU")


def _name(device: tf.config.LogicalDevice) -> str:
    if device.device_type != "GPU":
        return "CPU"
    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    return details.get("device_name", "GPU")


def optimizer(learning_rate: float, policy: str) -> keras.optimizers.Optimizer:
    """Adam; with loss scaling where gradients are float16."""
    adam = keras.optimizers.Adam(learning_rate)
    return keras.optimizers.LossScaleOptimizer(adam) if policy == "mixed_float16" else adam
