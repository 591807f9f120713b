"""Kaggle's client library, kagglehub. No other module imports it.

kagglehub's documented `dataset_download` unpacks what it downloads and keeps no archive. So this
module uses the functions below it that talk to Kaggle. They are the same from kagglehub 0.4 to 1.0.
tests/builder/download/test_kagglehub_compat.py names the one that an upgrade changed. If one is
missing, the error says how to get the archive without this library.
"""

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tfds_rvf10k.download.kaggle_failures import TOKEN, DownloadFailed

REQUIREMENT = "kagglehub>=0.4,<2"


class _Modules(NamedTuple):
    clients: Any
    exceptions: Any
    handle: Any
    messages: Any  # kagglesdk's


class Connection:
    """A connection to Kaggle's datasets."""

    def __init__(self, modules: _Modules, api: Any):
        self._modules, self._api = modules, api

    def newest_version(self, dataset: str) -> int:
        """The number of the newest version of `owner/name`."""
        request = self._modules.messages.ApiGetDatasetRequest()
        request.owner_slug, request.dataset_slug = dataset.split("/")
        return self._api.get_dataset(request).current_version_number

    def save(self, dataset: str, version: int, path: str) -> int | None:
        """Downloads the archive of a version. It continues a part that an earlier call has saved.

        Returns:
          The size that the server announced, in bytes; None if it announced none.

        Raises:
          DownloadFailed: the bytes are not those that were sent. They are removed.
        """
        request = self._modules.messages.ApiDownloadDatasetRequest()
        request.owner_slug, request.dataset_slug = dataset.split("/")
        request.dataset_version_number = version
        response = self._api.download_dataset(request)
        handle = self._modules.handle.parse_dataset_handle(dataset)
        try:
            self._modules.clients.download_file(response, path, handle)
        except self._modules.exceptions.DataCorruptionError as error:
            raise DownloadFailed(
                f"{dataset}: what arrived is not what was sent (MD5)", "run the command again"
            ) from error
        headers: Mapping[str, str] = response.headers
        return int(headers["Content-Length"]) if "Content-Length" in headers else None


@contextlib.contextmanager
def connect(page: str) -> Iterator[Connection]:
    """Connects with the user's credentials, or without any: public data often need none.

    Args:
      page: the dataset's address, for an error.

    Raises:
      DownloadFailed: kagglehub is missing or too old or new, or the credentials cannot be read.
    """
    modules = _import(page)
    # kagglehub prints notices on stdout, which is for the result.
    with contextlib.redirect_stdout(sys.stderr), _client(modules.clients) as client:
        yield Connection(modules, client.datasets.dataset_api_client)


def _import(page: str) -> _Modules:
    try:
        from kagglehub import clients, exceptions, handle
        from kagglesdk.datasets.types import dataset_api_service

        _ = clients.build_kaggle_client, clients.download_file
    except (ImportError, AttributeError) as error:
        raise DownloadFailed(
            f"needs Kaggle's client ({error})",
            f"pip install '{REQUIREMENT}', or download {page} with a browser",
        ) from error
    logging.getLogger("kagglehub").setLevel(logging.WARNING)  # it logs on stdout
    return _Modules(clients, exceptions, handle, dataset_api_service)


def _client(clients: Any) -> Any:
    try:
        return clients.build_kaggle_client()
    except ValueError as error:
        raise DownloadFailed(str(error), f"remove it, or {TOKEN}") from error
    except OSError as error:
        # kagglehub first takes the variable for the name of a file. A token is not printed.
        what = "KAGGLE_API_TOKEN" if error.errno == errno.ENAMETOOLONG else error.filename
        raise DownloadFailed(
            f"{what}: {error.strerror}", f"make it readable, or {TOKEN}"
        ) from error


def credentials_used() -> str:
    """Where kagglehub takes its credentials from; "" if it has none."""
    from kagglehub import config
    from kagglesdk import kaggle_env

    token, source = kaggle_env.get_access_token_from_env()
    if token:
        return "~/.kaggle/access_token" if source == "access_token" else str(source)
    if not config.get_kaggle_credentials():
        return ""
    variables = {"KAGGLE_USERNAME", "KAGGLE_KEY"} <= os.environ.keys()
    return "KAGGLE_KEY" if variables else "kaggle.json"
