"""What the doors share: flags from the config's fields, errors as one line, exit statuses."""

import difflib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from absl import app, flags, logging

from dftk.training.config import Config
from dftk.training.resume.interruption import Interrupted
from dftk.utils import cpu
from dftk.utils.errors import UsageError, UserError
from dftk.utils.option import flags_of
from dftk.utils.progress import ERASE

if TYPE_CHECKING:
    from dftk.images import encoded
    from dftk.runs.workdir import Workdir

FLAGS = flags.FLAGS
_CONFIG_FLAGS = [flag.name for flag in flags_of(Config)]  # they decide what a run computes
_DEFINE: dict[type, Callable[..., object]] = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
}


def define_config_flags() -> None:
    """Defines the flags of Config; `resolve` decides about those that the user does not give."""
    for flag in flags_of(Config):
        text = f"{flag.help} Default: {flag.default}."
        if flag.choices:
            flags.DEFINE_enum(flag.name, None, list(flag.choices), text)
        else:
            _DEFINE.get(flag.kind, flags.DEFINE_string)(flag.name, None, text)


def given_config() -> dict[str, object]:
    """The config flags that the user set, by name."""
    return {name: FLAGS[name].value for name in _CONFIG_FLAGS if FLAGS[name].present}


def changed_config(change: str) -> dict[str, object]:
    """Reads NAME=VALUE of config flags, with commas between.

    Raises:
      UsageError: no such flag, or not a value of it.
    """
    given = {}
    for part in change.split(","):
        name, equals, value = part.partition("=")
        if name not in _CONFIG_FLAGS or not equals:
            near = difflib.get_close_matches(name, _CONFIG_FLAGS, 1) if equals else []
            raise UsageError(
                f"{change}: give NAME=VALUE of a flag that decides what is computed"
                + (f"; did you mean {near[0]}?" if near else "")
            )
        try:
            given[name] = FLAGS[name].parser.parse(value)
        except ValueError as error:
            raise UsageError(f"{change}: {error}") from None
    return given


def note(text: str) -> None:
    """Something the user should know of a result that is there all the same."""
    print(f"note: {text}", file=sys.stderr)


def score_test_sets(
    workdir: "Workdir", sets: "Mapping[str, encoded.Folder]", data_dir: str | None
) -> int:
    """Scores test sets, prints what is to be said of them; status 1 if a file of one is broken."""
    from dftk.evaluation import audits, terminal

    scored = audits.score_test_sets(workdir, sets, data_dir)
    print(terminal.test_set_table(scored.comparison))
    for name, result in scored.results.items():
        for entry in result["broken"]:
            print(f"error: {name}/{entry['filename']}: {entry['error']}", file=sys.stderr)
        for text in result["notes"]:
            note(f"{name}: {text}")
        print(f"written: {result['folder']}")
    return 1 if any(result["broken"] for result in scored.results.values()) else 0


def refuse_arguments(argv: Sequence[str]) -> None:
    """For doors that take flags only.

    Raises:
      UsageError: names the first argument that is none.
    """
    if len(argv) > 1:
        raise UsageError(f"unexpected argument {argv[1]!r}; every option is a flag (--help)")


def run(main: Callable[[Sequence[str]], int | None]) -> None:
    """Parses flags and runs `main`; exits 0, 2 for a usage error, 1 for another failure.

    A UserError becomes one line on stderr.
    """
    # Fewer of TensorFlow's start-up notes; what it says before it reads this stays.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    cpu.prepare()

    def guarded(argv: Sequence[str]) -> int | None:
        if not FLAGS["verbosity"].present:
            logging.set_verbosity(logging.ERROR)  # libraries' notes; --verbosity=0 shows them
        try:
            return main(argv)
        except UserError as error:
            live = ERASE if sys.stderr.isatty() else ""  # a progress line may stand there
            word = "" if isinstance(error, Interrupted) else "error: "
            print(f"{live}{word}{error}", file=sys.stderr)
            return error.exit_status
        except KeyboardInterrupt:
            print(
                "interrupted; files already written are whole, others are not there",
                file=sys.stderr,
            )
            return 130

    def parse(argv: Sequence[str]) -> list[str]:
        try:
            return FLAGS(list(argv))
        except flags.Error as error:
            print(f"error: {error}; --help lists the flags", file=sys.stderr)
            sys.exit(2)
        except SystemExit:  # of --help, which absl ends with 1
            sys.exit(0)

    app.run(guarded, flags_parser=parse)
