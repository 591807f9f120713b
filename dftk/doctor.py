"""Measures every stage from file to training step, finds the bottleneck and says what would help.

python -m dftk.doctor --dataset=sample
python -m dftk.doctor --mixed_precision --cache=disk --json=doctor.json --picture=doctor.png
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from dftk import cli
from dftk.training.config import resolve
from dftk.utils.errors import UsageError

_PHASE = flags.DEFINE_enum(
    "phase",
    None,
    ["frozen", "finetune"],
    "Phase whose step is measured; by default the run's last one.",
)
_JSON = flags.DEFINE_string("json", None, "File for the findings as JSON; - writes them to stdout.")
_PICTURE = flags.DEFINE_string("picture", None, "PNG file for a chart of all stages.")
_PROFILE = flags.DEFINE_string(
    "profile", None, "Folder for a TensorBoard trace of the measurements; it slows them a little."
)
cli.define_config_flags()
flags.adopt_module_key_flags(cli)  # --help shows them, not only --helpfull


def main(argv: Sequence[str]) -> None:
    """Turns flags into a config and measures."""
    cli.refuse_arguments(argv)
    config = resolve(cli.given_config())

    if _PICTURE.value and not _PICTURE.value.endswith(".png"):
        raise UsageError(f"--picture={_PICTURE.value}: must end in .png")

    from dftk.perf import examination, findings

    files = [Path(f.value) for f in (_JSON, _PICTURE) if f.value not in (None, "-")]
    examination.check_writable(files)
    found = examination.examine(config, _PHASE.value, _PROFILE.value)
    if _JSON.value != "-":
        print(findings.text(found))
    if _JSON.value:
        findings.write_json(_JSON.value, found)
    if _PICTURE.value:
        findings.plot(Path(_PICTURE.value), found)
    for file in files:
        print(f"written: {file}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
