"""Scores image files in order and in bounded memory; decoding runs beside the forward pass."""

import collections
import concurrent.futures
import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from dftk.images import reading
from dftk.images.image_files import UnreadableImage
from dftk.images.reading import MAX_PIXELS, ImageFile
from dftk.inference.batch_scoring import (
    FORWARD_PIXELS,
    BatchScorer,
    Prediction,
    Prepared,
    ResizedImage,
)
from dftk.runs.saved_models import Ensemble
from dftk.utils import limits, threads
from dftk.utils.progress import Throughput

BATCH_SIZE = 32  # on a CPU Xception took as long per image with 64, and half as long again with 8
_READERS = 4  # threads beside those that decode, for disks that answer late
_QUEUED_BATCHES = 2  # one is scored, and the next one is ready


def score_files(
    ensemble: Ensemble,
    found: Iterable[Path | UnreadableImage],
    batch_size: int = BATCH_SIZE,
    max_pixels: int = MAX_PIXELS,
    speed: Throughput | None = None,
) -> Iterator[Prediction | UnreadableImage]:
    """Scores files in the order they come.

    Threads read and decode the next files while the models work on a batch. Images of many sizes
    share batches: each is resized by itself, as the model would. Memory is bounded by `batch_size`
    and the number of cores, whatever the number of files.

    Args:
      ensemble: the models.
      found: paths and unreadable images, as find_images yields them.
      batch_size: images of a forward pass.
      max_pixels: a file whose header says more is refused before it is decoded.
      speed: counts batches, seconds and waiting for input.

    Yields:
      one result for each item of `found`; unreadable images are passed through.

    Raises:
      UserError: out of memory.
    """
    scorer = BatchScorer(ensemble, speed or Throughput())

    def prepare(item: Path | UnreadableImage) -> Prepared | UnreadableImage:
        file = reading.read(item, max_pixels) if isinstance(item, Path) else item
        return scorer.prepare(file) if isinstance(file, ImageFile) else file

    workers = limits.cores() + _READERS
    forward = concurrent.futures.ThreadPoolExecutor(1)
    queued: collections.deque[concurrent.futures.Future[list[Prediction | UnreadableImage]]]
    queued = collections.deque()
    try:
        with contextlib.closing(
            threads.in_order(prepare, found, workers, batch_size + 2 * workers)
        ) as prepared:
            for batch in _batches(prepared, batch_size):
                queued.append(forward.submit(scorer.score, batch))
                if len(queued) > _QUEUED_BATCHES:
                    yield from queued.popleft().result()
        while queued:
            yield from queued.popleft().result()
    finally:  # also when the consumer stops early
        forward.shutdown(cancel_futures=True)


def _batches(
    items: Iterable[Prepared | UnreadableImage], batch_size: int
) -> Iterator[list[Prepared | UnreadableImage]]:
    """Groups items into batches; unreadable images do not count, but are not held up for long."""
    batch: list[Prepared | UnreadableImage] = []
    images = pixels = 0
    for item in items:
        batch.append(item)
        images += not isinstance(item, UnreadableImage)
        pixels += _pixels_to_resize(item)
        if images == batch_size or len(batch) >= 4 * batch_size or pixels >= FORWARD_PIXELS:
            yield batch
            batch, images, pixels = [], 0, 0
    if batch:
        yield batch


def _pixels_to_resize(item: Prepared | UnreadableImage) -> int:
    """Pixels of the image that the forward pass has yet to resize."""
    if isinstance(item, ImageFile):
        return item.num_pixels
    if isinstance(item, UnreadableImage | ResizedImage):
        return 0
    return item.pixels.shape[0] * item.pixels.shape[1]
