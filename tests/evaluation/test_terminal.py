from dftk.evaluation import terminal


def test_folds_and_their_mean():
    scores = dict.fromkeys(("accuracy", "precision", "recall", "f1", "auc"), 0.25)
    fold = {"fold": 3, "n": 80, **scores}
    lines = terminal.fold_table({"folds": [fold], "mean": scores}).splitlines()
    assert lines[1].split() == ["fold", "3", "80", *["0.2500"] * 5]
    assert len(lines) == 2, "one fold has no mean"
    lines = terminal.fold_table({"folds": [fold, fold], "mean": scores}).splitlines()
    assert lines[3].split() == ["mean", *["0.2500"] * 5]


def test_every_level_of_a_perturbation_is_a_line():
    nan = float("nan")
    score = {"accuracy": 0.5, "accuracy_interval": [0.2, 0.8], "auc": nan,
             "auc_interval": [nan, nan], "called_fake": 0.25}  # fmt: skip
    panel = {"title": "JPEG again", "levels": [{"level": 90, **score}]}
    result = {"clean": score, "perturbations": {"jpeg": panel}}
    _, clean, level = terminal.robustness_table(result).splitlines()
    numbers = ["0.500", "[0.200,", "0.800]", "nan", "[nan,", "nan]", "0.250"]
    assert clean.split() == ["clean", *numbers]
    assert level.split() == ["JPEG", "again", "90", *numbers]


def test_what_beats_chance_is_a_warning():
    entry = {"auc": 0.75, "auc_interval": [0.6, 0.875]}
    result = {
        "groups": {"file size": {"constant": False, "linear": entry, "trees": entry},
                   "metadata": {"constant": True}},
        "found": ["file size"],
        "verdict": "Shortcut found.",
    }  # fmt: skip
    _, size, metadata, verdict = terminal.shortcut_table(result).splitlines()
    numbers = ["0.750", "[0.600,", "0.875]"]
    assert size.split() == ["file", "size", *numbers, *numbers, "WARNING"]
    assert metadata == f"{'metadata':20}the same in all files"
    assert verdict == "Shortcut found."
