"""The ladder's stages on the host: from the files to a batch."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.input import pipeline, raw_file, residency
from dftk.input.shards import Shard
from dftk.perf import meter
from dftk.training.config import Config
from dftk.utils import limits
from dftk.utils.progress import say


def drain(dataset: tf.data.Dataset) -> None:
    """Iterates to the end."""
    for _ in dataset:
        pass


class InputStages:
    """Measures reading, parsing, decoding, keeping and batching of a part of a run's images.

    Args:
      config: of the run.
      shards: what to measure on.
      kind: the run's residency.
      replicas: among which batches are cut.
      raw_root: where a raw file may be written, over and over.
    """

    def __init__(
        self, config: Config, shards: Sequence[Shard], kind: str, replicas: int, raw_root: Path
    ):
        self._config, self._shards, self._kind = config, shards, kind
        self._size, self._replicas = config.stored_size, replicas
        self._raw_root = raw_root
        self._records = pipeline.open_records(shards, config.stored_size)
        self._chunk_size = pipeline.chunk_size(self._records.shape)
        self.examples = self._open()
        self.rows = np.arange(len(self.examples.labels))

    def epoch(self) -> tf.data.Dataset:
        """An epoch of batches, as training makes them."""
        config = self._config
        return self.examples.batches(
            self.rows,
            batch_size=config.batch_size,
            num_replicas=self._replicas,
            shuffle=(config.seed, 0),
        )

    def _open(self) -> residency.Examples:
        return residency.open_examples(
            self._shards, self._kind, size=self._size, raw_root=self._raw_root
        )

    def _rate(self, stage: str, work: Callable[[], object], cached: bool = True) -> float:
        """Says and returns img/s; with `cached` files may come from the page cache."""
        forget = None if cached else lambda: meter.forget(shard.path for shard in self._shards)
        found = meter.rate(work, len(self.rows), forget)
        say(f"{stage}: {found:.0f} img/s")
        return found

    def cold(self) -> dict[str, float]:
        """From the files in storage to the residency, as far as it goes in the first pass."""
        options, chunk_size = pipeline.options(limits.cores()), self._chunk_size
        read = pipeline.chunks(self._shards, chunk_size).with_options(options)
        parsed = read.map(lambda _, records: pipeline.parse(records)).with_options(options)
        decoded = pipeline.decoded_chunks(self._records)
        return {
            "read": self._rate("read", lambda: drain(read), cached=False),
            "parse": self._rate("parse", lambda: drain(parsed), cached=False),
            "decode": self._rate("decode", lambda: drain(decoded), cached=False),
            "batch": self._rate("batch", self._fill, cached=False),
        }

    def _fill(self) -> None:
        """The first pass whole: what fills the residency, or the first epoch where none does."""
        if self._kind == "none":
            drain(self.epoch())
            return
        shutil.rmtree(
            raw_file.cache_path(self._shards, self._size, self._raw_root), ignore_errors=True
        )
        self._open()

    def cache(self) -> float:
        """An epoch of host batches from the run's residency, img/s."""
        return self._rate("cache", lambda: drain(self.epoch()))

    def ram(self) -> float:
        """The same, were the pixels in host memory."""
        examples = residency.open_examples(self._shards, "ram", size=self._size)
        batches = examples.batches(
            self.rows, batch_size=self._config.batch_size, shuffle=(self._config.seed, 0)
        )
        return self._rate("cache, were it ram", lambda: drain(batches))

    def parallelism(self) -> dict[str, dict[str, float]]:
        """Values of the decoding pipeline: the fixed ones, and what the autotuner chooses."""
        tuned = pipeline.decoded_chunks(self._records, parallel=tf.data.AUTOTUNE)
        iterator = iter(tuned.repeat())
        last = len(self.rows) // self._chunk_size * 3
        for _ in range(last):  # it needs a while to make up its mind
            next(iterator)
        proto = tf.data.experimental.get_model_proto(iterator)
        chosen = {
            f"{node.name} {parameter.name}": parameter.value
            for node in proto.nodes.values()
            for parameter in node.parameters
        }
        return {"fixed": {"map": limits.cores(), "prefetch": 2}, "autotune": chosen}
