"""Runs that differ from one in a single choice, on the same folds, and what each choice changed."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from dftk.evaluation.comparison import comparison, comparison_page, tables
from dftk.evaluation.pages.formatting import number
from dftk.launch.parallel import tied
from dftk.runs.results import chooses_by_held_out
from dftk.runs.workdir import Workdir
from dftk.training.config import Config, as_flags
from dftk.training.folds import crossval
from dftk.training.resume.interruption import SAVED, Interrupted, catch_signals
from dftk.utils.errors import UsageError, UserError
from dftk.utils.files import write_text
from dftk.utils.progress import say

BASE = "base"
_POLL_S = 0.5
_SAME = ("dataset", "data_dir", "folds", "max_examples")  # else other images would be held out
_CAPTION = """\
Differences, intervals and p are of these trained models on the same held-out images (McNemar on
decisions, DeLong on AUC, Holm over the changes of the table): what another seed alone makes of them
is not in there; seed=43 is a change like others."""
_CHOSE = "†: chose its epoch or its rate by the images that it is scored on, unlike the base."


class RunsFailed(UserError):
    """Some runs could not be trained; the others are, and in the table."""


def ablate(configs: Mapping[str, Config], folds: Sequence[int], folder: Path) -> str:
    """Trains a run of each config that is not there yet, and compares all with the first.

    Nothing is ever asked of the split `valid`: what is chosen here was not chosen on it.

    Args:
      configs: by the words of what is changed; the first is the base, named BASE.
      folds: indices, the same for all.
      folder: of the runs' workdirs, ablation.md, comparison.json and comparison.html.

    Returns:
      what ablation.md holds, a table in Markdown.

    Raises:
      Interrupted: by a signal; what is trained is saved, the same call goes on.
      RunsFailed: after the table of the others is written.
      UsageError: two changes come to the same, or would share a workdir.
      UserError: the base, or all others, could not be trained.
    """
    workdirs = {name: Workdir(folder / _folder_name(name)) for name in configs}
    _require_single_changes(configs, workdirs)
    tf.config.set_visible_devices([], "GPU")  # they are for the processes that train
    failed = {}
    for place, (name, config) in enumerate(configs.items(), 1):
        say(f"{place} of {len(configs)}: {name}, workdir {workdirs[name].path}")
        if status := _train(config, folds, workdirs[name]):
            failed[name] = status
            if name == BASE:
                raise UserError(f"{BASE}: exit status {status}; nothing to compare with")
    words = "; ".join(f"{name}: exit status {status}" for name, status in failed.items())
    done = {name: config for name, config in configs.items() if name not in failed}
    if len(done) < 2:
        raise UserError(f"no change was trained: {words}")
    trained = [workdirs[name] for name in done]
    content, runs = comparison.compare(trained, None, False, with_valid=False)
    comparison_page.write(folder, content, runs)
    text = table(content, done)
    write_text(folder / "ablation.md", text + "\n")
    if failed:
        raise RunsFailed(f"{words}; {folder / 'ablation.md'} is on the others; the same command "
                         "tries again")  # fmt: skip
    return text


def _folder_name(change: str) -> str:
    return re.sub(r"[^\w.,=+-]+", "_", change)


def _require_single_changes(configs: Mapping[str, Config], workdirs: Mapping[str, Workdir]) -> None:
    if len({workdir.path for workdir in workdirs.values()}) < len(workdirs):
        raise UsageError(f"{', '.join(configs)}: two of these share a workdir; word them otherwise")
    seen: dict[Config, str] = {}
    for name, config in configs.items():
        if config in seen:
            raise UsageError(f"{name}: the same run as {seen[config]}")
        seen[config] = name
        for field in changed(configs[BASE], config):
            if field in _SAME:
                raise UsageError(f"{name}: all runs hold out the same images; give --{field} once")


def changed(base: Config, config: Config) -> dict[str, Any]:
    """The fields of a config that are not the base's."""
    others = base.values()
    return {name: v for name, v in config.values().items() if v != others[name]}


def _train(config: Config, folds: Sequence[int], workdir: Workdir) -> int:
    """The exit status of dftk.train in a process of its own, which leaves no memory behind."""
    if set(folds) <= set(workdir.finished_folds()) and _is_of(workdir, config):
        return 0
    command = [sys.executable, "-m", "dftk.train", f"--workdir={workdir.path}"]
    command += [f"--fold={','.join(map(str, folds))}", *as_flags(config)]
    together = tied(sorted(os.sched_getaffinity(0)))
    with catch_signals() as signals:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=together)
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


def _is_of(workdir: Workdir, config: Config) -> bool:
    """Whether a workdir holds this very run; if not, dftk.train says what differs."""
    _, record = crossval.describe(config)
    there = workdir.config()
    return all(there[part] == record[part] for part in ("config", "inputs"))


def table(content: Mapping[str, Any], configs: Mapping[str, Config]) -> str:
    """A row a run: held-out accuracy and AUC, what the change made of them, and minutes.

    Args:
      content: see dftk.evaluation.comparison.comparison.
      configs: of the runs, in its order.
    """
    head = ["change", "accuracy", "difference", "p", "AUC", "difference", "p", "epochs", "minutes"]
    rows, base, more = [head, ["---", *["--:"] * (len(head) - 1)]], configs[BASE], []
    for name, side, pair in zip(configs, content["runs"], [None, *content["comparisons"]]):
        chose = _chooses(configs[name]) and not _chooses(base)
        cells = [name if pair is None else f"`{name}`{' †' if chose else ''}"]
        for score in ("accuracy", "auc"):
            cells.append(number(side["held_out"][score], ".4f"))
            cells += _difference(pair["held_out"][score]) if pair else ["", ""]
        rows.append([*cells, str(side["epochs"]), number(side["training_minutes"], ".1f")])
        fields = {f: v for f, v in changed(base, configs[name]).items() if f"{f}=" not in name}
        if fields:
            words = " ".join(f"{field}={value}" for field, value in fields.items())
            more.append(f"`{name}` also brings {words}.")
    lines = [f"| {' | '.join(row)} |" for row in rows]
    notes = [_CHOSE] if any("†" in line for line in lines) else []
    return "\n".join([*lines, "", _CAPTION, *notes, *more])


def _chooses(config: Config) -> bool:
    return chooses_by_held_out(config.values())


def _difference(test: Mapping[str, Any]) -> list[str]:
    value, ends, p_value = tables.difference(test)
    return [f"{value} {ends}", p_value]
