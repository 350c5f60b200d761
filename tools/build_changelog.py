"""Join the fragments of `CHANGES/` into a section of `CHANGELOG.md`.

    python tools/build_changelog.py --draft     # print the section
    python tools/build_changelog.py             # write it, and remove the fragments

The version is that of `skrobust/__init__.py`. Fragments of a version that has a section are added
to it.
"""

import argparse
import datetime
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = {
    "feature": "New features",
    "change": "Changes of behaviour",
    "deprecation": "Deprecations and removals",
    "bugfix": "Bug fixes",
    "performance": "Performance",
    "doc": "Documentation",
}
HEAD = """# Changelog

The newest version comes first. The [deprecation policy](docs/deprecation_policy.md) says what a
version may change.
"""


def read_fragments(folder: Path) -> dict[str, list[str]]:
    """Read the fragments of a folder: the texts of each kind, by the name of the file."""
    found = {kind: [] for kind in KINDS}
    for path in sorted(folder.glob("+*")):
        parts = path.name.split(".")
        if len(parts) != 3 or parts[1] not in KINDS or parts[2] != "md":
            raise ValueError(
                f"{path.name} must be named +SLUG.KIND.md, with a kind of {', '.join(KINDS)}."
            )
        text = path.read_text(encoding="utf-8").strip()
        if not text:
            raise ValueError(f"{path.name} is empty.")
        found[parts[1]].append(text)
    return {kind: texts for kind, texts in found.items() if texts}


def read_section(changelog: str, version: str) -> tuple[str, dict[str, list[str]]]:
    """Take the section of a version out of a changelog: what is left, and its entries."""
    pattern = rf"^## {re.escape(version)} .*?(?=^## |\Z)"
    section = re.search(pattern, changelog, re.MULTILINE | re.DOTALL)
    if section is None:
        return changelog, {}
    kinds = {title: kind for kind, title in KINDS.items()}
    entries = {}
    for part in section[0].split("\n### ")[1:]:
        title, _, text = part.partition("\n")
        entries[kinds[title]] = [
            entry.replace("\n  ", "\n").strip() for entry in re.split(r"^- ", text, flags=re.M)[1:]
        ]
    return changelog.replace(section[0], ""), entries


def write_section(version: str, date: str, entries: dict[str, list[str]]) -> str:
    """Write the section of a version."""
    lines = [f"## {version} ({date})", ""]
    for kind, title in KINDS.items():
        if kind in entries:
            lines += [f"### {title}", ""]
            lines += ["- " + text.replace("\n", "\n  ") for text in entries[kind]]
            lines.append("")
    return "\n".join(lines)


def add_section(changelog: str, version: str, date: str, fragments: dict[str, list[str]]) -> str:
    """Put the section of a version on top of a changelog, with the entries that it had."""
    rest, entries = read_section(changelog, version)
    both = {kind: entries.get(kind, []) + fragments.get(kind, []) for kind in KINDS}
    section = write_section(version, date, {kind: texts for kind, texts in both.items() if texts})
    older = rest.removeprefix(HEAD).strip()
    return f"{HEAD}\n{section}" + (f"\n{older}\n" if older else "")


def main() -> None:
    """Print or write the section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draft", action="store_true", help="print the section, write nothing")
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    options = parser.parse_args()
    init = (ROOT / "skrobust" / "__init__.py").read_text(encoding="utf-8")
    version = re.search(r'__version__ = "(.*)"', init)[1]
    fragments = read_fragments(ROOT / "CHANGES")
    if options.draft:
        print(write_section(version, options.date, fragments))
        return
    path = ROOT / "CHANGELOG.md"
    changelog = path.read_text(encoding="utf-8") if path.exists() else HEAD
    path.write_text(add_section(changelog, version, options.date, fragments), encoding="utf-8")
    for fragment in (ROOT / "CHANGES").glob("+*"):
        fragment.unlink()


if __name__ == "__main__":
    main()
