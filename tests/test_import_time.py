"""``import skrobust`` costs next to nothing; benchmarks/bench_import.py measures how little."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {
    "torch",
    "skorch",
    "pandas",
    "matplotlib",
    "jinja2",
    "skrub",
    "polars",
    "pyarrow",
    "tqdm",
    "PIL",
}


def _run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)


def _modules_after(statement: str) -> set[str]:
    lines = _run("-c", f"{statement}\nimport sys\nprint(*sys.modules, sep='\\n')").stdout
    return set(lines.splitlines())


def test_no_heavy_library_is_loaded():
    report = _run("-X", "importtime", "-c", "import skrobust").stderr
    loaded = set(re.findall(r"\|\s*([\w.]+)$", report, flags=re.MULTILINE))
    assert "skrobust" in loaded
    assert not {name.partition(".")[0] for name in loaded} & HEAVY


def test_nothing_is_loaded_that_sklearn_does_not_load():
    extra = _modules_after("import skrobust") - _modules_after("import sklearn")
    ours = {name for name in extra if name.partition(".")[0] == "skrobust"}
    # importlib is the whole cost of loading subpackages lazily.
    assert extra - ours <= set(sys.stdlib_module_names)
    assert ours == {"skrobust"}


def test_import_is_silent():
    done = _run("-W", "error", "-c", "import skrobust")
    assert (done.stdout, done.stderr) == ("", "")


def test_unknown_name_is_an_attribute_error():
    import skrobust

    with pytest.raises(AttributeError, match="no_such_room"):
        skrobust.no_such_room  # noqa: B018
    assert "detection" in dir(skrobust)


def test_first_steps_are_at_the_top_level():
    import skrobust

    assert skrobust.CleaningClassifier is skrobust.wrappers.CleaningClassifier
    assert skrobust.EnsembleDetector is skrobust.detection.EnsembleDetector
    assert skrobust.find_label_errors is skrobust.detection.find_label_errors
    names = {name for name in dir(skrobust) if not name.startswith("__")}
    assert names == set(skrobust.__all__) - {"__version__"}


@pytest.mark.parametrize("missing", ["torch", "skorch"])
def test_without_torch_everything_else_works(missing):
    script = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {missing!r}:
            raise ImportError("it is hidden")
sys.meta_path.insert(0, Missing())
from sklearn.datasets import load_iris
from skrobust.wrappers import CleaningClassifier
CleaningClassifier(random_state=0).fit(*load_iris(return_X_y=True))
import skrobust
try:
    skrobust.neural
except ImportError as error:
    print(error)
"""
    output = _run("-W", "error", "-c", script).stdout
    assert f"skrobust.neural needs {missing}" in output
    assert 'pip install "skrobust[neural]"' in output
