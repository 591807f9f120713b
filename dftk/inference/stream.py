"""Image files -> probabilities, in order, in bounded memory, decoding beside the forward pass."""

import collections
import concurrent.futures
import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from dftk.images import reading
from dftk.images.image_files import FileScore
from dftk.images.reading import MAX_PIXELS, Image, Packed
from dftk.inference.networks import FORWARD_PIXELS, Networks
from dftk.runs.saved_models import Ensemble
from dftk.utils import limits, threads
from dftk.utils.progress import Throughput

BATCH_SIZE = 32  # on a CPU Xception took as long per image with 64, and half as long again with 8
_READERS = 4  # threads beside those that decode, for disks that answer late
_QUEUED = 2  # batches at the forward pass: one runs, the next one is ready

_Item = FileScore | Image | Packed


def score_files(
    ensemble: Ensemble,
    found: Iterable[FileScore | Path],
    batch_size: int = BATCH_SIZE,
    max_pixels: int = MAX_PIXELS,
    speed: Throughput | None = None,
) -> Iterator[FileScore]:
    """Scores files in the order they come; one that cannot be read yields its error.

    Threads read and decode the next files while the networks work on a batch. Images of many
    sizes share batches: each is resized by itself, as the model would. Memory is bounded by
    `batch_size` and the number of cores, whatever the number of files.

    Args:
      ensemble: detectors.
      found: paths, and errors to hand through, as find_images yields them.
      batch_size: images of a forward pass.
      max_pixels: a file that says it has more is refused before it is decoded.
      speed: counts batches, seconds and waiting for input.

    Raises:
      UserError: out of memory.
    """
    networks = Networks(ensemble, speed or Throughput())

    def load(item: FileScore | Path) -> _Item:
        file = reading.read(item, max_pixels) if isinstance(item, Path) else item
        return networks.prepare(file) if isinstance(file, Packed) else file

    workers = limits.cores() + _READERS
    forward = concurrent.futures.ThreadPoolExecutor(1)
    queued: collections.deque[concurrent.futures.Future[list[FileScore]]] = collections.deque()
    try:
        with contextlib.closing(
            threads.in_order(load, found, workers, batch_size + 2 * workers)
        ) as loaded:
            for group in _groups(loaded, batch_size):
                queued.append(forward.submit(networks.score, group))
                if len(queued) > _QUEUED:
                    yield from queued.popleft().result()
        while queued:
            yield from queued.popleft().result()
    finally:  # a consumer that stops early, too
        forward.shutdown(cancel_futures=True)


def _groups(items: Iterable[_Item], batch_size: int) -> Iterator[list[_Item]]:
    """Items up to a batch of images; errors ride along, but hold nothing up for long."""
    group: list[_Item] = []
    images = pixels = 0
    for item in items:
        group.append(item)
        images += not isinstance(item, FileScore)
        pixels += _held(item)
        if images == batch_size or len(group) >= 4 * batch_size or pixels >= FORWARD_PIXELS:
            yield group
            group, images, pixels = [], 0, 0
    if group:
        yield group


def _held(item: _Item) -> int:
    """Pixels that the forward pass gets of it, not yet resized."""
    if isinstance(item, Packed):
        return item.size
    if isinstance(item, FileScore) or item.pixels is None:
        return 0
    return item.pixels.shape[0] * item.pixels.shape[1]
