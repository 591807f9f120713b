"""What makes TensorFlow quick on a CPU, to be called before it is imported.

Its kernels allocate their outputs anew in every step. glibc hands blocks of 32 MB and more back to
Linux, and of threads other than the first every block above 64 MB: each step then waits until it is
given the same pages again, zeroed. And oneDNN's kernels TensorFlow takes by itself only on CPUs
with AVX-512 VNNI or AMX, though they are faster on others too.
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
    """Tells glibc to keep up to 2 GB, in one arena for all threads; whether it did.

    Before threads start. Not with a GPU, where steps allocate there and many threads
    decode; not where MALLOC_* or GLIBC_TUNABLES of the environment say how; and only with glibc.
    """
    told = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if told or mallopt is None or gpu_is_there():
        return False
    values = ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, 2**30), (_TRIM_THRESHOLD, 2**31 - 1))
    return sum(mallopt(*value) for value in values) == len(values)  # 1 where it took it


def gpu_is_there() -> bool:
    """Whether Linux has a GPU's device file: what can be known before TensorFlow is loaded."""
    return any(Path(device).exists() for device in _GPUS)
