import fcntl
import io
import math
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from repository import ROOT

from dftk.utils import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_one_line_is_redrawn(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress, "REDRAW_S", 0.0)
    line = progress.Progress("fold 0", 100)
    line.update(0, float("nan"))
    line.update(40, 20.0, "loss 0.5")
    line.close("done")
    text = terminal.getvalue()
    assert "\r\x1b[Kfold 0  40/100  20.0 img/s  3 s left  loss 0.5" in text
    assert text.endswith("\r\x1b[Kfold 0  done\n")
    assert text.count("\n") == 1


def test_the_rate_is_since_it_began_if_not_given(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    clock = iter([0.0, 0.0, 4.0, 4.0, 5.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    line = progress.Progress("reading", 100)
    line.update(20)
    assert "20/100  5.0 img/s  16 s left" in terminal.getvalue()
    assert line.seconds == 5.0


def test_a_line_is_not_redrawn_too_often(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    line = progress.Progress("fold 0", 100)
    for done in range(100):
        line.update(done, 1.0)
    assert terminal.getvalue().count("\r") == 1


def test_elsewhere_only_whole_lines(capsys):
    line = progress.Progress("decoding", 10)
    line.update(5, 1.0)
    line.close("10 images")
    assert capsys.readouterr().err == "decoding  10 images\n"


def test_elsewhere_a_line_a_minute(capsys, monkeypatch):
    clock = iter([0.0, 0.0, 59.0, 61.0, 61.0, 90.0, 122.0, 122.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    line = progress.Progress("features", 7000)
    for done in (1000, 1220, 1800, 2440):
        line.update(done)
    assert capsys.readouterr().err == (
        "features  1220/7000  20.0 img/s  5 min left\nfeatures  2440/7000  20.0 img/s  4 min left\n"
    )


def test_throughput_leaves_compilation_out():
    speed = progress.Throughput(compile_seconds=9.0)
    assert math.isnan(speed.examples_per_s)
    speed.add(progress.Throughput(examples=100.0, steps=4, seconds=2.0, waited=0.5))
    assert speed.summary() == {
        "examples_per_s": 50.0, "ms_per_step": 500.0, "input_wait": 0.25, "train_seconds": 2.0,
        "compile_seconds": 9.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(7.4, "7 s"), (99, "99 s"), (600, "10 min"), (3599, "1 h 00 min"), (11_100, "3 h 05 min")],
)
def test_durations_in_words(seconds, words):
    assert progress.duration(seconds) == words


def test_processes_have_a_live_line_each_below_the_lines_that_stay(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    processes = progress.MultiProgress()
    processes.live(1, "fold 1  8/80")
    processes.live(0, "fold 0  4/80")
    processes.line(0, "fold 0  frozen 1/1  done")
    assert render(terminal.getvalue()) == [
        "fold 0  frozen 1/1  done", "fold 0  4/80", "fold 1  8/80",
    ]  # fmt: skip
    processes.end(0)
    processes.end(0)  # it has none any more
    assert render(terminal.getvalue()) == ["fold 0  frozen 1/1  done", "fold 1  8/80"]


def test_off_a_terminal_a_live_line_is_written_if_nothing_was_for_a_minute(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now)
    processes = progress.MultiProgress()
    for now in range(0, 200, 10):
        processes.live(0, f"fold 0  after {now} s")
        processes.live(1, f"fold 1  after {now} s")
        if now == 50:
            processes.line(0, "fold 0  done")
    assert capsys.readouterr().err.splitlines() == [
        "fold 0  done", "fold 1  after 60 s", "fold 0  after 110 s", "fold 1  after 120 s",
        "fold 0  after 170 s", "fold 1  after 180 s",
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["size of the terminal", "COLUMNS"])
def test_live_lines_take_one_row_of_a_narrow_terminal(how):
    code = (
        "from dftk.utils import progress\n"
        "line = progress.Progress('fold 0  finetune 1/2', 100)\n"
        "progress.REDRAW_S = 0\n"
        "for done in (40, 60):\n"
        "    line.update(done, 20.0, '12 ms/step  0.1% waiting  loss 0.5')\n"
        "line.close('loss 0.4')\n"
        "processes = progress.MultiProgress()\n"
        "for done in range(3):\n"
        "    for process in range(2):\n"
        "        processes.live(process, f'fold {process}  {done}/100 ' + 50 * '-')\n"
        "progress.sys.stderr.write('END')\n"
    )
    columns, environment = (200, {"COLUMNS": "40"}) if how == "COLUMNS" else (40, {})
    shown = render(in_terminal(code, columns, environment), 40)
    assert shown == [
        "fold 0  finetune 1/2  loss 0.4",
        "fold 0  2/100 " + 25 * "-",
        "fold 1  2/100 " + 25 * "-",
        "END",
    ]


def in_terminal(code, columns, environment):
    """What Python code writes to stderr, which is a terminal of that width; stdout is none."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL,
        stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    written = b""
    while not written.endswith(b"END"):
        written += os.read(ours, 4096)
    child.wait()
    os.close(ours)
    return written.decode()


def test_a_line_that_stays_replaces_the_live_line(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    line = progress.Progress("fold 0", 100)
    line.update(40, 20.0)
    progress.say("note: a long word of warning that has nothing to do with the speed")
    assert render(terminal.getvalue()) == [
        "note: a long word of warning that has nothing to do with the speed"
    ]


def render(text, columns=200):
    """What a terminal of that width shows of a text: lines wrap, the cursor goes up, rows clear."""
    rows, row, column = [""], 0, 0
    for piece in re.findall(r"\x1b\[\d*[AJK]|.", text, re.DOTALL):
        if piece == "\r":
            column = 0
        elif piece.endswith("A") and len(piece) > 1:
            row -= int(piece[2:-1])
        elif piece == "\x1b[J":
            rows[row:] = [rows[row][:column]]
        elif piece == "\x1b[K":
            rows[row] = rows[row][:column]
        else:
            if piece == "\n" or column == columns:
                row, column = row + 1, 0
                rows += [""] * (row + 1 - len(rows))
            if piece != "\n":
                rows[row] = rows[row][:column] + piece + rows[row][column + 1 :]
                column += 1
    return [line for line in rows if line]


def test_files_are_counted_on_one_line_of_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress, "REDRAW_S", 0.0)
    count = progress.FileCounter("predict")
    count.step(0.25)
    count.fail("error: a.jpg: empty file")
    count.step(math.nan)
    count.close(0.5)
    live, rest = terminal.getvalue().split("error: a.jpg: empty file\n")
    assert re.fullmatch(
        r"\r\x1b\[Kpredict: 1 files, 0 failed, [0-9.]+ img/s, 25% waiting for input\r\x1b\[K", live
    )
    assert rest.count("\n") == 1
    assert re.search(r"\r\x1b\[Kpredict: 3 files, 1 failed, .* img/s, 50% .*, [0-9.]+ s\n$", rest)


def test_files_are_counted_by_lines_elsewhere(monkeypatch, capsys):
    count = progress.FileCounter("predict")
    count.step(0.5)
    assert capsys.readouterr().err == "", "not yet"
    monkeypatch.setattr(progress.FileCounter, "plain_s", 0.0)
    count = progress.FileCounter("predict")
    count.step(0.5)
    assert capsys.readouterr().err.startswith("predict: 1 files, 0 failed, ")
    quiet = progress.FileCounter("predict", quiet=True)
    quiet.step(0.5)
    assert capsys.readouterr().err == ""
    quiet.close(0.5)
    assert capsys.readouterr().err.count("\n") == 1
