import copy
import json
import pickle
import shlex

import pytest

from tfds_rvf10k import FoldConfig


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("k", "5", "k is int, got '5'"),
        ("any_size", "false", "any_size is bool, got 'false'"),
        ("real", 0, "real is str, got 0"),
        ("shards_per_fold", 1.0, "shards_per_fold is int, got 1.0"),
        ("k", 1, "k must be at least 2, got 1"),
        ("shards_per_fold", 0, "at least 1, got 0"),
        ("near_duplicates", 128, "at most 127, got 128"),
        ("on_bad", "ignore", "on_bad is strict or quarantine, got 'ignore'"),
        ("fake", "real", "real and fake are both 'real'"),
    ],
)
def test_impossible_choices_are_refused(field, value, message):
    with pytest.raises(ValueError, match=f"config 'bad': .*{message}"):
        FoldConfig(name="bad", **{field: value})


def test_choices_are_what_decides_the_contents():
    choices = FoldConfig(name="a", description="words", k=3).choices()
    assert choices["k"] == 3
    assert not {"name", "description", "version"} & set(choices)


@pytest.mark.parametrize("name", ["", "../escape", "a/b", ".hidden", "a b", 5, None])
def test_a_name_stays_in_its_folder(name):
    with pytest.raises(ValueError, match="is no name; take letters"):
        FoldConfig(name=name)


def test_unknown_fields_and_no_name_are_named():
    with pytest.raises(ValueError, match="no field 'K', 'shards'; the fields are name, k, seed"):
        FoldConfig(**{"name": "a", "K": 5, "shards": 3})
    with pytest.raises(ValueError, match="it has no name"):
        FoldConfig(k=4)


def test_it_is_copied_and_pickled():
    config = FoldConfig(name="a", k=3)
    for again in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert (again.name, again.choices()) == ("a", config.choices())


def test_a_config_with_changes_is_an_option_that_can_be_pasted():
    config = FoldConfig(name="mine", k=3, real="it's real")
    (option,) = shlex.split(config.as_option(on_bad="quarantine"))
    assert json.loads(option.removeprefix("--config=")) == {
        "name": "mine-sound", "k": 3, "real": "it's real", "on_bad": "quarantine",
    }  # fmt: skip
    assert '"name": "mine-k2"' in config.as_option(k=2)
