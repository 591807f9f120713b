"""Runs one peer in a fresh process: writes its files or times its epochs, prints a JSON line."""

import argparse
import collections
import gc
import importlib
import json
import multiprocessing
import sys
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from loaders import PEERS, Batch, Build, Epoch, Material


def consume(batches: Iterable[Batch]) -> int:
    """Goes through one epoch and touches nothing but the batches' lengths; returns their sum."""
    return sum(len(images) for images, _ in batches)


def first_epoch(build: Build) -> tuple[Epoch, float, int]:
    """Builds the pipeline and runs epoch 0; returns it, the seconds of both, and the images."""
    started = time.perf_counter()
    epoch = build()
    images = consume(epoch(0))
    return epoch, time.perf_counter() - started, images


def run(build: Build, epochs: int, again: bool) -> dict[str, Any]:
    """Times one pipeline from its first epoch on.

    Args:
      build: of the peer.
      epochs: at least 2.
      again: whether to build a second pipeline afterwards and time its first epoch too: that is
        what the folds after the first one pay, in a process that is warm.

    Returns:
      seconds: of each epoch, the first with the pipeline's construction.
      again_s: seconds of the second pipeline's first epoch, None without `again`.
      images: of each timed epoch.
      peak_mb: of this process and its workers, before `again`.
      content: what `inspect` says of one more epoch, which is not timed.
    """
    epoch, cold, count = first_epoch(build)
    seconds, images = [cold], [count]
    for number in range(1, epochs):
        started = time.perf_counter()
        images.append(consume(epoch(number)))
        seconds.append(time.perf_counter() - started)
    result = {"seconds": seconds, "again_s": None, "peak_mb": peak_mb()}
    if again:
        del epoch
        gc.collect()  # the first pipeline's cache and workers go before the second one starts
        epoch, result["again_s"], count = first_epoch(build)
        images.append(count)
    return {**result, "images": images, "content": inspect(epoch(epochs))}


def inspect(batches: Iterable[Batch]) -> dict[str, Any]:
    """What an epoch delivers, told from its pixels.

    Returns:
      images, and how many of them are distinct; dtypes and shapes of an image, channels last;
      batch_size of the largest batch; labels, the number of images by label, sorted; mean pixel
      in [0, 255], or in [0, 1] of floats.
    """
    dtypes, shapes, pixels = set(), set(), set()
    labels: collections.Counter[int] = collections.Counter()
    total, count, largest = 0.0, 0, 0
    for images, targets in batches:
        images = np.asarray(images)
        if images.shape[1] == 3:
            images = np.moveaxis(images, 1, -1)
        dtypes.add(str(images.dtype))
        shapes.add(images.shape[1:])
        largest = max(largest, len(images))
        count += len(images)
        total += float(images.mean(dtype=np.float64)) * len(images)
        # At once: FFCV and DALI write the next batches into the same memory.
        pixels |= {hash(image.tobytes()) for image in images}
        labels.update(int(label) for label in np.asarray(targets).ravel())
    return {
        "images": count,
        "distinct": len(pixels),
        "dtypes": sorted(dtypes),
        "shapes": sorted(shapes),
        "batch_size": largest,
        "labels": sorted(labels.values()),
        "mean": total / count,
    }


def peak_mb() -> float:
    """This process's peak resident memory, and what its live workers hold for themselves alone.

    A forked worker shares most of its pages with this process; they are counted once.
    """
    kib = _memory("status", ("VmHWM",))
    for child in multiprocessing.active_children():
        kib += _memory("smaps_rollup", ("Private_Clean", "Private_Dirty"), child.pid)
    return kib * 1024 / 1e6


def _memory(file: str, names: tuple[str, ...], pid: int | str = "self") -> int:
    """Sum of some lines of a file of /proc, KiB."""
    lines = [line.split() for line in Path("/proc", str(pid), file).read_text().splitlines()]
    return sum(int(line[1]) for line in lines if line[0].rstrip(":") in names)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--material", type=json.loads, required=True, help="Material's fields")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--prepare", action="store_true", help="write the peer's files, no more")
    args = parser.parse_args()
    peer, material = PEERS[args.peer], Material(**args.material)
    try:
        module = importlib.import_module(peer.module)
        if args.prepare:
            write = getattr(module, peer.prepare)(material)
            started = time.perf_counter()
            write()
            result = {"prepare_s": time.perf_counter() - started}
        else:
            build = getattr(module, args.peer)(material)
            result = run(build, args.epochs, again=peer.cold_per == "fold")
    except Exception as error:  # whatever a tool raises becomes its row's reason
        missing = isinstance(error, ModuleNotFoundError)
        if not missing:
            traceback.print_exc()
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        print(json.dumps({"error": f"{reason}; {peer.install}" if missing else reason}))
        return 1
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
