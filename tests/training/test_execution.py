import pytest

from dftk.training.execution import ExecutionOptions, parse_folds, parse_steps
from dftk.utils.errors import UsageError


@pytest.mark.parametrize(("text", "processes"), [("auto", None), ("1", 1), ("4", 4)])
def test_processes(text, processes):
    assert ExecutionOptions(parallel=text).processes == processes


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"parallel": "0"}, "--parallel=0: give auto, ray, or a number from 1 on"),
        ({"parallel": "all"}, "--parallel=all"),
        ({"workers": 0}, "--workers=0: must be at least 1"),
        ({"checkpoint_steps": 0}, "--checkpoint_steps=0: must be at least 1"),
        ({"profile_steps": (0, 3)}, "--profile_steps=0,3"),
        ({"profile_steps": (9, 3)}, "--profile_steps=9,3: give the first step"),
        ({"parallel": "2", "workers": 2}, "--parallel=2 --workers=2: choose one of them"),
        ({"array_task": True, "parallel": "ray"}, "--fold=job --parallel=ray: choose one"),
        ({"ray_address": "auto"}, "--ray_address: only with --parallel=ray or --workers"),
        ({"parallel": "2", "profile_steps": (1, 2)}, "--profile_steps: not with --parallel=2"),
    ],
)
def test_what_cannot_be_is_named(given, message):
    with pytest.raises(UsageError, match=message):
        ExecutionOptions(**given)


def test_steps_are_read():
    assert parse_steps(None) is None
    assert parse_steps(["20", "30"]) == (20, 30)
    for parts in (["20"], ["a", "b"], ["1", "2", "3"]):
        with pytest.raises(UsageError, match="--profile_steps=.*give two numbers"):
            parse_steps(parts)


def test_folds_are_read():
    assert parse_folds("all", 5) == (0, 1, 2, 3, 4)
    assert parse_folds("3", 5) == (3,)
    assert parse_folds("2,0,2", 5) == (0, 2)


@pytest.mark.parametrize("text", ["5", "-1", "0,9", "one", ""])
def test_folds_that_do_not_exist_are_refused(text):
    with pytest.raises(UsageError, match="--fold="):
        parse_folds(text, 5)
