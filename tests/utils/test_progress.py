import io
import math
import re

import pytest

from dftk.utils import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_one_line_is_redrawn(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress.Progress, "interval", 0.0)
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
    clock = iter([0.0, 4.0, 4.0, 5.0])
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
    clock = iter([0.0, 59.0, 61.0, 61.0, 90.0, 122.0, 122.0])
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


def test_a_board_keeps_a_live_line_for_each_below_the_lines_that_stay(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    board = progress.Board()
    board.live(1, "fold 1  8/80")
    board.live(0, "fold 0  4/80")
    board.line("fold 0  frozen 1/1  done")
    board.end(0)
    shown = render(terminal.getvalue())
    assert shown == ["fold 0  frozen 1/1  done", "fold 1  8/80"]


def test_off_a_terminal_a_board_writes_what_stays(capsys):
    board = progress.Board()
    board.live(1, "fold 1  8/80")
    board.line("fold 0  done")
    board.end(1)
    assert capsys.readouterr().err == "fold 0  done\n"


def render(text):
    """What a terminal shows after these: lines, cursor up, erase below."""
    lines, row = [""], 0
    for piece in re.split(r"(\r|\n|\x1b\[\d*[AJ])", text):
        if piece == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif piece.endswith("A") and piece.startswith("\x1b"):
            row -= int(piece[2:-1])
        elif piece.endswith("J") and piece.startswith("\x1b"):
            lines[row:] = [""]
        elif piece != "\r":
            lines[row] += piece
    return [line for line in lines if line]


def test_files_are_counted_on_one_line_of_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress.Progress, "interval", 0.0)
    count = progress.Count("predict")
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
    count = progress.Count("predict")
    count.step(0.5)
    assert capsys.readouterr().err == "", "not yet"
    monkeypatch.setattr(progress.Count, "interval", 0.0)
    count.step(0.5)
    assert capsys.readouterr().err.startswith("predict: 2 files, 0 failed, ")
    quiet = progress.Count("predict", quiet=True)
    quiet.step(0.5)
    assert capsys.readouterr().err == ""
    quiet.close(0.5)
    assert capsys.readouterr().err.count("\n") == 1
