"""The private members of TensorFlow that dftk uses. No other module uses any.

TensorFlow may move or drop a private member in any release. Each function here then does without
it, says on stderr what is lost, and the test of this module names the member.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from dftk.utils.progress import say

_DEVICES = "tensorflow.python.client.device_lib.list_local_devices"
_ONEDNN = "tensorflow.python.util._pywrap_util_port.IsMklEnabled"
_VECTOR_SPACE = "tensorflow.python.eager.backprop._default_vspace"
_REGISTER = "tensorflow.python.pywrap_tfe.TFE_Py_RegisterVSpace"
_ORDER_LOST = (
    "gradients of the same step may differ in their last bits, and so may a run that goes on"
)
LOST_WITHOUT = {
    _DEVICES: "the memory of the GPUs is not known, and --cache=auto does not use it",
    _ONEDNN: "config.json does not say whether oneDNN computed",
    _VECTOR_SPACE: _ORDER_LOST,
    _REGISTER: _ORDER_LOST,
}  # by private member: what dftk does without if TensorFlow no longer has it

Gradient = Any  # tf.Tensor or tf.IndexedSlices
Aggregation = Callable[[Sequence[Gradient]], Gradient]


def find(member: str) -> Any:
    """Returns a private member, or None with a note on stderr.

    Args:
      member: a key of LOST_WITHOUT.
    """
    module, _, name = member.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        import tensorflow as tf

        say(f"note: TensorFlow {tf.__version__} has no {member}: {LOST_WITHOUT[member]}")
        return None


def gpu_memory_limit() -> int | None:
    """Returns how many bytes TensorFlow may use on the smallest GPU of this process.

    The public tf.config.experimental.get_memory_info says what is in use, not what may be.

    Returns:
      None without a GPU, or without the private member.
    """
    if (list_devices := find(_DEVICES)) is None:
        return None
    gpus = [device for device in list_devices() if device.device_type == "GPU"]
    return min((gpu.memory_limit for gpu in gpus), default=None)


def onednn_is_enabled() -> bool | None:
    """Returns whether TensorFlow computes with oneDNN's kernels; None if that is not known.

    Nothing public says what TensorFlow decided by itself from the CPU and the environment.
    """
    is_enabled = find(_ONEDNN)
    return None if is_enabled is None else bool(is_enabled())


def set_gradient_aggregation(
    aggregate: Callable[[Sequence[Gradient], Aggregation], Gradient],
) -> bool:
    """Replaces the function by which every tf.GradientTape of this process sums partial gradients.

    Args:
      aggregate: gets the partial gradients of one tensor and TensorFlow's own function for them;
        returns their sum.

    Returns:
      whether it is in place; without the private members tapes sum as TensorFlow does.
    """
    space, register = find(_VECTOR_SPACE), find(_REGISTER)
    if space is None or register is None:
        return False
    default = space.aggregate_fn
    register(space._replace(aggregate_fn=lambda parts: aggregate(parts, default)))
    return True
