"""The ladder's rungs on the host: from the files to a batch."""

import shutil
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from dftk.config import Config
from dftk.data import limits, pipeline, raw_file, residency
from dftk.data.catalog import Shard
from dftk.perf import meter
from dftk.progress import say


class InputRungs:
    """Measures reading, parsing, decoding, keeping and batching of a part of a run's images.

    Args:
      config: of the run.
      shards: what to measure on.
      kind: the run's residency.
      replicas: among which batches are cut.
    """

    def __init__(self, config: Config, shards: Sequence[Shard], kind: str, replicas: int):
        self._config, self._shards, self._kind = config, shards, kind
        self._size, self._replicas = config.stored_size, replicas
        self.examples = self._open()
        self.rows = np.arange(len(self.examples.labels))

    def epoch(self) -> tf.data.Dataset:
        """An epoch of batches, as training makes them."""
        config = self._config
        return self.examples.batches(
            self.rows, batch_size=config.batch_size, parts=self._replicas, shuffle=(config.seed, 0)
        )

    def _open(self) -> residency.Examples:
        return residency.open_examples(self._shards, self._kind, size=self._size)

    def _rate(self, stage: str, dataset: tf.data.Dataset, images: int) -> float:
        def drain() -> None:
            for _ in dataset:
                pass

        found = meter.rate(drain, images)
        say(f"{stage}: {found:.0f} img/s")
        return found

    def cold(self) -> dict[str, float]:
        """From the files to the residency, as far as it goes in the first pass."""
        count, shape = len(self.rows), self.examples.shape
        options = pipeline.options(limits.cores())
        read = pipeline.chunks(self._shards, pipeline.chunk_size(shape)).with_options(options)
        parsed = read.map(lambda _, records: pipeline.parse(records)).with_options(options)
        decoded = pipeline.decoded(self._shards, shape, self._size)
        found = {
            "read": self._rate("read", read, count),
            "parse": self._rate("parse", parsed, count),
            "decode": self._rate("decode", decoded, count),
        }
        if self._kind == "none":  # batches are decoded anew every time
            return {**found, "batch": self._rate("batch", self.epoch(), count)}
        found["batch"] = meter.rate(self._refill, count)
        say(f"batch: {found['batch']:.0f} img/s")
        return found

    def _refill(self) -> None:
        """Fills the residency anew; a raw file of this part of the images does not stay."""
        folder = raw_file.folder(self._shards, self._size)
        if self._kind == "disk":
            shutil.rmtree(folder, ignore_errors=True)
        self._open()

    def cache(self) -> float:
        """An epoch of host batches from the run's residency, img/s."""
        return self._rate("cache", self.epoch(), len(self.rows))

    def ram(self) -> float:
        """The same, were the pixels in host memory."""
        examples = residency.open_examples(self._shards, "ram", size=self._size)
        batches = examples.batches(
            self.rows, batch_size=self._config.batch_size, shuffle=(self._config.seed, 0)
        )
        return self._rate("cache, were it ram", batches, len(self.rows))

    def parallelism(self) -> dict[str, dict[str, float]]:
        """Values of the decoding pipeline: the fixed ones, and what the autotuner chooses."""
        tuned = pipeline.decoded(
            self._shards, self.examples.shape, self._size, parallel=tf.data.AUTOTUNE
        )
        iterator = iter(tuned.repeat())
        last = len(self.rows) // pipeline.chunk_size(self.examples.shape) * 3
        for _ in range(last):  # it needs a while to make up its mind
            next(iterator)
        proto = tf.data.experimental.get_model_proto(iterator)
        chosen = {
            f"{node.name} {parameter.name}": parameter.value
            for node in proto.nodes.values()
            for parameter in node.parameters
        }
        return {"fixed": {"map": limits.cores(), "prefetch": 2}, "autotune": chosen}
