"""Jinja templates to pages. All values are escaped; a page holds its style and its pictures."""

import base64
import shlex
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from dftk.evaluation.pages import formatting
from dftk.evaluation.stats import metrics
from dftk.models.config import THRESHOLD

_ENVIRONMENT = jinja2.Environment(
    # Templates are stored next to the modules that use them. Their names are paths below this.
    loader=jinja2.FileSystemLoader(Path(__file__).parents[1]),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: Any) -> str:
    """Fills a template.

    Args:
      template: its path below dftk/evaluation.
      values: the names that the template uses; a name that is missing is an error.
    """
    return _ENVIRONMENT.get_template(template).render(**values)


def picture(path: Path, alt: str) -> markupsafe.Markup:
    """An <img> that holds a PNG file; nothing if the file is missing.

    Args:
      path: of the file. A set with one class only, for example, has no ROC curve.
      alt: what the picture shows, in words.
    """
    if not path.is_file():
        return markupsafe.Markup()
    data = base64.b64encode(path.read_bytes()).decode()
    return markupsafe.Markup('<img alt="{}" src="data:image/png;base64,{}">').format(alt, data)


def evaluate_command(workdir: Path, flags: str) -> str:
    """The command that adds what a report lacks."""
    return f"python -m dftk.evaluate --workdir={shlex.quote(str(workdir))} {flags}"


_ENVIRONMENT.globals.update(
    picture=picture,
    evaluate_command=evaluate_command,
    default_threshold=THRESHOLD,
    decision_metrics=metrics.DECISION_METRICS,
    score_metrics=metrics.SCORES,
    ranking_metrics=metrics.RANKING_METRICS,
)
_ENVIRONMENT.filters.update(
    number=formatting.number,
    score=formatting.score,
    bracketed=formatting.bracketed,
    percent=formatting.percent,
    metric_name=formatting.metric_name,
    shell_quote=shlex.quote,
)
