"""What makes TensorFlow quick on a CPU, to be called before it is imported.

Its kernels allocate their outputs anew in every step. glibc hands blocks of 32 MB and more back to
Linux, and of threads other than the first every block above 64 MB: each step then waits until it is
given the same pages again, zeroed. And oneDNN's kernels TensorFlow takes by itself only where a CPU
has units for low precision (VNNI, bfloat16, AMX); they were faster where it has none.
"""

import ctypes
import os
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of malloc.h
_GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def prepare() -> None:
    """Freed memory is kept, and oneDNN used; what the environment says of either holds."""
    keep_freed_memory()
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def keep_freed_memory() -> bool:
    """Tells glibc to keep what is freed, in one arena for all threads; whether it did.

    The process then stays as large as it ever was, but for blocks of 1 GB and more. To be called
    before threads start. Not with a GPU, where steps allocate there and many threads decode; not
    where MALLOC_* or GLIBC_TUNABLES of the environment say how; and only with glibc.
    """
    told = "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
    told |= any(name.startswith("MALLOC_") for name in os.environ)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if told or mallopt is None or gpu_is_there():
        return False
    # The first is refused by a glibc that maps what is above 32 MB whatever it is told: the others
    # would then only keep it from raising its own threshold.
    values = ((_MMAP_THRESHOLD, 2**30), (_ARENA_MAX, 1), (_TRIM_THRESHOLD, 2**31 - 1))
    return all(mallopt(*value) for value in values)  # 1 where it took it


def gpu_is_there() -> bool:
    """Whether Linux has a GPU's device file: what can be known before TensorFlow is loaded."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(Path(device).exists() for device in _GPUS)
