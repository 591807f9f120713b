"""What the commands share: flags made from the config, errors as one line, exit statuses."""

import difflib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from absl import app, flags, logging

from dftk.training.config import Config
from dftk.training.resume.interruption import Interrupted
from dftk.utils import cpu, events
from dftk.utils.errors import UsageError, UserError
from dftk.utils.option import flags_of
from dftk.utils.progress import say

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
    """Defines the flags of Config, all with the default None.

    So `resolve` can tell which ones the user gave, and decide about the others.
    """
    for flag in flags_of(Config):
        text = f"{flag.help} Default: {flag.default}."
        if flag.choices:
            flags.DEFINE_enum(flag.name, None, list(flag.choices), text)
        else:
            _DEFINE.get(flag.kind, flags.DEFINE_string)(flag.name, None, text)


def given_config() -> dict[str, object]:
    """Returns the values of the config flags that the user gave, by name."""
    return {name: FLAGS[name].value for name in _CONFIG_FLAGS if FLAGS[name].present}


def changed_config(change: str) -> dict[str, object]:
    """Reads a change of config flags: NAME=VALUE, or several of them with commas between.

    Returns:
      The values by the flags' names.

    Raises:
      UsageError: there is no such config flag, or the flag cannot have this value.
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
    """Tells the user something about a result that is valid nevertheless."""
    print(f"note: {text}", file=sys.stderr)


def score_test_sets(
    workdir: "Workdir", sets: "Mapping[str, encoded.Folder]", data_dir: str | None
) -> int:
    """Scores test sets, prints the results, and returns the exit status.

    Args:
      workdir: of a run with finished folds.
      sets: the test sets by name.
      data_dir: TFDS's directory of datasets, None for its default.

    Returns:
      1 if a file of a test set is broken, else 0.
    """
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
    """Refuses arguments of a command that takes flags only.

    Raises:
      UsageError: names the first argument that is not a flag.
    """
    if len(argv) > 1:
        raise UsageError(f"unexpected argument {argv[1]!r}; every option is a flag (--help)")


def run(main: Callable[[Sequence[str]], int | None]) -> None:
    """Parses the flags, runs `main`, and ends the process.

    The exit status is what `main` returns (None is 0), the error's own if it raises a UserError, 2
    if the flags cannot be parsed, 130 after Ctrl-C, and 1 after any other exception. A UserError is
    one line on stderr. A parent process that listens gets the error as an event.
    """
    # TensorFlow writes fewer notes when it starts. What it writes before it reads this stays.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    cpu.prepare()
    events.connect(os.environ)
    app.run(lambda argv: _run_and_report(main, argv), flags_parser=_parse_flags)


def _run_and_report(main: Callable[[Sequence[str]], int | None], argv: Sequence[str]) -> int | None:
    """Returns the exit status of `main`; a traceback only for errors that no user can mend."""
    if not FLAGS["verbosity"].present:
        logging.set_verbosity(logging.ERROR)  # notes of libraries; --verbosity=0 shows them
    try:
        return main(argv)
    except Interrupted as stop:  # all is saved: not an error
        say(str(stop), milestone=True)
        return stop.exit_status
    except UserError as error:
        say(f"error: {error}")
        events.report_error(error)
        return error.exit_status
    except KeyboardInterrupt:
        say("interrupted; files already written are whole, others are not there")
        return 130
    except Exception as error:
        events.report_error(error)
        raise


def _parse_flags(argv: Sequence[str]) -> list[str]:
    try:
        return FLAGS(list(argv))
    except flags.Error as error:
        print(f"error: {error}; --help lists the flags", file=sys.stderr)
        events.report_error(error)
        sys.exit(UsageError.exit_status)
    except SystemExit:  # of --help, which absl ends with 1
        sys.exit(0)
