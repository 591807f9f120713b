from dftk.evaluation.pages import html_parts


def test_a_score_may_be_an_interval():
    page = html_parts.score_table("", [("95 %", {"auc": [0.1, 0.23456]})], 0, ["auc"])
    assert "<th>AUC</th>" in page
    assert "<td>0.100 – 0.235</td>" in page


def test_rows_that_sum_up_are_set_apart():
    page = html_parts.table(["a"], [["1"], ["2"]], strong=1)
    assert page.count("<tr class='sum'>") == 1
    assert page.index("<td>1</td>") < page.index("class='sum'") < page.index("<td>2</td>")
