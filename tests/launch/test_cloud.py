"""The job files without their schedulers: they parse, and use flags that the command has."""

import re
import shlex
import subprocess

import pytest
from commands import run_command
from repository import ROOT

yaml = pytest.importorskip("yaml")
CLOUD = ROOT / "dftk" / "cloud"
FILES = sorted(path for path in CLOUD.iterdir() if path.suffix in (".yaml", ".sh"))
FOLDS = 5


def documents(name):
    return list(yaml.safe_load_all((CLOUD / name).read_text()))


def strings(value):
    """Shell text and argument lists anywhere in a document, as shell text."""
    if isinstance(value, dict):
        command = value.get("command", []), value.get("args", [])
        if all(isinstance(part, list) for part in command) and any(command):
            words = [*command[0], *command[1]]
            yield words[-1] if "-c" in words else shlex.join(words)
        for name, item in value.items():
            if name not in ("command", "args"):
                yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


def shell_text(path):
    """All commands of a file; those that its comments show too."""
    comments = "\n".join(re.findall(r"^#\s*(.*)$", path.read_text(), re.MULTILINE))
    if path.suffix == ".sh":
        return path.read_text() + comments
    return "\n".join([*(s for d in documents(path.name) for s in strings(d)), comments])


def commands(path):
    """Flags of each `python -m dftk.train` in the file."""
    text = shell_text(path).replace("\\\n", " ")
    found = re.findall(r"python -m dftk\.train ([^\n;&|`']*)", text)
    return [re.findall(r"--(\w+)", flags) for flags in found]


@pytest.fixture(scope="module")
def known():
    """Names of the flags that the command's help lists."""
    return set(re.findall(r"--(?:\[no\])?(\w+)", run_command("train", "--help").stdout))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_flag_is_one_of_the_command(path, known):
    found = commands(path)
    assert any("fold" in flags for flags in found)
    assert any("merge" in flags for flags in found), "the report is written"
    assert all("workdir" in flags for flags in found)
    assert {flag for flags in found for flag in flags} - known == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_says_what_to_set_and_how_to_submit(path):
    lines = path.read_text().splitlines()
    head = "\n".join(lines[: next(i for i, line in enumerate(lines) if line[:1] not in ("#", ""))])
    assert "Set" in head
    submit = {
        "kubernetes.yaml": "kubectl apply -f kubernetes.yaml",
        "slurm.sh": "sbatch --parsable slurm.sh",
        "vertex.yaml": "gcloud ai custom-jobs create",
        "skypilot.yaml": "sky jobs launch",
    }
    assert submit[path.name] in head
    assert all(len(line) <= 100 for line in lines)


def test_kubernetes_trains_each_fold_once_and_does_not_count_a_saved_one():
    _, folds, merge = documents("kubernetes.yaml")
    spec = folds["spec"]
    assert spec["completions"] == spec["parallelism"] == FOLDS
    assert spec["completionMode"] == "Indexed"
    by_status = {
        rule["onExitCodes"]["values"][0]: rule["action"]
        for rule in spec["podFailurePolicy"]["rules"]
        if "onExitCodes" in rule
    }
    assert by_status == {75: "Ignore", 2: "FailIndex"}
    assert merge["spec"]["suspend"] is True


def test_vertex_has_a_replica_for_each_fold():
    (job,) = documents("vertex.yaml")
    assert [pool["replicaCount"] for pool in job["workerPoolSpecs"]] == [1, FOLDS - 1]
    (wait,) = [s for s in strings(job) if "until" in s]
    assert f"-eq {FOLDS} ]" in wait


def test_skypilot_has_a_node_for_each_fold():
    (task,) = documents("skypilot.yaml")
    assert task["num_nodes"] == FOLDS
    assert 'DFTK_FOLD="$SKYPILOT_NODE_RANK"' in task["run"]
    assert task["resources"]["job_recovery"]["recover_on_exit_codes"] == [75]


def test_slurm_has_a_task_for_each_fold():
    text = (CLOUD / "slurm.sh").read_text()
    assert re.search(rf"^#SBATCH --array=0-{FOLDS - 1}$", text, re.MULTILINE)
    assert re.search(r"^#SBATCH --signal=TERM@\d+$", text, re.MULTILINE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_shell_commands_are_well_formed(path):
    if path.suffix == ".sh":
        texts = [path.read_text()]
    else:
        texts = [s for d in documents(path.name) for s in strings(d) if "dftk.train" in s]
    assert texts
    for text in texts:
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)
