"""The page: drop images, see verdicts and how far to trust them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from dftk.inference import verdict_html
from dftk.inference.service import Service, Verdict
from dftk.inference.uploads import Limits

TITLE = "Photograph or generated?"
_HEADER = (
    f"<header><h1>{TITLE}</h1><p>A detector's opinion of face pictures, and how often it is wrong. "
    "Pictures stay on this server's machine and are deleted as soon as they are scored.</p></header>"
)
_SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_KEEP_S = 600  # seconds, of results for the threshold's slider and of uploads nobody scored
_STYLE = Path(__file__).with_name("page.css")


def options(limits: Limits) -> dict[str, Any]:
    """How Gradio mounts the page: nothing from the network, nothing beside the page itself."""
    return {
        "show_error": False,  # no tracebacks to strangers
        "max_file_size": limits.max_bytes,
        "footer_links": [],
        "run_history": False,  # else the browser keeps what was dropped
        "ssr_mode": False,
        "enable_monitoring": False,
        "pwa": False,
        "mcp_server": False,
        "theme": gr.themes.Base(
            primary_hue="slate",
            neutral_hue="slate",
            font=_SYSTEM_FONTS,
            font_mono=("ui-monospace", "monospace"),
        ),
        "css": _STYLE.read_text(encoding="utf-8"),
    }


def build(service: Service) -> gr.Blocks:
    """The page of one service."""
    provenance, limits = service.provenance, service.limits

    def judge(paths: list[str] | None, threshold: float) -> Iterator[tuple]:
        """Empties the drop zone, then shows one verdict more at a time."""
        paths, verdicts = paths or [], []
        yield None, verdict_html.results(verdicts, threshold, len(paths)), verdicts
        for verdict in judge_uploads(service, paths):
            verdicts.append(verdict)
            shown = verdict_html.results(verdicts, threshold, len(paths) - len(verdicts))
            yield None, shown, verdicts

    def redraw(verdicts: list[Verdict], threshold: float) -> tuple[str, str]:
        shown = verdict_html.results(verdicts, threshold)
        return shown, verdict_html.trust(provenance, threshold)

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(60, _KEEP_S)) as blocks:
        gr.HTML(_HEADER)
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=3, min_width=320):
                files = gr.File(file_count="multiple", label=_drop_label(limits), elem_id="drop")
                results = gr.HTML(verdict_html.results([], service.threshold), elem_id="results")
            with gr.Column(scale=2, min_width=300):
                trust = gr.HTML(verdict_html.trust(provenance, service.threshold))
                threshold = gr.Slider(
                    0, 1, service.threshold, step=0.01, label="Call it fake from this probability on",
                    elem_id="threshold",
                )  # fmt: skip
        verdicts = gr.State([], time_to_live=_KEEP_S)
        files.upload(
            judge, [files, threshold], [files, results, verdicts],
            show_progress="hidden", api_visibility="private",
        )  # fmt: skip
        threshold.release(
            redraw, [verdicts, threshold], [results, trust],
            show_progress="hidden", api_visibility="private",
        )  # fmt: skip
    blocks.queue(max_size=limits.max_waiting, default_concurrency_limit=4, api_open=False)
    return blocks


def judge_uploads(service: Service, paths: Sequence[str]) -> Iterator[Verdict]:
    """Scores uploaded files one by one and deletes each as soon as it is read.

    Args:
      service: scores them.
      paths: of files that the server itself has written; the last part is the name they came with.

    Yields:
      a verdict for each; those beyond max_files are deleted unread.
    """
    most = service.limits.max_files
    try:
        for position, path in enumerate(map(Path, paths)):
            if position >= most:
                yield Verdict(path.name, error=f"not among the first {most} of one drop")
                continue
            try:
                data = path.read_bytes()
            except OSError:  # the same picture, sent twice at once, is one file
                yield Verdict(path.name, error="the upload is gone; drop it once more")
                continue
            _delete([path])
            yield service.judge(path.name, data, explain=True)
    finally:
        _delete(map(Path, paths))


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
        if path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()  # a folder of Gradio's, named after the file's hash


def _drop_label(limits: Limits) -> str:
    return (
        f"JPEG, PNG, GIF or BMP, up to {limits.max_files} at once, {limits.max_bytes / 2**20:g} MB "
        f"and {limits.max_pixels / 1e6:.0f} megapixels each"
    )
