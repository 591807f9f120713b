import jinja2
import pytest

from dftk.evaluation.figures import plots
from dftk.evaluation.pages import rendering


def render(text, **values):
    source = '{% import "pages/templates/macros.html" as macros %}' + text
    return rendering._ENVIRONMENT.from_string(source).render(**values)


def test_values_are_escaped():
    assert render("<p>{{ name }}</p>", name="<b>&") == "<p>&lt;b&gt;&amp;</p>"


def test_a_missing_value_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="'name' is undefined"):
        render("{{ name }}")


def test_rows_that_sum_up_are_set_apart():
    page = render(
        '{{ macros.score_table("", folds, [("95 %", joint)], ["auc"], "fold ") }}',
        folds=[{"fold": 3, "n": 1200, "auc": None}],
        joint={"auc": [0.1, 0.23456]},
    )
    assert "<th>AUC</th>" in page
    assert "<tr><td>fold 3</td><td>1,200</td><td>–</td></tr>" in page.replace("\n", "")
    assert '<tr class="sum"><td>95 %</td><td></td><td>0.100 – 0.235</td>' in page


def test_a_picture_is_inside_the_page_and_may_be_missing(tmp_path):
    plots.confusion_matrices(tmp_path / "a.png", {"a": [[1, 0], [0, 1]]})
    page = render("{{ picture(path, 'a < b') }}", path=tmp_path / "a.png")
    assert page.startswith('<img alt="a &lt; b" src="data:image/png;base64,iVBOR')
    assert render("{{ picture(path, '') }}", path=tmp_path / "b.png") == ""


def test_the_command_is_quoted_for_the_shell(tmp_path):
    command = rendering.evaluate_command(tmp_path / "my run", "--shortcuts")
    assert command == f"python -m dftk.evaluate --workdir='{tmp_path}/my run' --shortcuts"
