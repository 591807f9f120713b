import json
import subprocess
import sys

import pytest
from repository import ROOT

from dftk.launch.job_index import fold_of_job
from dftk.utils.errors import UsageError


def vertex(pool, index, workers=4):
    """What Vertex AI sets on a replica of a job with one chief and `workers` workers."""
    hosts = [f"cmle-training-workerpool1-ab-{number}:2222" for number in range(workers)]
    spec = {
        "cluster": {"workerpool0": ["cmle-training-workerpool0-ab-0:2222"], "workerpool1": hosts},
        "environment": "cloud",
        "task": {"type": pool, "index": index, "trial": ""},
    }
    return {"CLUSTER_SPEC": json.dumps(spec)}


@pytest.mark.parametrize("name", ["DFTK_FOLD", "JOB_COMPLETION_INDEX", "SLURM_ARRAY_TASK_ID"])
def test_the_scheduler_numbers_the_folds(name):
    assert [fold_of_job({name: str(fold)}, 5) for fold in range(5)] == [0, 1, 2, 3, 4]


def test_vertex_counts_replicas_over_its_pools():
    environments = [vertex("workerpool0", 0), *(vertex("workerpool1", i) for i in range(4))]
    assert [fold_of_job(environ, 5) for environ in environments] == [0, 1, 2, 3, 4]


def test_a_pool_left_empty_counts_no_replica():
    spec = {"cluster": {"workerpool0": ["a"], "workerpool2": ["b"]}}
    spec["task"] = {"type": "workerpool2", "index": 0}
    assert fold_of_job({"CLUSTER_SPEC": json.dumps(spec)}, 2) == 1


def test_the_users_word_comes_first_and_empty_is_not_set():
    others = {"JOB_COMPLETION_INDEX": "1", "SLURM_ARRAY_TASK_ID": "2", **vertex("workerpool1", 3)}
    assert fold_of_job({"DFTK_FOLD": "3", **others}, 5) == 3
    assert fold_of_job({"DFTK_FOLD": "", **others}, 5) == 1
    del others["JOB_COMPLETION_INDEX"]
    assert fold_of_job(others, 5) == 2


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, ["none of DFTK_FOLD", "CLUSTER_SPEC is set", "--fold=all"]),
        ({"DFTK_FOLD": "first"}, ["DFTK_FOLD=first is not a whole number", "set DFTK_FOLD"]),
        ({"SLURM_ARRAY_TASK_ID": "5"}, ["SLURM_ARRAY_TASK_ID=5", "0 to 4", "from 0"]),
        ({"JOB_COMPLETION_INDEX": "-1"}, ["JOB_COMPLETION_INDEX=-1", "0 to 4"]),
        (vertex("workerpool1", 4), ["CLUSTER_SPEC", "replica 5", "0 to 4", "DFTK_FOLD"]),
        ({"CLUSTER_SPEC": "{\n"}, ["CLUSTER_SPEC={ does not say", "set DFTK_FOLD"]),
        ({"CLUSTER_SPEC": '{"task": {}}'}, ["CLUSTER_SPEC=", "worker pool", "set DFTK_FOLD"]),
        ({"CLUSTER_SPEC": "[1]"}, ["CLUSTER_SPEC=[1] does not say"]),
        (vertex("chief", 0), ["worker pool"]),
        (vertex("workerpool1", "two"), ["worker pool"]),
    ],
)
def test_errors_name_variable_value_and_remedy(environ, words):
    with pytest.raises(UsageError) as raised:
        fold_of_job(environ, 5)
    assert [word for word in words if word not in str(raised.value)] == []
    assert "\n" not in str(raised.value)


def test_no_tensorflow_is_loaded():
    code = "import sys, dftk.launch.job_index; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
