"""Verdicts, error rates and limits as HTML; every word from outside is escaped."""

import base64
import csv
import html
import io
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from dftk.evaluation.html_parts import table
from dftk.inference.provenance import Provenance, Rate
from dftk.inference.service import Verdict

COLUMNS = ("filename", "probability", "label", "error")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets would run: OWASP, CSV injection


def results(verdicts: Sequence[Verdict], threshold: float, waiting: int = 0) -> str:
    """A summary with table and CSV if there are several, and a card for each.

    Args:
      verdicts: in the order in which files came.
      threshold: fake from here on.
      waiting: files still to come.
    """
    if not verdicts and not waiting:
        return "<p class='empty'>No image yet. Drop one above.</p>"
    several = len(verdicts) + waiting > 1
    summary = _summary(verdicts, threshold, waiting) if several else ""
    if waiting and not verdicts:
        summary = "<p class='progress' role='status'>Looking at it…</p>"
    cards = "".join(_card(verdict, threshold) for verdict in verdicts)
    return f"<div class='results'>{summary}{cards}</div>"


def _summary(verdicts: Sequence[Verdict], threshold: float, waiting: int) -> str:
    labels = [verdict.label(threshold) for verdict in verdicts]
    counts = f"{labels.count('fake')} fake, {labels.count('real')} real"
    if failed := labels.count(""):
        counts += f", {failed} not scored"
    if waiting:
        total = len(verdicts) + waiting
        return f"<p class='progress' role='status'>{len(verdicts)} of {total} done…</p>"
    body = [
        [html.escape(verdict.filename), _number(verdict.probability), _pill(verdict, threshold)]
        for verdict in verdicts
    ]
    data = base64.b64encode(as_csv(verdicts, threshold).encode()).decode()
    link = (
        f"<a class='download' download='dftk_results.csv' href='data:text/csv;base64,{data}'>"
        "Download CSV</a>"
    )
    return (
        f"<div class='summary'><h2>{len(verdicts)} images: {counts}</h2>{link}"
        f"{table(['file', 'probability of fake', 'verdict'], body)}</div>"
    )


def _card(verdict: Verdict, threshold: float) -> str:
    name = html.escape(verdict.filename)
    if verdict.probability is None:
        return (
            f"<article class='card error'><div class='words'>{_pill(verdict, threshold)}"
            f"<p class='name'>{name}</p><p>{html.escape(verdict.error)}</p></div></article>"
        )
    kind, share = verdict.label(threshold), 100 * verdict.probability
    pictures = _figure(verdict.picture, f"{name}", "as sent") + _figure(
        verdict.overlay, f"Heat map over {name}", "what speaks for fake"
    )
    side = "at or above" if kind == "fake" else "below"
    return (
        f"<article class='card {kind}'><div class='words'>{_pill(verdict, threshold)}"
        f"<p class='share'>{_number(verdict.probability)}"
        "<span> probability of fake</span></p>"
        f"<div class='bar' role='img' aria-label='{share:.0f} of 100'>"
        f"<div style='width:{share:.2f}%'></div><i style='left:{100 * threshold:.2f}%'></i></div>"
        f"<p class='soft'>{side} the threshold of {threshold:g}</p><p class='name'>{name}</p>"
        f"</div><div class='pictures'>{pictures}</div></article>"
    )


def _pill(verdict: Verdict, threshold: float) -> str:
    label = verdict.label(threshold)
    return f"<span class='pill {label or 'none'}'>{label or 'not scored'}</span>"


def _number(probability: float | None) -> str:
    """Three digits, but no rounding to a certainty that nobody has."""
    if probability is None:
        return "–"
    if probability >= 0.9995:
        return "&gt; 0.999"
    return "&lt; 0.001" if probability < 0.0005 else f"{probability:.3f}"


def _figure(image: np.ndarray | None, text: str, caption: str) -> str:
    if image is None:
        return ""
    data = base64.b64encode(tf.io.encode_jpeg(image, quality=90).numpy()).decode()
    return (
        f"<figure><img alt='{text}' src='data:image/jpeg;base64,{data}'>"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def as_csv(verdicts: Sequence[Verdict], threshold: float) -> str:
    """filename, probability, label, error; a name that a spreadsheet would run gets a quote."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for verdict in verdicts:
        name = verdict.filename
        quoted = f"'{name}" if name.startswith(_FORMULA) else name
        probability = "" if verdict.probability is None else f"{verdict.probability:.9g}"
        writer.writerow([quoted, probability, verdict.label(threshold), verdict.error])
    return text.getvalue()


def trust(provenance: Provenance, threshold: float) -> str:
    """How often the model errs at the threshold, what it was trained on, and its limits."""
    measured = provenance.measured
    if measured is None:
        rates = "<p>How often it errs is not recorded.</p>"
    else:
        rates = "<ul class='rates'>" + _rate(
            measured.real_called_fake(threshold), "real", "calls fake"
        ) + _rate(measured.fakes_missed(threshold), "fake", "misses") + "</ul>"  # fmt: skip
    return (
        f"<aside class='trust'><h2>How far to trust it</h2>"
        f"<p>With fake from {threshold:g} on:</p>{rates}"
        f"<p class='soft'>Measured on: {html.escape(provenance.measured_note)}.</p>"
        f"<p class='limits'>{html.escape(provenance.limits)}</p>"
        f"<dl><dt>Model</dt><dd>{html.escape(provenance.name)}</dd>"
        f"<dt>Trained on</dt><dd>{html.escape(provenance.trained_on)}</dd>"
        f"<dt>Threshold</dt><dd>{provenance.threshold:g}, "
        f"{html.escape(provenance.threshold_source)}</dd></dl></aside>"
    )


def _rate(rate: Rate, kind: str, verb: str) -> str:
    found = rate.as_dict()
    if found["rate"] is None:
        return f"<li>No {kind} face was there to measure on.</li>"
    low, high = (100 * bound for bound in found["interval"])
    return (
        f"<li><b>{100 * found['rate']:.0f}</b> of 100 {kind} images it {verb} "
        f"<span class='soft'>({low:.0f} to {high:.0f} at 95 %, {rate.n:,} measured)</span></li>"
    )
