"""Exports trained detectors to one file or folder for other runtimes.

The export is run at once by its own runtime and compared with Keras on images. It takes its place
only if both agree.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from dftk.exports import check_images, comparison, formats, manifest, output_files
from dftk.exports.comparison import Comparison
from dftk.exports.float32_copy import dtype_policies, float32_copy
from dftk.runs import saved_models
from dftk.utils.errors import UserError
from dftk.utils.files import write_json
from dftk.utils.progress import say


@dataclasses.dataclass(frozen=True)
class Detectors:
    """The models as they were trained, and their float32 copies; the same objects if they are."""

    saved: Sequence[keras.Model]
    float32: Sequence[keras.Model]

    @classmethod
    def load(cls, paths: Sequence[Path]) -> "Detectors":
        """Loads the models; raises as saved_models.load_model."""
        saved = [saved_models.load_model(path) for path in paths]
        return cls(saved, [float32_copy(model) for model in saved])

    def half_precision(self) -> str:
        """Names the half precision that they were trained in; empty for float32."""
        return "/".join(sorted(set().union(*map(dtype_policies, self.saved)) - {"float32"}))

    def runs(self) -> dict[str, comparison.Run]:
        """The functions to compare an export with, by name."""
        runs = {"Keras, float32": comparison.as_run(saved_models.Ensemble(self.float32))}
        if kind := self.half_precision():
            runs[f"Keras, {kind}"] = comparison.as_run(saved_models.Ensemble(self.saved))
        return runs


def export(
    models: manifest.ExportedModels,
    kind: str,
    output: Path,
    *,
    images: Path | None,
    max_images: int,
    tolerance: float,
    overwrite: bool,
    data_dir: str | None = None,
) -> str:
    """Writes an export, runs it, compares it with Keras and puts it in its place.

    The manifest of a file is `<output>.json`; that of a folder is `assets.extra/dftk.json` in it.
    See manifest.describe.

    Args:
      models: are exported as one model, their mean.
      kind: a key of formats.FORMATS.
      output: the file, or the folder for saved_model.
      images: folder of image files to compare on; see check_images.choose.
      max_images: number of these, or of images of the run's `valid`.
      tolerance: the largest |Δp| to the float32 Keras models that is accepted.
      overwrite: whether an existing export at `output` may be replaced.
      data_dir: TFDS's directory of datasets, if not the run's.

    Returns:
      a table of the comparison, for a terminal.

    Raises:
      UserError: a package, model or image is missing, `output` exists or cannot be written, or the
        export disagrees with Keras. `output` then stays as it was.
    """
    formats.FORMATS[kind].require_packages()
    is_folder = kind == "saved_model"
    output_files.check_replaceable(output, is_folder, overwrite)
    if not is_folder:
        output_files.check_replaceable(output_files.manifest_path(output), is_folder, overwrite)
    detectors = Detectors.load(models.paths)
    chosen = check_images.choose(images, models.workdir, max_images, data_dir)
    if half := detectors.half_precision():
        say(f"trained in {half}; exported in float32, with the same weights")
    threshold = manifest.threshold(models.workdir)["value"]
    with output_files.replacing(output, is_folder) as (temporary, manifest_file):
        say(f"writing {models.in_words()} as {kind}")
        formats.FORMATS[kind].write(detectors.float32, temporary)
        say(f"comparing it with Keras on {len(chosen.files)} images")
        compared = verify(temporary, kind, detectors, chosen, threshold, tolerance)
        described = manifest.describe(models, kind, temporary, output.name, compared.as_dict())
        manifest_file.parent.mkdir(exist_ok=True)  # SavedModel's folder for files of others
        write_json(manifest_file, described)
    size = output_files.megabytes(output)
    return f"{kind}: {output}, {size:.1f} MB, {models.in_words()}\n{compared.text_table()}"


def verify(
    path: Path,
    kind: str,
    detectors: Detectors,
    chosen: check_images.CheckImages,
    threshold: float,
    tolerance: float,
) -> Comparison:
    """Runs an export and compares it with the models that it was made of.

    Raises:
      UserError: the export computes in half precision, or differs by more than the tolerance.
    """
    if half := formats.FORMATS[kind].dtypes(path) & {"float16", "bfloat16"}:
        raise UserError(f"--format={kind}: {', '.join(sorted(half))} in it; nothing was written")
    runs = {kind: formats.FORMATS[kind].open(path), **detectors.runs()}
    images = chosen.decoded()
    scores = {name: comparison.score(run, images) for name, run in runs.items()}
    exported = scores.pop(kind)
    gaps = {name: comparison.difference(exported, p, threshold) for name, p in scores.items()}
    bounded = {kind: gaps["Keras, float32"]}
    if kind == "saved_model" and (pair := _jpegs(path, chosen, scores["Keras, float32"])):
        gaps["serving_bytes"] = bounded["serving_bytes"] = comparison.difference(*pair, threshold)
    for name, gap in bounded.items():
        if not gap.within(tolerance):
            raise UserError(
                f"--tolerance={tolerance:g}: {name} differs from Keras by {gap.largest:.3g} "
                f"on {len(images)} images {chosen.source}; nothing was written"
            )
    crops = len(images) - len(chosen.files)
    words = f"{len(chosen.files)} images {chosen.source}, and {crops} of them cut to odd sizes"
    return Comparison(comparison.speeds(runs, images), gaps, words)


def _jpegs(
    path: Path, chosen: check_images.CheckImages, keras_scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Scores the files that are JPEGs by serving_bytes and by Keras; None if there is none."""
    rows = [row for row, data in enumerate(chosen.files) if tf.io.is_jpeg(data)]
    if not rows:
        return None
    run, batches = formats.open_serving_bytes(path), range(0, len(rows), comparison.BATCH)
    files = [
        [chosen.files[row] for row in rows[start : start + comparison.BATCH]] for start in batches
    ]
    return np.concatenate([run(batch)[:, 0] for batch in files]), keras_scores[rows]
