"""Settings that make TensorFlow faster on a CPU. They must be made before it is imported.

TensorFlow's kernels allocate their outputs anew in every step. glibc gives freed blocks of 32 MB
and more back to Linux; in threads other than the first, all those above 64 MB. So each step waits
until Linux has zeroed the same pages and handed them out again.

By default TensorFlow uses oneDNN's kernels only on CPUs with units for low precision (VNNI,
bfloat16, AMX). They were faster on a CPU without such units, too.
"""

import ctypes
import os
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # malloc.h
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def prepare() -> None:
    """Keeps freed memory, and enables oneDNN. Variables of the environment win over either."""
    keep_freed_memory()
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def keep_freed_memory() -> bool:
    """Tells glibc to keep memory that is freed, in one arena for all threads.

    The process then never gets smaller, but for blocks of 1 GB and more. Call this before threads
    start. Nothing is done without glibc, where MALLOC_* or GLIBC_TUNABLES of the environment
    configure malloc, and with a GPU: steps then allocate on the GPU, and many threads decode.

    Returns:
      Whether glibc keeps it.
    """
    is_configured = "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
    is_configured |= any(name.startswith("MALLOC_") for name in os.environ)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if is_configured or mallopt is None or has_gpu():
        return False
    # Some glibc maps all blocks above 32 MB, and refuses the first value. The others would then
    # only keep it from raising its own threshold, so they are not set.
    values = ((_MMAP_THRESHOLD, 2**30), (_ARENA_MAX, 1), (_TRIM_THRESHOLD, 2**31 - 1))
    return all(mallopt(*value) for value in values)  # mallopt returns 1 if it accepts a value


def has_gpu() -> bool:
    """Returns whether Linux has a device file of a GPU: TensorFlow is not loaded yet."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(Path(device).exists() for device in _GPU_DEVICES)
