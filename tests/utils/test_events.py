"""Events of real child processes."""

import subprocess
import sys

import pytest
from child_code import run_with_events
from repository import ROOT

from dftk.utils import events
from dftk.utils.events import Event


def run_child(code):
    """Returns the events of code and what it writes."""
    preamble = "import os, sys\nfrom dftk.utils import events, progress\n"
    _, found, output = run_with_events(preamble + code)
    return found, output


def test_lines_and_live_lines_and_errors_arrive_whole_and_in_order():
    long = "x" * 200_000  # more than the pipe holds
    found, output = run_child(
        "from dftk.utils.errors import UserError\n"
        "events.connect(os.environ)\n"
        "progress.say('not a milestone')\n"
        "progress.say('fold 0: goes on\\nfrom a state', milestone=True)\n"
        "events.report(events.Event(events.LIVE, 200_000 * 'x'))\n"
        "events.report_error(UserError('--a=1: give 2'))\n"
        "events.report_error(ValueError('Größe'))\n"
    )
    assert found == [
        Event(events.MILESTONE, "fold 0: goes on\nfrom a state"),
        Event(events.LIVE, long),
        Event(events.ERROR, "--a=1: give 2", "UserError", is_user_error=True),
        Event(events.ERROR, "Größe", "ValueError"),
    ]
    assert output == "not a milestone\nfold 0: goes on\nfrom a state\n"


def test_progress_is_reported_though_stderr_is_no_terminal():
    found, output = run_child(
        "events.connect(os.environ)\n"
        "line = progress.Progress('fold 0  finetune 1/2', 100, milestone=True)\n"
        "line.update(40, 20.0, 'loss 0.5')\n"
        "line.update(41, 20.0, 'loss 0.5')\n"
        "line.close('loss 0.4')\n"
    )
    assert found == [
        Event(events.LIVE, "fold 0  finetune 1/2  40/100  20.0 img/s  3 s left  loss 0.5"),
        Event(events.MILESTONE, "fold 0  finetune 1/2  loss 0.4"),
    ]
    assert output == "fold 0  finetune 1/2  loss 0.4\n"


def test_a_process_that_was_not_connected_reports_nothing():
    found, output = run_child("progress.say('a line', milestone=True)")
    assert (found, output) == ([], "a line\n")


def test_a_process_that_the_child_starts_is_not_connected():
    code = (
        "import subprocess\n"
        "fd = os.environ[events.DESCRIPTOR]\n"
        "events.connect(os.environ)\n"
        "assert events.DESCRIPTOR not in os.environ\n"
        "command = ['/bin/sh', '-c', f'test -e /proc/self/fd/{fd} && echo it is open']\n"
        "print(subprocess.run(command, close_fds=False).returncode)\n"
    )
    assert run_child(code) == ([], "1\n")


def test_a_parent_that_has_gone_does_not_stop_the_child():
    pipe = events.EventPipe()
    code = (
        "import os\nfrom dftk.utils import events, progress\n"
        "events.connect(os.environ)\n"
        "input()\n"
        "progress.say('one', milestone=True)\nprogress.say('two', milestone=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, pass_fds=[pipe.child_end], env=pipe.environment,
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    pipe.close_child_end()
    pipe.close()
    _, written = child.communicate("\n")
    assert (child.returncode, written) == (0, "one\ntwo\n")


def test_without_a_parent_nothing_is_reported(monkeypatch):
    monkeypatch.delenv(events.DESCRIPTOR, raising=False)
    assert not events.is_connected()
    events.report(Event(events.LIVE, "to nobody"))


@pytest.mark.parametrize("given", ["", "one"])
def test_a_descriptor_that_is_no_number_is_an_error(given):
    with pytest.raises(ValueError, match="invalid literal"):
        events.connect({events.DESCRIPTOR: given})
