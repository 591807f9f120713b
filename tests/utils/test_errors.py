import pickle

from dftk.utils.errors import UsageError, UserError


def test_a_usage_error_names_its_flags_and_has_status_2():
    error = UsageError("--seed=-1: must be at least 0", ["seed"])
    assert (str(error), error.flags, error.exit_status) == (
        "--seed=-1: must be at least 0", ("seed",), 2,
    )  # fmt: skip
    assert UserError("x").exit_status == 1


def test_errors_travel_between_processes():
    again = pickle.loads(pickle.dumps(UsageError("--a --b: choose one", ("a", "b"))))
    assert str(again) == "--a --b: choose one"
