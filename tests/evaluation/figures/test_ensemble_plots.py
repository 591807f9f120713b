import numpy as np

from dftk.evaluation.figures import ensemble_plots


def draw(folder, labels, prefix=""):
    members = np.array([[0.1, 0.6, 0.4, 0.9], [0.3, 0.2, 0.6, 0.7]])
    entry = {"auc": 0.75, "confusion_matrix": [[1, 1], [1, 1]]}
    result = {"folds": [{"fold": 0, **entry}, {"fold": 3, **entry}], "ensemble": entry}
    mean = members.mean(axis=0)
    ensemble_plots.draw(
        folder, "new", result, labels=np.array(labels), members=members, mean=mean, prefix=prefix
    )
    return sorted(path.name for path in folder.iterdir())


def test_curves_and_matrix_are_written(tmp_path):
    files = draw(tmp_path, [0, 0, 1, 1], "valid_")
    assert files == ["valid_confusion_matrix.png", "valid_roc.png"]


def test_one_class_has_no_curve(tmp_path):
    assert draw(tmp_path, [1, 1, 1, 1]) == ["confusion_matrix.png"]
