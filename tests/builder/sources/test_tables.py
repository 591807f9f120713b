import pytest
from listings import SPLIT, listed, make

from tfds_rvf10k.sources.listing import find_source
from tfds_rvf10k.sources.source_images import Layout


def write(path, *rows):
    path.write_text("\n".join(rows) + "\n")


def test_a_split_is_compared_with_its_table_row_by_row(tmp_path):
    make(tmp_path, *SPLIT, "train/real/extra.jpg")
    write(
        tmp_path / "train.csv", "path,label_str", "train/real/1.jpg,fake", "train/fake/2.jpg,fake",
        "train/fake/2.jpg,fake", "train/fake/gone.jpg,fake",
    )  # fmt: skip
    write(
        tmp_path / "valid.csv", "path", "valid/real/3.jpg", "valid/fake/4.jpg", "valid/fake/9.jpg"
    )
    found = listed(tmp_path)
    assert [(p.filename, p.what) for p in found.problems] == [
        ("train/fake/2.jpg", "twice in train.csv"),
        ("train/fake/gone.jpg", "train.csv names it, but it is not there"),
        ("train/real/extra.jpg", "train.csv does not name it"),
        ("train/real/1.jpg", "train.csv calls it 'fake'"),
    ]
    assert found.missing == {"train": ["train/fake/gone.jpg"], "valid": ["valid/fake/9.jpg"]}


def test_a_table_may_lie_above_the_tree_and_carry_groups(tmp_path):
    make(tmp_path / "a" / "b", *SPLIT)
    write(tmp_path / "train.csv", "path,who", "train/real/1.jpg,ann", "train/fake/2.jpg,ann")
    write(tmp_path / "valid.csv", "path,who", "valid/real/3.jpg,", "valid/fake/4.jpg,bob")
    found = listed(tmp_path / "a" / "b", Layout(group_column="who"))
    assert {i.filename: i.group for i in found.images} == {
        "train/real/1.jpg": "ann", "train/fake/2.jpg": "ann",
        "valid/real/3.jpg": "", "valid/fake/4.jpg": "bob",
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"train.csv: no column 'whom' among \['path', 'who'\]"):
        listed(tmp_path / "a" / "b", Layout(group_column="whom"))


def test_a_table_alone_lists_images_of_any_layout(tmp_path):
    make(tmp_path / "data", "x/1.jpg", "y/2.jpg", "3.jpg")
    write(
        tmp_path / "data" / "faces.csv", "filename,label,split,who", "x/1.jpg,1,train,ann",
        "./y/2.jpg,0,val,", "3.jpg,0,test,", "../4.jpg,0,train,", "./x/1.jpg,1,train,",
    )  # fmt: skip
    layout = Layout(("1", "0"), table="faces.csv", group_column="who")
    assert find_source(str(tmp_path), layout, "").path == str(tmp_path / "data")
    found = listed(tmp_path / "data", layout)
    assert [(i.filename, i.split, i.label, i.group) for i in found.images] == [
        ("x/1.jpg", "train", 0, "ann"),
        ("y/2.jpg", "valid", 1, ""),
    ]
    assert [(p.filename, p.what) for p in found.problems] == [
        ("3.jpg", "split 'test' is neither train nor valid"),
        ("../4.jpg", "leads out of the table's folder"),
        ("x/1.jpg", "twice in faces.csv"),
    ]


def test_labels_that_are_numbers_are_not_guessed(tmp_path):
    write(tmp_path / "faces.csv", "path,label", "1.jpg,1", "2.jpg,0")
    with pytest.raises(ValueError, match=r"column 'label' has \['0', '1'\], .*say which is which"):
        listed(tmp_path, Layout(table="faces.csv"))


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"path,label\n\xff\xfe,real\n", "not a readable CSV"), (b"", "no column 'path' or")],
)
def test_a_broken_table_is_named(text, message, tmp_path):
    (tmp_path / "faces.csv").write_bytes(text)
    with pytest.raises(ValueError, match=f"{tmp_path}/faces.csv: {message}"):
        listed(tmp_path, Layout(table="faces.csv"))


@pytest.mark.parametrize(
    ("column", "options"),
    [("label", {}), ("label_str", {}), ("target", {"label_column": "target"})],
)
def test_a_label_that_contradicts_its_folder_is_a_problem_in_whatever_column(
    column, options, tmp_path
):
    make(tmp_path, *SPLIT)
    write(
        tmp_path / "train.csv", f"path,{column}", "train/real/1.jpg,fake", "train/fake/2.jpg,real"
    )
    write(
        tmp_path / "valid.csv", f"path,{column}", "valid/real/3.jpg,real", "valid/fake/4.jpg,FAKE"
    )
    found = listed(tmp_path, Layout(**options))
    named = {p.filename: p.what for p in found.problems}
    if column == "label":  # a value that means nothing: the column may be anything
        named["valid/fake/4.jpg"] = "valid.csv calls it 'FAKE'"
    assert named == {
        "train/real/1.jpg": "train.csv calls it 'fake'",
        "train/fake/2.jpg": "train.csv calls it 'real'",
        "valid/fake/4.jpg": "valid.csv calls it 'FAKE'",
    }


def test_a_table_above_that_is_another_datasets_is_passed_over(tmp_path):
    make(tmp_path / "faces", *SPLIT)
    write(tmp_path / "train.csv", "id,target", "1,2")
    write(tmp_path / "valid.csv", "path,x", "elsewhere/1.jpg,2")
    assert listed(tmp_path / "faces").problems == []


def test_a_column_that_no_table_has_is_not_passed_over(tmp_path):
    make(tmp_path, *SPLIT)
    with pytest.raises(ValueError, match="group_column='who': there is no train.csv in"):
        listed(tmp_path, Layout(group_column="who"))
    make(tmp_path / "flat", "real/1.jpg", "fake/2.jpg")
    write(tmp_path / "flat" / "train.csv", "path,who", "real/1.jpg,ann", "fake/2.jpg,ann")
    with pytest.raises(ValueError, match="group_column='who': the images are in no split"):
        listed(tmp_path / "flat", Layout(group_column="who"))


def test_swapped_classes_are_one_problem(tmp_path):
    make(tmp_path, *SPLIT, "train/real/5.jpg")
    write(
        tmp_path / "train.csv", "path", "train/fake/1.jpg", "train/real/2.jpg", "train/fake/5.jpg"
    )
    write(tmp_path / "valid.csv", "path", "valid/real/3.jpg", "valid/fake/4.jpg")
    (problem,) = listed(tmp_path).problems
    assert str(problem).startswith("real and fake: train.csv has every image in the other class")
