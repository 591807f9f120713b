"""Serves a web page and an HTTP interface that score images: how likely each is fake.

python -m dftk.serve --model=runs/rvf10k
curl -F file=@photo.jpg http://127.0.0.1:7860/api/predict

As in training, the EXIF orientation is ignored. Transparency is ignored, too: a transparent pixel
has the colour that is stored under it. BMPs with a palette are refused.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from dftk import cli
from dftk.utils.errors import UsageError

_MODEL = flags.DEFINE_string(
    "model", None, "A .keras file, or a workdir for the mean of the models of its folds."
)
_HOST = flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "Address to listen on. Any but 127.0.0.1, ::1 and localhost lets other machines in. They must "
    "address this one by an IP address, by the name given here, or by its host name; see "
    "--allowed_host.",
)
_ALLOWED_HOST = flags.DEFINE_multi_string(
    "allowed_host",
    [],
    "A further name that requests may be addressed to, such as faces.example.org; repeat the flag "
    "for several. Other names are refused: any page on the web could point a name of its own at "
    "this machine.",
)
_PORT = flags.DEFINE_integer("port", 7860, "Port to listen on; 0 takes a free one.", 0, 65535)
_THRESHOLD = flags.DEFINE_float(
    "threshold",
    None,
    "Fake when the probability is at least this. Default: the threshold that the run chose "
    "(metrics.json), otherwise 0.5.",
    0.0,
    1.0,
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    2**24,
    "Largest width times height; checked before decoding.",
    1,
    2**27,
)
_MAX_UPLOAD_MB = flags.DEFINE_float("max_upload_mb", 10, "Largest size of one file.", 0.001, 1000)
_MAX_FILES = flags.DEFINE_integer("max_files", 20, "Most files that the page sends.", 1, 1000)


def main(argv: Sequence[str]) -> int:
    """Passes the flags to server.serve; returns the exit status."""
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
