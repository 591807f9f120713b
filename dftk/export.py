"""Exports trained detectors for other runtimes: TF Serving, LiteRT, ONNX Runtime.

python -m dftk.export --model=runs/sample --format=onnx --output=detector.onnx

The export takes uint8 images of any size and returns the probability of fake. It is run by its own
runtime and compared with Keras before it is put in its place.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from dftk import cli
from dftk.utils.errors import UsageError

_MODEL = flags.DEFINE_string(
    "model", None, "A .keras file, or a workdir for the mean of all its finished folds."
)
_FOLD = flags.DEFINE_integer("fold", None, "Exports only this fold of a workdir.", 0)
_FORMAT = flags.DEFINE_enum(
    "format",
    "saved_model",
    ["saved_model", "litert", "onnx"],
    "saved_model: a folder for TF Serving, with one signature for pixels and one for JPEG files. "
    "litert: a .tflite file. onnx: an .onnx file. The last two need `pip install -e '.[export]'`.",
)
_OUTPUT = flags.DEFINE_string("output", None, "The file or folder to write.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replaces an existing export.")
_IMAGES = flags.DEFINE_string(
    "images",
    None,
    "Folder of image files to compare on. Default: images of the split `valid` of the dataset "
    "that the run was trained on, or noise if that is missing.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "TFDS's directory of datasets, if not the one of the run."
)
_MAX_IMAGES = flags.DEFINE_integer("max_images", 64, "Most images to compare on.", 1)
_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    1e-4,
    "An export is refused if a probability differs by more than this from the float32 Keras model.",
    0.0,
    1.0,
)


def main(argv: Sequence[str]) -> None:
    """Passes the flags to exporting.export and prints its table."""
    cli.refuse_arguments(argv)
    if _MODEL.value is None:
        raise UsageError("--model: give a model.keras file or a workdir of dftk.train")
    if _OUTPUT.value is None:
        raise UsageError("--output: name the file or folder to write")
    if _IMAGES.value and _DATA_DIR.value:
        raise UsageError(
            f"--data_dir={_DATA_DIR.value}: is not read where --images is given; drop one"
        )

    from dftk.exports import exporting, manifest

    table = exporting.export(
        manifest.find_models(Path(_MODEL.value), _FOLD.value),
        _FORMAT.value,
        Path(_OUTPUT.value),
        images=Path(_IMAGES.value) if _IMAGES.value else None,
        max_images=_MAX_IMAGES.value,
        tolerance=_TOLERANCE.value,
        overwrite=_OVERWRITE.value,
        data_dir=_DATA_DIR.value,
    )
    print(table)


if __name__ == "__main__":
    cli.run(main)
