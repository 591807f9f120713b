"""A page, and an HTTP interface, that say of images how likely each is fake.

python -m dftk.serve --model=runs/rvf10k
curl -F file=@photo.jpg http://127.0.0.1:7860/api/predict

EXIF orientation is ignored, as in training, and transparency, too: a transparent pixel counts with
the colour stored under it. BMPs with a palette are refused.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from dftk import cli
from dftk.utils.errors import UsageError

_MODEL = flags.DEFINE_string(
    "model", None, "A .keras file, or a workdir: the mean over the models of its folds."
)
_HOST = flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "Address to listen on; any but this machine's own lets others in, who must address it by an IP "
    "address, by this name, or by the machine's host name; see --allowed_host.",
)
_ALLOWED_HOST = flags.DEFINE_multi_string(
    "allowed_host",
    [],
    "One more name that requests may be addressed to, as faces.example.org; repeat it for several. "
    "Others are refused, for any page on the web could point a name of its own at this machine.",
)
_PORT = flags.DEFINE_integer("port", 7860, "Port; 0 takes a free one.", 0, 65535)
_THRESHOLD = flags.DEFINE_float(
    "threshold",
    None,
    "Fake when the probability is at least this; if not given, the one that the run chose "
    "(metrics.json), else 0.5.",
    0.0,
    1.0,
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels", 2**24, "Width times height of an image at most; read before decoding.", 1, 2**27
)
_MAX_UPLOAD_MB = flags.DEFINE_float("max_upload_mb", 10, "Of one file at most.", 0.001, 1000)
_MAX_FILES = flags.DEFINE_integer("max_files", 20, "Of one drop on the page at most.", 1, 1000)


def main(argv: Sequence[str]) -> int:
    """Flags to one call."""
    cli.refuse_arguments(argv)
    if _MODEL.value is None:
        raise UsageError("--model: give a model.keras file or a workdir of dftk.train")
    for name in _ALLOWED_HOST.value:
        if not name or set(name) & set(":/ *"):
            raise UsageError(
                f"--allowed_host={name}: give a host's name alone, as faces.example.org, without "
                "scheme, port or wildcard"
            )

    from dftk.serving import server

    return server.serve(
        Path(_MODEL.value),
        host=_HOST.value,
        port=_PORT.value,
        threshold=_THRESHOLD.value,
        max_pixels=_MAX_PIXELS.value,
        max_bytes=int(_MAX_UPLOAD_MB.value * 2**20),
        max_files=_MAX_FILES.value,
        allowed_hosts=_ALLOWED_HOST.value,
    )


if __name__ == "__main__":
    cli.run(main)
