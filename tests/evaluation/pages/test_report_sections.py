import dataclasses

import pytest
import report_pages


@pytest.fixture(scope="module")
def results(trained):
    return report_pages.read_results(trained)


def with_metrics(results, **changes):
    return dataclasses.replace(results, metrics={**results.metrics, **changes})


def held_out(results):
    return report_pages.section("held_out", results, chosen_by_held_out=False)


def test_each_fold_is_decided_by_the_others_threshold(results):
    page = report_pages.section("threshold", results)
    for entry in results.metrics["at_threshold"]["folds"]:
        assert f"<td>{entry['fold']}</td><td>{entry['threshold']:.4f}</td>" in page
    assert f"{results.metrics['threshold']['value']:.4f}" in page


def test_one_fold_cannot_test_its_threshold(results):
    page = report_pages.section("threshold", with_metrics(results, at_threshold={}))
    assert "Testing the threshold takes a second fold" in page


def test_cards_have_value_interval_and_spread(results):
    page = held_out(results)
    low, high = results.metrics["intervals"]["pooled"]["auc"]
    assert f"{results.metrics['pooled']['auc']:.4f}" in page
    assert f"95 %: {low:.3f} – {high:.3f}" in page
    assert "±" in page


def test_decisions_that_are_always_the_same_are_told(results):
    (tn, fp), (fn, tp) = results.metrics["pooled"]["confusion_matrix"]
    pooled = {**results.metrics["pooled"], "confusion_matrix": [[tn + fp, 0], [fn + tp, 0]]}
    page = held_out(with_metrics(results, pooled=pooled))
    assert (
        "every image is called real and none fake; precision is then undefined and shown as 0"
        in page
    )
    pooled["confusion_matrix"] = [[tn, fp + 1], [fn, tp + 1]]
    if tn + fn:
        assert "every image" not in held_out(with_metrics(results, pooled=pooled))


def test_rankings_have_a_table_of_their_own(results):
    page = held_out(results)
    assert page.count("<table>") == 2
    assert "TPR at 1 % FPR" in page


def test_rows_that_join_the_folds_are_set_apart(results):
    page = held_out(results)
    table = page[: page.index("</table>")]
    rows = ["mean", "± std", "pooled", "95 % interval"]
    assert table.count('<tr class="sum">') == len(rows)
    assert all(f'<tr class="sum"><td>{name}</td>' in table for name in rows)


def test_speed_of_a_run_of_an_old_version(results):
    speed = {"examples_per_s": 12.34, "input_wait": 0.5, "train_seconds": 1000.0,
             "compile_seconds": 2.0}  # fmt: skip
    page = report_pages.section("speed", with_metrics(results, throughput={"fold_3": {"1": speed}}))
    cells = "<td>3</td><td>1</td><td>12.3</td><td>–</td><td>50.00%</td><td>1,000</td><td>2.0</td>"
    assert cells in page
