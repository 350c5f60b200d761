"""The page and the markdown text of a report."""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import json
import os
import re
import secrets
import shlex
from importlib.resources import files
from pathlib import Path

from skrobust.inspection._report_rows import shorten

_SURROGATES = re.compile("[\ud800-\udfff\x00]")
_MAX_MARKDOWN_ROWS = 20
_MAX_CLASSES = 30


def render_page(data: dict, images: dict | None) -> str:
    """Return the page as one HTML document that loads nothing."""
    script, style = _page_file("report.js"), _page_file("report.css")
    return _template().render(
        title=_clean(data["title"]),
        subtitle=_subtitle(data),
        facts=_facts(data),
        by_class=_by_class(data),
        left_out=_left_out(data),
        n_audit=data["audit"]["rows"],
        n_flagged=data["counts"]["flagged"],
        n_classes=len(data["classes"]),
        has_row_names=data["row_names"] is not None,
        table=None if data["table"] is None else shlex.quote(_clean(data["table"])),
        options=shlex.join(map(_clean, data["options"])),
        version=data["skrobust"],
        data=to_script(data),
        images=to_script(images),
        script=script,
        style=style,
        script_hash=_hash(script),
        style_hash=_hash(style),
    )


@functools.cache
def _page_file(name: str) -> str:
    return (files("skrobust.inspection") / "_page" / name).read_text(encoding="utf-8")


@functools.cache
def _template():
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise ImportError(
            'The report needs jinja2; install it with: pip install "skrobust[report]"'
        ) from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_page_file("report.html.jinja"))


def to_script(value) -> str:
    """Return JSON for a script element: no character can end or open one."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _clean(text: str) -> str:
    """Return text that can be encoded."""
    return _SURROGATES.sub("\ufffd", text)


def percent(share: float) -> str:
    """Write a share."""
    return f"{share:.1%}".replace("%", " %")


def _subtitle(data: dict) -> str:
    counts = data["counts"]
    missing = f", {counts['missing']} without a label" if counts["missing"] else ""
    return (
        f"{counts['rows']} rows, {len(data['classes'])} classes{missing}. Scored by"
        f" {data['detector']}, {data['created'][:10]}."
    )


def _facts(data: dict) -> list[dict]:
    """Return the summary: how many labels are wrong, and how good the flags are."""
    noise, precision, counts = data["noise"], data["precision"], data["counts"]
    if noise["reliability"] == "cannot tell" or noise["rate"] is None:
        rate, detail = "Cannot tell", _sentence(noise["reason"])
        if noise["high"] is not None:
            detail = f"At most {percent(noise['high'])}. {detail}"
    else:
        rate = percent(noise["rate"])
        between = ""
        if noise["low"] is not None:
            between = f"Between {percent(noise['low'])} and {percent(noise['high'])}. "
        reliability = f"Reliability of this estimate: {noise['reliability']}. "
        detail = f"{between}{reliability}{_sentence(noise['reason'])}"
    if precision["estimate"] is None:
        quality = "Cannot tell"
        why = f"{_sentence(precision['reason'])} Review some flagged rows to know."
    else:
        quality = percent(precision["estimate"])
        why = f"Between {percent(precision['low'])} and {percent(precision['high'])}, estimated"
        why += f" {precision['reason']}. Reliability of this estimate: {precision['reliability']}."
    share = counts["flagged"] / max(counts["labelled"], 1)
    return [
        {"name": "share of wrong labels, estimated", "value": rate, "detail": detail},
        {
            "name": "flagged labels",
            "value": str(counts["flagged"]),
            "detail": f"{percent(share)} of {counts['labelled']} labelled rows."
            + (
                f" {counts['verified']} verified rows are not among them."
                if counts["verified"]
                else ""
            ),
        },
        {
            "name": "share of the flagged labels that are wrong, estimated",
            "value": quality,
            "detail": why,
        },
    ]


def _by_class(data: dict) -> dict:
    """Return the rows of the table of classes, those with most flagged labels first."""
    per_class = data["per_class"]
    order = sorted(range(len(per_class)), key=lambda k: -per_class[k]["flagged"])
    shown = []
    for k in order[:_MAX_CLASSES]:
        own = per_class[k]
        shown.append(
            {
                "name": _clean(shorten(data["classes"][k], 200)),
                "rows": own["rows"],
                "flagged": own["flagged"],
                "share": _share(own["flagged"] / own["rows"] if own["rows"] else None),
                "precision": _share(own["precision"]),
            }
        )
    return {
        "shown": shown,
        "n_more": max(len(order) - _MAX_CLASSES, 0),
        "estimated": any(own["precision"] is not None for own in per_class),
    }


def _share(share: float | None) -> str:
    return "–" if share is None else percent(share)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _left_out(data: dict) -> str:
    counts = data["counts"]
    if not counts["left_out"]:
        return ""
    flagged = counts["flagged_left_out"]
    return (
        f"{counts['listed']} of {counts['labelled']} labelled rows are listed, the most suspicious"
        f" ones first; {counts['left_out']} are left out, {flagged} of them flagged."
    )


def render_markdown(data: dict) -> str:
    """Return the findings and the most suspicious rows as markdown."""
    lines = [f"# {_cell(data['title'])}", "", _subtitle(data), ""]
    for fact in _facts(data):
        lines.append(f"- **{fact['value']}**: {fact['name']}. {_cell(fact['detail'])}")
    if data["counts"]["left_out"]:
        lines += ["", _left_out(data)]
    classes, per_class = data["classes"], data["per_class"]
    worst = sorted(range(len(classes)), key=lambda k: -per_class[k]["flagged"])
    lines += ["", "| given label | rows | flagged | estimated precision |", "|---|---:|---:|---:|"]
    for k in worst[:_MAX_MARKDOWN_ROWS]:
        own = per_class[k]
        lines.append(
            f"| {_cell(classes[k])} | {own['rows']} | {own['flagged']} |"
            f" {_share(own['precision'])} |"
        )
    rows = data["rows"]
    shown = [j for j in range(data["counts"]["listed"]) if rows["flagged"][j]]
    if shown:
        lines += ["", "| row | given label | suggested label | quality |", "|---:|---|---|---:|"]
    for j in shown[:_MAX_MARKDOWN_ROWS]:
        name = rows["row"][j] if rows["id"] is None else _cell(rows["id"][j])
        other = rows["suggested"][j]
        suggested = "" if other < 0 else _cell(classes[other])
        quality = "" if rows["quality"][j] is None else f"{rows['quality'][j]:.3f}"
        lines.append(f"| {name} | {_cell(classes[rows['given'][j]])} | {suggested} | {quality} |")
    return "\n".join(lines) + "\n"


def _cell(text) -> str:
    """Return text that stays in its cell and is no markup."""
    text = _clean("".join(char if char.isprintable() else " " for char in str(text)))
    text = text if len(text) <= 200 else text[:199] + "…"
    return re.sub(r"([\\`*_{}\[\]#|~$])", r"\\\1", html.escape(text, quote=False))


def write_file(path, text: str) -> Path:
    """Write text to a file beside the other, and put it in its place when all is written."""
    path = Path(path)
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_bytes(text.encode("utf-8"))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
