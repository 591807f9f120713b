import pytest
from child_code import run_with_events
from commands import run_in_new_process

from dftk.training.config import Config
from dftk.utils import events
from dftk.utils.events import Event
from dftk.utils.option import flags_of


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fold=5"], "--fold=5: there is no fold 5; folds are 0 to 4"),
        (["--batch_size=0"], "--batch_size=0: must be at least 1"),
        (["--batch_size=many"], "--batch_size"),
        (["--nonsense"], "nonsense"),
        (["stray"], "unexpected argument 'stray'"),
        (["--recipe=better"], "default|best|seed"),
    ],
)
def test_usage_errors_are_one_line_and_status_2(arguments, message):
    answer = run_in_new_process("train", *arguments)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith("error: ")
    assert message in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_help_lists_every_flag_with_its_default():
    answer = run_in_new_process("train", "--help")
    assert answer.returncode == 0
    text = " ".join(answer.stdout.split())
    for flag in flags_of(Config):
        assert f"--{flag.name}" in text or f"--[no]{flag.name}" in text
        assert f"Default: {flag.default}." in text


def test_flagfile(tmp_path):
    (tmp_path / "run.flags").write_text("--fold=9\n--batch_size=8\n")
    answer = run_in_new_process("train", f"--flagfile={tmp_path / 'run.flags'}")
    assert (answer.returncode, "--fold=9" in answer.stderr) == (2, True)


@pytest.mark.parametrize(
    ("raised", "status", "event"),
    [
        ("UserError('a: b')", 1, Event(events.ERROR, "a: b", "UserError", is_user_error=True)),
        ("UsageError('--a')", 2, Event(events.ERROR, "--a", "UsageError", is_user_error=True)),
        ("KeyError('a')", 1, Event(events.ERROR, "'a'", "KeyError")),
        ("Interrupted('saved', 15)", 75, Event(events.MILESTONE, "saved")),
    ],
)
def test_a_parent_that_listens_gets_the_error_with_its_fields(raised, status, event):
    code = f"""
from dftk import cli
from dftk.training.resume.interruption import Interrupted
from dftk.utils.errors import UsageError, UserError
def main(argv):
    raise {raised}
cli.run(main)
"""
    returncode, found, written = run_with_events(code)
    assert (returncode, found) == (status, [event])
    assert event.text in written
