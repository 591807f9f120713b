"""Downloads a dataset's zip archive from Kaggle. The builder reads it in place.

    python -m tfds_rvf10k.kaggle --output=DIR
    python -m tfds_rvf10k.build --manual_dir=DIR/rvf10k.zip

It needs `kagglehub`, Kaggle's own client, which finds credentials, continues downloads and checks
them: pip install -e '.[kaggle]'.
"""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Sequence

from tfds_rvf10k.download import kaggle_client
from tfds_rvf10k.download.kaggle_failures import AGAIN, DownloadFailed

DATASET = "sachchitkunichetty/rvf10k"
_HANDLE = re.compile(
    r"(?:https?://(?:www\.)?kaggle\.com/datasets/)?([\w-]+/[\w-]+(?:/versions/[1-9]\d*)?)/?"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Downloads, and prints the next command. Returns 0, or 1 after a line on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m tfds_rvf10k.kaggle",
        description="Downloads a dataset's zip archive from Kaggle. `python -m tfds_rvf10k.build` "
        "reads it in place.",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the archive")
    parser.add_argument(
        "--dataset", default=DATASET, type=_handle, metavar="OWNER/NAME[/versions/N]",
        help="as in the address of its page (default: %(default)s)",
    )  # fmt: skip
    options = parser.parse_args(argv)
    try:
        path = kaggle_client.download(options.dataset, options.output)
    except DownloadFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{options.dataset}: stopped; {AGAIN}", file=sys.stderr)
        return 130
    print(f"{path}: {os.path.getsize(path):,} bytes; next:", file=sys.stderr)
    print(f"python -m tfds_rvf10k.build --manual_dir={shlex.quote(path)}")
    return 0


def _handle(text: str) -> str:
    """The handle of a dataset, also from the address of its page; for argparse."""
    found = _HANDLE.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not OWNER/NAME, such as {DATASET}")
    return found[1]


if __name__ == "__main__":
    sys.exit(main())
