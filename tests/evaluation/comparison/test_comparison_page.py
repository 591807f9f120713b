import json

import pytest

from dftk.evaluation.comparison import comparison, comparison_page
from dftk.utils.errors import UserError


@pytest.fixture(scope="module")
def compared(trained, trained_cnn):
    return comparison.compare([trained_cnn, trained], None, measure_speed=False)


def test_files_are_whole_and_the_page_holds_its_pictures(compared, tmp_path):
    comparison_page.write(tmp_path / "new" / "folder", *compared)
    names = {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    assert names == {"comparison.html", "comparison.json", "roc_held_out.png", "roc_valid.png"}
    page = (tmp_path / "new" / "folder" / "comparison.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page.replace("https://", "http").split("<main>")[0]
    written = json.loads((tmp_path / "new" / "folder" / "comparison.json").read_text())
    assert written["comparisons"][0]["second"] == "trained"


def test_a_folder_that_cannot_be_written_is_named(compared):
    with pytest.raises(UserError, match="/dev/null/x: cannot write there"):
        comparison_page.write(comparison_page.Path("/dev/null/x"), *compared)
