import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from dftk.evaluation.checks import shortcuts
from dftk.images import encoded
from dftk.utils.errors import UserError


@pytest.fixture(scope="module")
def images(dataset):
    return list(encoded.from_shards(dataset.train))


@pytest.fixture(scope="module")
def shuffled(images):
    """Labels without meaning, half of each in every fold."""
    rng = np.random.default_rng(3)
    labels = np.zeros(len(images), int)
    for fold in range(5):
        rows = np.flatnonzero([image.fold == fold for image in images])
        labels[rng.permutation(rows)[: len(rows) // 2]] = 1
    return [dataclasses.replace(i, label=int(label)) for i, label in zip(images, labels)]


def resave(image, brighter=0, **options):
    pixels = np.asarray(Image.open(io.BytesIO(image.data))).astype(int) + brighter
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "JPEG", **options)
    return dataclasses.replace(image, data=file.getvalue())


def planted(images, fake, real=None):
    """Both classes saved again by one program: fakes so, reals otherwise or alike."""
    plain = {"quality": 95}
    return [resave(i, **{**plain, **(fake if i.label else real or {})}) for i in images]


def audit(images):
    return shortcuts.audit(images, len(images), 5)


def test_labels_without_meaning_have_no_shortcut(shuffled):
    result = audit(shuffled)
    assert result["found"] == []
    assert (result["n"], result["fakes"], result["unreadable"]) == (400, 200, 0)
    assert result["verdict"].startswith("No shortcut found")
    spans = [g[k]["auc_interval"] for g in result["groups"].values() if not g["constant"]
             for k in ("linear", "trees")]  # fmt: skip
    low, high = max(spans, key=lambda span: span[1] - span[0])
    assert f"is {low:.3f} to {high:.3f}, so that" in result["verdict"]
    assert "do not demonstrably beat chance" in result["verdict"]
    assert result["groups"]["dimensions"] == {"constant": True}
    assert result["groups"]["JPEG quantisation"] == {"constant": True}
    for kind in ("linear", "trees"):
        low, high = result["groups"]["mean colour"][kind]["auc_interval"]
        assert low < 0.5 < high


@pytest.mark.parametrize(
    ("fake", "groups"),
    [
        ({"quality": 90}, {"JPEG quantisation"}),
        ({"progressive": True}, {"encoding"}),
        ({"comment": b"generated"}, {"metadata"}),
        ({"brighter": 25}, {"mean colour"}),
    ],
)
def test_a_planted_shortcut_is_caught_and_named(shuffled, fake, groups):
    result = audit(planted(shuffled[:200], fake))
    assert groups | {shortcuts.ALL} <= set(result["found"])
    # Bytes change with the quality and with what is added; colour and contrast only with pixels.
    allowed = {"file size", "contrast"} if "brighter" in fake else {"file size"}
    assert set(result["found"]) <= groups | {shortcuts.ALL} | allowed
    for group in groups:
        assert f"{group}, AUC" in result["verdict"]
    assert "instead of faces" in result["verdict"]
    assert "needs another explanation" not in result["verdict"], "AUCs do not subtract"


def test_one_in_five_fakes_with_a_comment_is_caught(shuffled):
    """A weak hint: AUC 0.6 at best."""
    rng = np.random.default_rng(0)
    images = [resave(i, comment=b"x") if i.label and rng.random() < 0.2 else i for i in shuffled]
    result = audit(images)
    assert "metadata" in result["found"]
    assert shortcuts.best(result["groups"]["metadata"])["auc"] == pytest.approx(0.6, abs=0.04)


def test_the_sample_is_made_without_shortcuts(images):
    """Bytes and colour of both classes are drawn from one distribution (dftk.datasets.sample)."""
    assert {"file size", "mean colour", "JPEG quantisation", "metadata"}.isdisjoint(
        audit(images)["found"]
    )


def test_files_that_are_all_alike_have_a_verdict_too():
    text = shortcuts.verdict({"file size": {"constant": True}}, [], 0.95)
    assert text.endswith("do not demonstrably beat chance.")


def test_a_folder_without_folds_gets_some(shuffled):
    images = [dataclasses.replace(image, fold=-1) for image in shuffled[:100]]
    assert audit(images)["n"] == 100


def test_unreadable_images_are_counted_and_left_out(shuffled):
    broken = [dataclasses.replace(image, data=b"\xff\xd8") for image in shuffled[:3]]
    result = audit(broken + shuffled[3:100])
    assert (result["n"], result["unreadable"]) == (97, 3)


@pytest.mark.parametrize("kept", [0, 1, 9])
def test_too_few_images_of_a_class_are_one_line(shuffled, kept):
    reals = [image for image in shuffled if not image.label]
    fakes = [image for image in shuffled if image.label][:kept]
    with pytest.raises(UserError, match=f"{kept} fake images are too few"):
        audit(reals + fakes)


def test_a_workdir_gets_numbers_and_a_picture(shuffled, tmp_path):
    result = audit(planted(shuffled[:100], {"comment": b"x"}))
    shortcuts.write(tmp_path, result)
    assert json.loads((tmp_path / "shortcuts.json").read_text()) == result
    picture = Image.open(tmp_path / shortcuts.PICTURE).convert("L")
    assert (np.asarray(picture) < 250).mean() > 0.02
