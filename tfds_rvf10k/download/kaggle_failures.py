"""Why a request to Kaggle failed, and what to do about it.

The cause is found by the classes and the fields of exceptions. requests wraps those of urllib3, and
urllib3 wraps those of the operating system.
"""

from urllib.parse import urlparse

import requests
import urllib3
from requests import exceptions

from tfds_rvf10k.errors import DatasetError

TOKEN = (
    "make a token at https://www.kaggle.com/settings/api (Generate New Token), then "
    "`export KAGGLE_API_TOKEN=TOKEN` or put it into ~/.kaggle/access_token"
)
AGAIN = "run the same command again, it goes on from there"
_MAX_CHARACTERS = 300  # of a text by a server or a library


class DownloadFailed(DatasetError):
    """A dataset could not be downloaded; one line."""


def from_request(
    error: requests.RequestException, dataset: str, credentials: str
) -> DownloadFailed:
    """The error for a failed request.

    Args:
      error: raised by requests; kagglehub's own wording of it leaves out what Kaggle says.
      dataset: `owner/name`, with or without a version.
      credentials: where they come from; "" if there are none.
    """
    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        what, remedy = _refusal(error.response, dataset, credentials)
    else:
        what, remedy = _broken_connection(error)
    return DownloadFailed(f"{dataset}: {what}", remedy)


def _broken_connection(error: requests.RequestException) -> tuple[str, str]:
    """Cause and remedy if no answer came."""
    chain = _causes(error)
    cause = _describe(chain[-1])
    if isinstance(error, exceptions.SSLError):
        remedy = "if a proxy here signs its own, name its certificate in REQUESTS_CA_BUNDLE"
        return f"TLS fails ({cause})", remedy
    if isinstance(error, exceptions.ProxyError):
        return f"the proxy does not let through ({cause})", "check HTTPS_PROXY"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return f"the connection broke off ({cause})", AGAIN
    if isinstance(error, exceptions.Timeout) or any(map(_is_timeout, chain)):
        return f"no answer in time ({cause})", AGAIN
    remedy = "check the network and HTTPS_PROXY, or use a browser elsewhere"
    return f"no connection ({cause})", remedy


def _refusal(response: requests.Response, dataset: str, credentials: str) -> tuple[str, str]:
    """Cause and remedy of an answer with a status from 400 on."""
    status = response.status_code
    # Without the path of the address, which may be signed.
    answer = f"{urlparse(response.url).hostname} answers {status} ({_message(response)})"
    page = f"https://www.kaggle.com/datasets/{dataset}"
    if status == 401 and credentials:
        return f"{answer}: what {credentials} holds is not valid, or no more", TOKEN
    if status in (401, 403) and not credentials:
        return f"{answer}: it wants an account, and no credentials are set", TOKEN
    if status == 403:
        return (
            f"{answer} to what {credentials} holds",
            f"open {page} with that account and accept what it asks for; if there is no such page, "
            "check --dataset",
        )
    if status == 404:
        return f"{answer}: no such dataset or version", f"check --dataset against {page}"
    if status == 429:
        return f"{answer}: too many requests", f"wait some minutes, then {AGAIN}"
    if status >= 500:
        return f"{answer}: a fault of the server", f"wait some minutes, then {AGAIN}"
    return answer, f"download {page} with a browser"


def _message(response: requests.Response) -> str:
    """What Kaggle's API says about a refusal, or the name of its status."""
    try:
        content = response.json()
    except (exceptions.RequestException, ValueError):
        return response.reason
    message = content.get("message") if isinstance(content, dict) else None
    return _line(str(message)) if message else response.reason


def _causes(error: BaseException) -> list[BaseException]:
    """The exceptions that were wrapped around each other, the outermost first."""
    chain: list[BaseException] = []
    inner: BaseException | None = error
    while inner is not None and inner not in chain:
        chain.append(inner)
        if isinstance(inner, OSError) and inner.strerror:
            break  # the operating system's own error
        fields = [getattr(inner, "reason", None), *inner.args]
        wrapped = (field for field in fields if isinstance(field, BaseException))
        inner = next(wrapped, inner.__cause__ or inner.__context__)
    return chain


def _is_timeout(error: BaseException) -> bool:
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return False  # a subclass of ConnectTimeoutError, for whatever reason
    return isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError)


def _describe(error: BaseException) -> str:
    strerror = getattr(error, "strerror", None)
    return _line(str(strerror or error)) or type(error).__name__


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_CHARACTERS else line[:_MAX_CHARACTERS] + "..."
