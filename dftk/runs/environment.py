"""The environment of a run: versions, machine, git revision."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def environment(device: str) -> dict[str, Any]:
    """Versions, machine and git revision, for config.json."""
    import keras
    import numpy
    import sklearn
    import tensorflow as tf
    import tensorflow_datasets as tfds

    import dftk
    from dftk.utils import tensorflow_internals

    return {
        "device": device,
        "onednn": tensorflow_internals.onednn_is_enabled(),  # its kernels round differently
        "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores",
        "versions": {
            "dftk": dftk.__version__,
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "tensorflow_datasets": tfds.__version__,
            "numpy": numpy.__version__,
            "scikit_learn": sklearn.__version__,
        },
        "git_revision": git_revision(),
    }


def git_revision() -> str | None:
    """The checkout's revision, with "+changes" if files differ from it; None outside a checkout."""

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(Path(__file__).parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    try:
        if git("ls-files", "--error-unmatch", __file__).returncode:
            return None  # this file is installed inside another project's checkout
        return git("describe", "--always", "--dirty=+changes", "--abbrev=40").stdout.strip() or None
    except FileNotFoundError:  # no git on this machine
        return None
