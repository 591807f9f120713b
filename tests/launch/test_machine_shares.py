from dftk.launch.machine_shares import split_machine
from dftk.utils import limits


def test_one_gpu_each():
    shares = split_machine(2, ["0", "3"], [0, 1, 2, 3])
    assert [share.environment["CUDA_VISIBLE_DEVICES"] for share in shares] == ["0", "3"]
    assert [list(share.cores) for share in shares] == [[0, 2], [1, 3]]
    assert all("TF_FORCE_GPU_ALLOW_GROWTH" not in share.environment for share in shares)


def test_several_to_a_gpu_do_not_take_all_its_memory():
    shares = split_machine(3, ["0", "1"], [0, 1])
    assert [share.environment["CUDA_VISIBLE_DEVICES"] for share in shares] == ["0", "1", "0"]
    assert {share.environment["TF_FORCE_GPU_ALLOW_GROWTH"] for share in shares} == {"true"}
    assert [list(share.cores) for share in shares] == [[0], [1], [0]]


def test_without_gpus_cores_are_dealt_out_and_memory_is_shared():
    shares = split_machine(2, [], [4, 5, 6])
    assert [list(share.cores) for share in shares] == [[4, 6], [5]]
    assert [dict(share.environment) for share in shares] == [{limits.SIBLINGS: "2"}] * 2
