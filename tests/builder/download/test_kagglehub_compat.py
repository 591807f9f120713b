"""The undocumented parts of kagglehub. A failure names the one that an upgrade changed."""

import inspect

import pytest

pytest.importorskip("kagglehub", reason="needs pip install -e '.[kaggle]'")

from tfds_rvf10k.download import kagglehub_compat


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)


def test_kagglehub_has_the_functions_that_are_used():
    from kagglehub import clients, config, exceptions, handle
    from kagglesdk import kaggle_env
    from kagglesdk.datasets.types import dataset_api_service

    assert not inspect.signature(clients.build_kaggle_client).parameters
    parameters = list(inspect.signature(clients.download_file).parameters)
    assert parameters[:3] == ["response", "out_file", "resource_handle"]
    assert issubclass(exceptions.DataCorruptionError, Exception)
    assert handle.parse_dataset_handle("owner/name").owner == "owner"
    request = dataset_api_service.ApiDownloadDatasetRequest()
    request.owner_slug, request.dataset_slug, request.dataset_version_number = "o", "n", 1
    assert dataset_api_service.ApiGetDatasetRequest
    assert kaggle_env.get_access_token_from_env() == (None, None)
    assert config.get_kaggle_credentials() is None
    with clients.build_kaggle_client() as client:
        api = client.datasets.dataset_api_client
        assert callable(api.get_dataset)
        assert callable(api.download_dataset)


def test_where_credentials_come_from_in_the_order_of_kagglehub(tmp_path, monkeypatch):
    assert kagglehub_compat.credentials_used() == ""
    (tmp_path / "kaggle.json").write_text('{"username": "me", "key": "0"}')
    assert kagglehub_compat.credentials_used() == "kaggle.json"
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", "0")
    assert kagglehub_compat.credentials_used() == "KAGGLE_KEY"
    (tmp_path / ".kaggle").mkdir()
    (tmp_path / ".kaggle" / "access_token").write_text("t")
    assert kagglehub_compat.credentials_used() == "~/.kaggle/access_token"
    monkeypatch.setenv("KAGGLE_API_TOKEN", "t")
    assert kagglehub_compat.credentials_used() == "KAGGLE_API_TOKEN"
