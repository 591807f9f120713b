import pytest
from commands import run_command


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "--model: give a model.keras file"),
        (["--model=x.keras", "photo.jpg"], 2, "unexpected argument 'photo.jpg'"),
        (["--model=x.keras", "--threshold=2"], 2, "threshold"),
        (["--model=x.keras", "--allowed_host=a:80"], 2, "--allowed_host=a:80: give a host's name"),
        (["--model=x.keras", "--host=192.0.2.1", "--port=0"], 1, "--host=192.0.2.1"),
    ],
)
def test_mistakes_are_one_line(arguments, status, message):
    if any("--host" in argument for argument in arguments):
        pytest.importorskip("fastapi", reason="needs pip install -e '.[serve]'")
    answer = run_command("serve", *arguments)
    assert answer.returncode == status
    last = answer.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
