from tfds_rvf10k.verification.faults import Fault


def test_a_fault_is_one_line_with_its_own_remedy_or_that_of_the_dataset():
    assert Fault("a\nb: missing").line("build again") == "a\\nb: missing; build again"
    assert Fault("a: unknown", remedy="remove it").line("build again") == "a: unknown; remove it"
