"""Rules for the source: length of files, private names, direction of imports, randomness."""

import ast
import doctest
import functools
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "skrobust"
FILES = sorted(PACKAGE.rglob("*.py"))
SKLEARN_NAMES = PACKAGE / "utils" / "_sklearn.py"

# Data flows from left to right; nothing imports from a package with a larger number than its own.
ORDER = [
    {"utils"},
    {"base"},
    {"testing"},
    {"evidence"},
    {"noise"},
    {"detection"},
    {"weighting"},
    {"wrappers", "linear_model", "neural"},
    {"metrics"},
    {"model_selection"},
    {"inspection"},
    {"datasets", "_cli"},
]
# A module under the name that scikit-learn has for such checks, of names from the right.
EXCEPTIONS = {("utils/estimator_checks.py", "testing")}
RANK = {package: rank for rank, packages in enumerate(ORDER) for package in packages}

# The names of numpy.random that hold no global state.
STATELESS = {
    "BitGenerator", "Generator", "MT19937", "PCG64", "PCG64DXSM", "Philox", "RandomState", "SFC64",
    "SeedSequence", "default_rng",
}  # fmt: skip


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _imports(path: Path):
    """``(line, dotted name)`` for every import, also inside functions; relative ones resolved."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                yield node.lineno, ".".join([*base, alias.name])


def _dotted(node: ast.AST) -> str:
    """``"np.random.rand"`` for that attribute chain, "" for anything else."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _is_private(part: str) -> bool:
    return part.startswith("_") and not part.endswith("__")


def _found(rule) -> dict[str, list]:
    """What a rule finds in each file, without the files where that is nothing."""
    found = {path.relative_to(ROOT).as_posix(): list(rule(path)) for path in FILES}
    return {path: offences for path, offences in found.items() if offences}


def test_files_are_short():
    def lines(path):
        return path.read_text(encoding="utf-8").splitlines()[600:]

    assert list(_found(lines)) == [], "at most 600 lines"


def _private_sklearn_names(path: Path):
    names = list(_imports(path))
    names += [
        (node.lineno, _dotted(node))
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Attribute)
    ]
    for line, name in names:
        if name.startswith("sklearn.") and any(map(_is_private, name.split("."))):
            yield f"line {line}: {name}"


def test_private_sklearn_names_are_imported_in_one_module():
    found = _found(_private_sklearn_names)
    assert set(found) <= {SKLEARN_NAMES.relative_to(ROOT).as_posix()}, "only utils/_sklearn.py may"


def _global_randomness(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner, _, name = _dotted(node).rpartition(".")
            if owner in {"np.random", "numpy.random"} and name not in STATELESS:
                yield node.lineno, f"{owner}.{name}"
        elif isinstance(node, ast.ImportFrom) and node.module == "numpy.random":
            for alias in node.names:
                if alias.name not in STATELESS:
                    yield node.lineno, f"numpy.random.{alias.name}"
        elif (
            isinstance(node, ast.Call)
            and _dotted(node.func).endswith("check_random_state")
            and any(isinstance(a, ast.Constant) and a.value is None for a in node.args)
        ):
            yield node.lineno, "check_random_state(None)"


def _random_calls(path: Path):
    yield from _global_randomness(_tree(path))
    for example in doctest.DocTestParser().get_examples(path.read_text(encoding="utf-8")):
        for _, name in _global_randomness(ast.parse(example.source)):
            yield f"{name} in the example {example.source!r}"


def test_global_random_state_is_not_used():
    assert not _found(_random_calls)


def _imports_to_the_right(path: Path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own in {"__init__", "__main__"}:
        return
    if own not in RANK:
        yield f"{own!r} has no place in the order"
        return
    for line, name in _imports(path):
        package, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if (path.relative_to(PACKAGE).as_posix(), target) in EXCEPTIONS:
            continue
        if package == "skrobust" and target in RANK and RANK[target] > RANK[own]:
            yield f"line {line}: {name}"


def test_packages_import_only_to_their_left():
    assert not _found(_imports_to_the_right)


def test_these_tests_would_notice(tmp_path):
    """The checks above see what they are for: each of these lines is an offence."""
    assert list(_global_randomness(ast.parse("np.random.seed(0)")))
    assert list(_global_randomness(ast.parse("from numpy.random import rand")))
    assert list(_global_randomness(ast.parse("sklearn.utils.check_random_state(None)")))
    assert not list(_global_randomness(ast.parse("np.random.default_rng(0).random()")))
    assert _is_private("_param_validation")
    assert not _is_private("__version__")


def test_relative_imports_are_resolved(tmp_path, monkeypatch):
    path = tmp_path / "skrobust" / "noise" / "_x.py"
    path.parent.mkdir(parents=True)
    path.write_text("from ..detection import _filter\nfrom . import _flip\nimport numpy as np\n")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert list(_imports(path)) == [
        (1, "skrobust.detection._filter"),
        (2, "skrobust.noise._flip"),
        (3, "numpy"),
    ]
