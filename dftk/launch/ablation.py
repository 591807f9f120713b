"""Runs that differ from one in a single choice, on the same folds, and what each choice changed."""

import contextlib
import dataclasses
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dftk.config import Config, UsageError, UserError, as_flags
from dftk.evaluation import comparison, comparison_page
from dftk.evaluation.files import write_text
from dftk.evaluation.html_parts import number
from dftk.evaluation.workdir import Workdir
from dftk.progress import say
from dftk.training.interruption import SAVED, Interrupted, listening

BASE = "base"
_POLL_S = 0.5


class RunsFailed(UserError):
    """Some runs could not be trained; the others are, and in the table."""


def ablate(
    configs: Mapping[str, Config], folds: Sequence[int], folder: Path
) -> tuple[str, dict[str, Any]]:
    """Trains a run of each config that is not there yet, and compares all with the first.

    Nothing is ever asked of the split `valid`: what is chosen here was not chosen on it.

    Args:
      configs: by the words of what is changed; the first is the base, named BASE.
      folds: indices, the same for all.
      folder: of the runs' workdirs, ablation.md, comparison.json and comparison.html.

    Returns:
      the table as ablation.md holds it, and comparison.json's content.

    Raises:
      Interrupted: by a signal; what is trained is saved, the same call goes on.
      RunsFailed: after the table of the others.
      UsageError: two changes would share a workdir.
      UserError: the base, or all others, could not be trained.
    """
    workdirs = {name: Workdir(folder / _folder_name(name)) for name in configs}
    if len({workdir.path for workdir in workdirs.values()}) < len(workdirs):
        raise UsageError(f"{', '.join(configs)}: two of these share a workdir; word them otherwise")
    failed = {}
    for place, (name, config) in enumerate(configs.items(), 1):
        say(f"{place} of {len(configs)}: {name}, workdir {workdirs[name].path}")
        if status := _train(config, folds, workdirs[name]):
            failed[name] = status
            if name == BASE:
                raise UserError(f"{BASE}: exit status {status}; nothing to compare with")
    done = [name for name in configs if name not in failed]
    if len(done) < 2:
        raise UserError(f"no change was trained: {_in_words(failed)}")
    content, runs = comparison.compare([workdirs[n] for n in done], None, False, with_valid=False)
    comparison_page.write(folder, content, runs)
    text = table(content, done)
    write_text(folder / "ablation.md", text + "\n")
    if failed:
        print(text)
        raise RunsFailed(f"{_in_words(failed)}; the same command tries again")
    return text, content


def _folder_name(change: str) -> str:
    return re.sub(r"[^\w.,=+-]+", "_", change)


def _in_words(failed: Mapping[str, int]) -> str:
    return "; ".join(f"{name}: exit status {status}" for name, status in failed.items())


def _train(config: Config, folds: Sequence[int], workdir: Workdir) -> int:
    """The exit status of dftk.train in a process of its own, which leaves no memory behind."""
    if set(folds) <= set(workdir.finished_folds()):
        there = workdir.config()["config"]
        if all(there.get(name) == value for name, value in dataclasses.asdict(config).items()):
            return 0  # else dftk.train says which flag differs
    command = [sys.executable, "-m", "dftk.train", f"--workdir={workdir.path}"]
    command += [f"--fold={','.join(map(str, folds))}", *as_flags(config)]
    with listening() as signals:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        told = False
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)
            if signals.number and not told:
                process.send_signal(signal.SIGTERM)
                told = True
    status = process.returncode
    if signals.number or status in (SAVED, 130):
        raise Interrupted(
            "stopped by a signal; the run under way is saved, the same command goes on from there",
            signals.number or signal.SIGTERM,
        )
    return status


def table(content: Mapping[str, Any], names: Sequence[str]) -> str:
    """A row a run: held-out accuracy and AUC, what the change made of them, and minutes.

    Args:
      content: see dftk.evaluation.comparison.
      names: of the runs, in its order.
    """
    head = ["change", "accuracy", "difference", "p", "AUC", "difference", "p", "epochs", "minutes"]
    rows = [head, ["---", *["--:"] * (len(head) - 1)]]
    for name, side, pair in zip(names, content["runs"], [None, *content["comparisons"]]):
        cells = [name if pair is None else f"`{name}`"]
        for score in ("accuracy", "auc"):
            cells.append(number(side["held_out"][score], ".4f"))
            cells += _difference(pair["held_out"][score]) if pair else ["", ""]
        rows.append([*cells, str(side["epochs"]), number(side["training_minutes"], ".1f")])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _difference(test: Mapping[str, Any]) -> list[str]:
    value, ends, p_value = comparison_page.difference(test)
    return [f"{value} {ends}", p_value]
