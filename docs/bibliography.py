"""One bibliography, collected from the References sections of the public docstrings."""

import importlib
import inspect
import re

from api_reference import API_REFERENCE, TIERS
from numpydoc.docscrape import ClassDoc, FunctionDoc


def _entries(found: object) -> list[str]:
    """The works that a docstring cites, one line each."""
    parse = ClassDoc if inspect.isclass(found) else FunctionDoc
    paragraphs = re.split(r"\n\n|\.\. \[\d+\]", "\n".join(parse(found)["References"]))
    return [" ".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip()]


def _key(entry: str) -> str:
    """Authors, year and title, by which spellings of one work are the same."""
    match = re.match(r".*?\(\d{4}\)\. .*?[.?](?= |$)", entry)
    return (match.group() if match else entry).casefold()


def cited_by() -> dict[str, list[str]]:
    """The full names of the public objects that cite each work."""
    spelling, cited = {}, {}
    for module, content in API_REFERENCE.items():
        for tier in TIERS:
            for name in content[tier]:
                found = getattr(importlib.import_module(module), name)
                for entry in _entries(found):
                    first = spelling.setdefault(_key(entry), entry)
                    cited.setdefault(first, []).append(f"{module}.{name}")
    return dict(sorted(cited.items(), key=lambda item: item[0].casefold()))


def bibliography() -> str:
    """The page: works in alphabetical order, each with the names that cite it."""
    lines = [
        "============",
        "Bibliography",
        "============",
        "",
        "The works that docstrings cite, and the names that follow them.",
        "",
    ]
    for entry, names in cited_by().items():
        links = ", ".join(f":obj:`~{name}`" for name in names)
        lines += [entry, f"    {links}", ""]
    return "\n".join(lines)
