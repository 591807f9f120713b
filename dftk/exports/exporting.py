"""Turns trained detectors into one file or folder for other runtimes; in place only if it agrees.

What is written is run at once by its own runtime and compared with Keras on images.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dftk.exports import check_images, formats, manifest, parity, staging
from dftk.exports.float32_twin import float32_twin, policies
from dftk.runs import saved_models
from dftk.utils.errors import UserError
from dftk.utils.files import write_json
from dftk.utils.progress import say


@dataclasses.dataclass(frozen=True)
class Detectors:
    """The members as they were trained, and as float32; the same objects where that is one."""

    saved: Sequence[keras.Model]
    float32: Sequence[keras.Model]

    @classmethod
    def load(cls, paths: Sequence[Path]) -> "Detectors":
        """Raises as saved_models.load_model."""
        saved = [saved_models.load_model(path) for path in paths]
        return cls(saved, [float32_twin(model) for model in saved])

    def trained_in(self) -> str:
        """The half precision they were trained in; empty for float32."""
        return "/".join(sorted(set().union(*map(policies, self.saved)) - {"float32"}))

    def runs(self) -> dict[str, parity.Run]:
        """What to compare an export with, by name."""
        runs = {"Keras, float32": parity.as_run(saved_models.Ensemble(self.float32))}
        if kind := self.trained_in():
            runs[f"Keras, {kind}"] = parity.as_run(saved_models.Ensemble(self.saved))
        return runs


@dataclasses.dataclass(frozen=True)
class Comparison:
    """img/s by name, the export's own first; and how far the export is from each of the others."""

    speeds: dict[str, float]
    gaps: dict[str, parity.Difference]
    images: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON; without speeds, which are of one machine and moment."""
        gaps = {name: dataclasses.asdict(gap) for name, gap in self.gaps.items()}
        return {"images": self.images, "difference_to": gaps}

    def text_table(self) -> str:
        """For a terminal."""
        lines = [f"{'':28}{'img/s':>8}{'max |Δp|':>11}{'other verdicts':>17}"]
        for name in {**self.speeds, **self.gaps}:
            speed = f"{self.speeds[name]:8.1f}" if name in self.speeds else " " * 8
            gap = self.gaps.get(name)
            tail = f"{gap.largest:11.1e}{gap.decisions:17}" if gap else ""
            lines.append(f"{name:28}{speed}{tail}")
        return "\n".join([*lines, self.images])


def export(
    source: manifest.Source,
    kind: str,
    output: Path,
    *,
    images: Path | None,
    max_images: int,
    tolerance: float,
    overwrite: bool,
    data_dir: str | None = None,
) -> str:
    """Writes, runs, compares, puts in place; returns a table of what came of it.

    Beside a file lies `<output>.json`, see manifest.describe; a folder has assets.extra/dftk.json.

    Args:
      source: the members, which are exported as one model.
      kind: a key of formats.FORMATS.
      output: the file, or the folder for saved_model.
      images: folder of image files to compare on; see check_images.choose.
      max_images: of them, or of the run's `valid`.
      tolerance: the largest |Δp| to the float32 Keras models that is let through.
      overwrite: whether what is at `output` may be replaced.
      data_dir: TFDS's directory of datasets, if not the run's.

    Raises:
      UserError: a package, model or image is missing, `output` is taken or cannot be written, or
        the export disagrees; `output` then stays as it was.
    """
    formats.FORMATS[kind].require_packages()
    is_folder = kind == "saved_model"
    staging.refuse_taken(output, is_folder, overwrite)
    if not is_folder:
        staging.refuse_taken(staging.manifest_of(output), is_folder, overwrite)
    detectors = Detectors.load(source.paths)
    chosen = check_images.choose(images, source.workdir, max_images, data_dir)
    if half := detectors.trained_in():
        say(f"trained in {half}; exported in float32, with the same weights")
    threshold = manifest.threshold(source.workdir)["value"]
    with staging.staged(output, is_folder) as (temporary, beside):
        say(f"writing {source.in_words()} as {kind}")
        formats.FORMATS[kind].write(detectors.float32, temporary)
        say(f"comparing it with Keras on {len(chosen.files)} images")
        comparison = verify(temporary, kind, detectors, chosen, threshold, tolerance)
        described = manifest.describe(source, kind, temporary, output.name, comparison.as_dict())
        beside.parent.mkdir(exist_ok=True)  # a SavedModel's folder for what is not its own
        write_json(beside, described)
    size = staging.megabytes(output)
    return f"{kind}: {output}, {size:.1f} MB, {source.in_words()}\n{comparison.text_table()}"


def verify(
    path: Path,
    kind: str,
    detectors: Detectors,
    chosen: check_images.CheckImages,
    threshold: float,
    tolerance: float,
) -> Comparison:
    """Runs what was written and compares it with the models that it was written from.

    Raises:
      UserError: it computes in half precision, or differs by more than the tolerance.
    """
    if half := formats.FORMATS[kind].dtypes(path) & {"float16", "bfloat16"}:
        raise UserError(f"--format={kind}: {', '.join(sorted(half))} in it; not put in place")
    runs = {kind: formats.FORMATS[kind].open(path), **detectors.runs()}
    images = chosen.decoded()
    scores = {name: parity.score(run, images) for name, run in runs.items()}
    exported = scores.pop(kind)
    gaps = {name: parity.difference(exported, p, threshold) for name, p in scores.items()}
    bounded = {kind: gaps["Keras, float32"]}
    if kind == "saved_model" and (pair := _jpegs(path, chosen, scores["Keras, float32"])):
        gaps["serving_bytes"] = bounded["serving_bytes"] = parity.difference(*pair, threshold)
    for part, gap in bounded.items():
        if not gap.within(tolerance):
            raise UserError(
                f"--tolerance={tolerance:g}: {part} differs from Keras by {gap.largest:.3g} "
                f"on {len(images)} images {chosen.source}; not put in place"
            )
    cuts = len(images) - len(chosen.files)
    words = f"{len(chosen.files)} images {chosen.source}, and {cuts} of them cut to odd sizes"
    return Comparison(parity.speeds(runs, images), gaps, words)


def _jpegs(
    path: Path, chosen: check_images.CheckImages, keras_scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """What serving_bytes and Keras say of the files that are JPEG; None without one."""
    rows = [row for row, data in enumerate(chosen.files) if tf.io.is_jpeg(data)]
    if not rows:
        return None
    run, batches = formats.open_serving_bytes(path), range(0, len(rows), parity.BATCH)
    files = [[chosen.files[row] for row in rows[start : start + parity.BATCH]] for start in batches]
    return np.concatenate([run(batch)[:, 0] for batch in files]), keras_scores[rows]
