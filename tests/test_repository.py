"""House rules that a reader would have to check by hand: size, doors, directions, randomness."""

import ast
import doctest
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "skrobust"
FILES = sorted(PACKAGE.rglob("*.py"))
SKLEARN_DOOR = PACKAGE / "utils" / "_sklearn.py"

# Data flows from left to right; nothing imports from a room with a larger number than its own.
ORDER = [
    {"utils"},
    {"base"},
    {"testing"},
    {"evidence"},
    {"noise"},
    {"detection"},
    {"weighting"},
    {"wrappers", "linear_model", "neural"},
    {"crowd"},
    {"metrics"},
    {"model_selection"},
    {"inspection"},
    {"datasets", "_cli"},
]
# A module under the name that scikit-learn has for such checks, of names from the right.
EXCEPTIONS = {("utils/estimator_checks.py", "testing")}
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}

# The names of numpy.random that hold no global state.
STATELESS = {
    "BitGenerator", "Generator", "MT19937", "PCG64", "PCG64DXSM", "Philox", "RandomState", "SFC64",
    "SeedSequence", "default_rng",
}  # fmt: skip

every_file = pytest.mark.parametrize(
    "path", FILES, ids=[path.relative_to(ROOT).as_posix() for path in FILES]
)


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


@every_file
def test_file_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 600


@every_file
def test_private_sklearn_names_come_through_one_door(path):
    if path == SKLEARN_DOOR:
        return
    names = list(_imports(path))
    names += [
        (node.lineno, _dotted(node))
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Attribute)
    ]
    private = [
        f"line {line}: {name}"
        for line, name in names
        if name.startswith("sklearn.") and any(map(_is_private, name.split(".")))
    ]
    assert not private, "import them in skrobust/utils/_sklearn.py"


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


@every_file
def test_global_random_state_is_not_used(path):
    assert not list(_global_randomness(_tree(path)))
    examples = doctest.DocTestParser().get_examples(path.read_text(encoding="utf-8"))
    for example in examples:
        assert not list(_global_randomness(ast.parse(example.source))), example.source


@every_file
def test_rooms_import_only_to_their_left(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in {"__init__", "__main__"}:
        return
    assert room in RANK, f"the room {room!r} has no place in the order"
    wrong = []
    for line, name in _imports(path):
        package, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if (path.relative_to(PACKAGE).as_posix(), target) in EXCEPTIONS:
            continue
        if package == "skrobust" and target in RANK and RANK[target] > RANK[room]:
            wrong.append(f"line {line}: {name}")
    assert not wrong, f"{room} imports from a room to its right"


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
