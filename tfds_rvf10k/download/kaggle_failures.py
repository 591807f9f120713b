"""Why Kaggle, or the way to it, said no: the real cause in one line, and what to do about it."""

import os
import re
from urllib.parse import urlparse

import requests
from requests import exceptions

TOKEN = (
    "make a token at https://www.kaggle.com/settings/api (Generate New Token), then "
    "`export KAGGLE_API_TOKEN=TOKEN` or put it into ~/.kaggle/access_token"
)
AGAIN = "run the same command again, it goes on from there"
_LONGEST = 300  # characters of what a server or a library says


def explain(error: requests.RequestException, dataset: str) -> str:
    """The cause, and after a semicolon the remedy.

    Args:
      error: of a request, as requests raised it; kagglehub's own wording drops what Kaggle says.
      dataset: `owner/name`, with or without a version.
    """
    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return _refusal(error, error.response, dataset)
    cause = _innermost(error)
    if isinstance(error, exceptions.SSLError):
        return (
            f"TLS fails ({cause}); if a proxy here signs its own, name its "
            "certificate in REQUESTS_CA_BUNDLE"
        )
    if isinstance(error, exceptions.ProxyError):
        return f"the proxy does not let through ({cause}); check HTTPS_PROXY"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return f"the connection broke off ({cause}); {AGAIN}"
    if isinstance(error, exceptions.Timeout) or "timed out" in cause:
        return f"no answer in time ({cause}); {AGAIN}"
    return f"no connection ({cause}); check the network and HTTPS_PROXY, or use a browser elsewhere"


def _refusal(error: exceptions.HTTPError, response: requests.Response, dataset: str) -> str:
    """Of an answer with a status from 400 on."""
    status = response.status_code
    # Without words of Kaggle's it is requests' own text, with an address that may be signed.
    said = response.reason if str(error).startswith(str(status)) else _line(str(error))
    answer = f"{urlparse(response.url).hostname} answers {status} ({said})"
    page = f"https://www.kaggle.com/datasets/{dataset}"
    credentials = credentials_used()
    if status == 401 and credentials:
        return f"{answer}: what {credentials} holds is not valid, or no more; {TOKEN}"
    if status in (401, 403) and not credentials:
        return f"{answer}: it wants an account, and no credentials are set; {TOKEN}"
    if status == 403:
        return (
            f"{answer} to what {credentials} holds; open {page} with that account and accept what "
            "it asks for; if there is no such page, check --dataset"
        )
    if status == 404:
        return f"{answer}: no such dataset or version; check --dataset against {page}"
    if status == 429:
        return f"{answer}: too many requests; wait some minutes, then {AGAIN}"
    if status >= 500:
        return f"{answer}: a fault over there; wait some minutes, then {AGAIN}"
    return f"{answer}; download {page} with a browser"


def credentials_used() -> str:
    """What kagglehub takes its credentials from; "" if it has none."""
    from kagglehub import config
    from kagglesdk import kaggle_env

    token, source = kaggle_env.get_access_token_from_env()
    if token:
        return "~/.kaggle/access_token" if source == "access_token" else str(source)
    if not config.get_kaggle_credentials():
        return ""
    named = {"KAGGLE_USERNAME", "KAGGLE_KEY"} <= os.environ.keys()
    return "KAGGLE_KEY" if named else "kaggle.json"


def _innermost(error: BaseException) -> str:
    """What lies at the bottom of what requests and urllib3 wrapped around each other."""
    within: BaseException | None = error
    while within is not None:
        error = within
        parts = [getattr(error, "reason", None), *error.args]
        within = next((part for part in parts if isinstance(part, BaseException)), None)
    text = re.sub(r"^(<[^>]*>|\w+\([^)]*\)): ", "", _line(str(error)))  # an object's repr
    return text or type(error).__name__


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "..."
