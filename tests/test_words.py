"""Names and texts use the field's terms, not words that only this project would use."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ["benchmarks", "docs", "examples", "skrobust", "tests", "tools"]

# Words of no paper, with what to write instead.
TEXT = {
    r"judg(e|es|ed|ing|ement|ements)": "score, detect, detector",
    r"fore(tell|tells|told)|opinions?": "predict, prediction",
    r"companions?": "diverse models",
    r"verdicts?|heed(s|ed)?": "verified label",
    r"lessons?|witness(es)?|vouch(es)?": "pseudo-label, reference rows, predictions",
    r"mass(es)?": "total weight",
    r"cuts?": "threshold",
    r"channels?": "noise model, transition matrix",
    r"hand(s|ed)? (on|out)|complain(s|ed)?": "pass, propagate, raise, warn",
    r"made wrong|wrong on purpose": "synthetic label noise",
    r"person|people|somebody|nobody": "annotator, reviewer, user, or the passive",
    r"tables? of numbers": "numeric feature matrix",
}
# Parts of names, besides these.
NAMES = {
    r"answers?|questions?|asks?|asked": "result, ThresholdInput, cached call",
    r"says?|said|tells?|told": "predict, report, state",
    r"looks?|watch(es|ed|er)?": "inspect, record",
    r"undo|copies|stands|fresh|quiet|quietly|alike": "invert, replicated, new, silent, similar",
    r"hits|floor|rooms?|house|doors?|survives?": "found, minimum, package, entry point",
}
# Where a word has its ordinary meaning.
ALLOWED = {
    "skrobust/_cli/_units.py": {"mass"},  # kilograms
    "skrobust/datasets/_mnist.py": {"verdict"},  # an array of the file
    "skrobust/detection/_consensus_mixture.py": {"person"},  # of a title
    "skrobust/detection/_decoy_threshold.py": {"mass"},  # spectrometry
    "skrobust/detection/_ensemble.py": {"mass"},
    "skrobust/inspection/_images.py": {"channels"},  # of images
    "skrobust/inspection/_label_report.py": {"channels"},
    "skrobust/neural/layers/_nested_dropout.py": {"channels"},
    "skrobust/neural/losses/_base.py": {"floor"},  # of a probability
    "skrobust/neural/losses/_batch.py": {"floor"},
    "skrobust/neural/losses/_regularized.py": {"floor"},
    "skrobust/neural/losses/_robust.py": {"person"},  # of a title
    "skrobust/neural/modules/_augmentation.py": {"channel", "channels"},
    "skrobust/neural/modules/_images.py": {"channels"},
    "tests/inspection/test_label_report.py": {"channels"},
    "tests/neural/modules/test_augmentation.py": {"channels"},
    "tests/neural/modules/test_image_networks.py": {"channels"},
    "tests/neural/modules/test_modules_contract.py": {"channels"},
    "tools/build_datasets.py": {"verdict"},  # an array of the file
    "tools/make_messy_table.py": {"channel", "channels"},  # of sales
    "docs/neural_networks.md": {"channels"},
}

IN_TEXT = re.compile(rf"\b({'|'.join(f'(?:{word})' for word in TEXT)})\b", re.IGNORECASE)
IN_NAMES = re.compile(rf"({'|'.join(f'(?:{word})' for word in (*TEXT, *NAMES))})", re.IGNORECASE)


def _files(folder: str) -> list[Path]:
    paths = (ROOT / folder).rglob("*")
    kept = [path for path in paths if path.suffix in (".py", ".md") and path != Path(__file__)]
    return sorted(path for path in kept if not set(path.parts) & {"_build", "generated"})


def _texts(path: Path):
    """Numbered lines of prose: of a page all, of a module its comments and strings."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from enumerate(source.splitlines(), 1)
        return
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in kinds:
            for offset, line in enumerate(token.string.splitlines()):
                yield token.start[0] + offset, line


def _names(path: Path):
    """Numbered names that a module defines: functions, classes, arguments, variables."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, getattr(node, "id", None) or node.attr


def _parts(name: str) -> list[str]:
    """``["noise", "model"]`` for ``noise_model``, ``NoiseModel`` and ``_NOISE_MODEL``."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return [part.lower() for part in words.split("_") if part]


def _found(path: Path) -> list[str]:
    """What a file has of the words, with line numbers."""
    allowed = ALLOWED.get(path.relative_to(ROOT).as_posix(), set())
    found = [
        f"line {line}: {match.group()!r} in {text.strip()[:60]!r}"
        for line, text in _texts(path)
        for match in IN_TEXT.finditer(text)
        if match.group().lower() not in allowed
    ]
    if path.suffix == ".py":
        found += [
            f"line {line}: {part!r} in the name {name}"
            for line, name in _names(path)
            for part in _parts(name)
            if IN_NAMES.fullmatch(part) and part not in allowed
        ]
    return found


@pytest.mark.quick
@pytest.mark.parametrize("folder", FOLDERS)
def test_words_are_those_of_the_field(folder):
    paths = _files(folder)
    assert paths
    found = {path.relative_to(ROOT).as_posix(): _found(path) for path in paths}
    assert not {path: lines for path, lines in found.items() if lines}


def test_exceptions_are_needed():
    for name, words in ALLOWED.items():
        path = ROOT / name
        found = {
            match.group().lower() for _, text in _texts(path) for match in IN_TEXT.finditer(text)
        }
        if path.suffix == ".py":
            found |= {part for _, name in _names(path) for part in _parts(name)}
        assert words <= found, f"{name} has no {words - found}"


def test_a_word_is_found(tmp_path, monkeypatch):
    path = tmp_path / "module.py"
    path.write_text(
        'def fit_judge(x):\n    """Add."""\n    lastAnswer = 1  # the cut\n    return x\n'
    )
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    found = _found(path)
    assert [line.split("'")[1] for line in found] == ["cut", "judge", "answer"]
