import io
import math

from dftk import progress


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


def test_throughput_leaves_compilation_out():
    speed = progress.Throughput(compile_seconds=9.0)
    assert math.isnan(speed.examples_per_s)
    speed += progress.Throughput(examples=100.0, seconds=2.0, waited=0.5)
    assert speed.summary() == {
        "examples_per_s": 50.0, "input_wait": 0.25, "train_seconds": 2.0, "compile_seconds": 9.0,
    }  # fmt: skip
