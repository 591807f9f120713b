"""The stages on the host: from the files to a batch."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.input import pipeline, raw_file, residency
from dftk.input.shards import Shard
from dftk.perf import timing
from dftk.training.config import Config
from dftk.utils import limits
from dftk.utils.progress import say


def drain(dataset: tf.data.Dataset) -> None:
    """Iterates to the end."""
    for _ in dataset:
        pass


class InputStages:
    """Measures reading, parsing, decoding, storing and batching on some of a run's images.

    Args:
      config: of the run.
      shards: what to measure on.
      kind: where the run keeps pixels: none, ram, device or disk.
      replicas: number of replicas that share a batch.
      raw_root: folder where a raw file may be written, and written again.

    Attributes:
      examples: the images, opened as the run would open them.
      rows: int64, all rows of the examples.
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
        """Returns the batches of an epoch, as training makes them."""
        config = self._config
        return self.examples.batches(
            self.rows,
            batch_size=config.batch_size,
            num_replicas=self._replicas,
            shuffle=(config.seed, 0),
        )

    def first_pass(self) -> dict[str, float]:
        """Measures the stages from the files in storage to where pixels are kept, img/s."""
        options = pipeline.options(limits.cores())
        read = pipeline.chunks(self._shards, self._chunk_size).with_options(options)
        parsed = read.map(lambda _, records: pipeline.parse(records)).with_options(options)
        decoded = pipeline.decoded_chunks(self._records)
        return {
            "read": self._rate("read", lambda: drain(read), from_storage=True),
            "parse": self._rate("parse", lambda: drain(parsed), from_storage=True),
            "decode": self._rate("decode", lambda: drain(decoded), from_storage=True),
            "batch": self._rate("batch", self._run_first_pass, from_storage=True),
        }

    def cache(self) -> float:
        """Measures an epoch of batches on the host from where the run keeps pixels, img/s."""
        return self._rate("cache", lambda: drain(self.epoch()))

    def cache_in_ram(self) -> float:
        """Measures the same as if pixels were kept in host memory, img/s."""
        examples = residency.open_examples(self._shards, "ram", size=self._size)
        batches = examples.batches(
            self.rows, batch_size=self._config.batch_size, shuffle=(self._config.seed, 0)
        )
        return self._rate("cache, if it were ram", lambda: drain(batches))

    def parallelism(self) -> dict[str, dict[str, float]]:
        """Returns parameters of the decoding pipeline: the fixed ones and the autotuner's."""
        tuned = pipeline.decoded_chunks(self._records, parallel=tf.data.AUTOTUNE)
        iterator = iter(tuned.repeat())
        chunks = len(self.rows) // self._chunk_size
        for _ in range(3 * chunks):  # the autotuner needs a while to settle
            next(iterator)
        proto = tf.data.experimental.get_model_proto(iterator)
        chosen = {
            f"{node.name} {parameter.name}": parameter.value
            for node in proto.nodes.values()
            for parameter in node.parameters
        }
        return {"fixed": {"map": limits.cores(), "prefetch": 2}, "autotune": chosen}

    def _open(self) -> residency.Examples:
        return residency.open_examples(
            self._shards, self._kind, size=self._size, raw_root=self._raw_root
        )

    def _run_first_pass(self) -> None:
        """Fills the memory or the raw file, or runs the first epoch where no pixels are kept."""
        if self._kind == "none":
            drain(self.epoch())
            return
        path = raw_file.cache_path(self._shards, self._size, self._raw_root)
        shutil.rmtree(path, ignore_errors=True)
        self._open()

    def _rate(self, stage: str, work: Callable[[], object], *, from_storage: bool = False) -> float:
        """Measures and says img/s; `from_storage` empties the page cache before each call."""

        def drop() -> None:
            timing.drop_from_page_cache(shard.path for shard in self._shards)

        found = timing.rate(work, len(self.rows), drop if from_storage else None)
        say(f"{stage}: {found:.0f} img/s")
        return found
