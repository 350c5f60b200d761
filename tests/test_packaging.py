"""The wheel and the source distribution: metadata, files, and a run where they are installed."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email import message_from_bytes
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = {"numpy", "scipy", "scikit-learn", "joblib", "narwhals", "threadpoolctl"}
EXTRAS = {
    "neural": {"torch", "skorch"},
    "accelerate": {"accelerate"},
    "report": {"matplotlib", "jinja2", "pillow", "skrub", "pandas", "pyarrow", "tqdm"},
    "ann": {"pynndescent"},
    "tune": {"optuna"},
    "dask": {"distributed"},
}

# One worker builds the distributions for all tests of this file.
pytestmark = pytest.mark.xdist_group("wheel")


@pytest.fixture(scope="session")
def distributions(tmp_path_factory):
    """Paths of the source distribution and of the wheel that is built from it."""
    if int(version("setuptools").split(".")[0]) < 77:
        pytest.skip("the installed setuptools is too old to read the licence metadata (needs 77)")
    # From a copy, so that no build folder appears in the checkout.
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    # Folders that must stay out of the wheel are there to be left out.
    for name in ("skrobust", "LICENSES", "tests", "docs", "benchmarks", "examples"):
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "cache")
            )
    target = tmp_path_factory.mktemp("dist")
    _run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(source)])
    return {path.suffix: path for path in target.iterdir()}


def _run(command, **options) -> str:
    """Run a command that must succeed, and return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def wheel(distributions):
    """The built wheel."""
    with zipfile.ZipFile(distributions[".whl"]) as archive:
        yield archive


@pytest.fixture(scope="session")
def metadata(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return message_from_bytes(wheel.read(name))


@pytest.fixture(scope="session")
def requirements(metadata):
    """``{extra or None: {name: full requirement}}`` from the Requires-Dist fields."""
    found = {}
    for line in metadata.get_all("Requires-Dist"):
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        extra = re.search(r"""extra == ["']([\w-]+)["']""", marker)
        name = re.match(r"[\w.-]+", requirement).group().lower()
        found.setdefault(extra and extra.group(1), {})[name] = requirement
    return found


def test_core_requirements(requirements):
    assert set(requirements[None]) == CORE


def test_extras(metadata, requirements):
    tools = {"all", "test", "peers", "browser", "docs"}
    assert set(metadata.get_all("Provides-Extra")) == {*EXTRAS, *tools}
    for extra, names in EXTRAS.items():
        assert set(requirements[extra]) == names
    assert requirements["all"]["skrobust"] == "skrobust[accelerate,ann,dask,neural,report,tune]"


def test_nothing_is_pinned_for_users(requirements):
    for extra in (None, *EXTRAS):
        for requirement in requirements[extra].values():
            assert re.fullmatch(r"[\w.-]+>=[\d.]+", requirement), requirement


def test_lower_bounds_are_the_oldest_stack_that_is_tested(requirements):
    lines = (ROOT / "constraints-oldest.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    for extra in (None, "accelerate", "report", "dask"):
        for name, requirement in requirements[extra].items():
            # The pin may be a patch release of the bound.
            bound = requirement.removeprefix(f"{name}>=")
            assert f"{pins[name]}.".startswith(f"{bound}.")


def test_metadata(metadata):
    assert metadata["Name"] == "skrobust"
    init = (ROOT / "skrobust" / "__init__.py").read_text()
    assert f'__version__ = "{metadata["Version"]}"' in init
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == (
        "BSD-3-Clause AND CC-BY-SA-3.0 AND CC-BY-4.0 AND Apache-2.0"
    )
    assert metadata.get_payload().startswith("# ")


def test_project_urls(metadata):
    urls = dict(entry.split(", ") for entry in metadata.get_all("Project-URL"))
    assert set(urls) == {"Homepage", "Repository", "Issues", "Changelog"}
    assert all(url.startswith("https://github.com/skrobust/skrobust") for url in urls.values())


def test_licence_files(metadata):
    files = set(metadata.get_all("License-File"))
    assert {"LICENSE", "LICENSES/Apache-2.0.txt"} <= files
    if list((ROOT / "skrobust" / "datasets" / "data").glob("*")):
        assert "skrobust/datasets/data/NOTICE.md" in files


def test_files_are_those_of_the_package_and_nothing_else(wheel):
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    source = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "skrobust").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == source
    assert "skrobust/py.typed" in packed


def test_entry_point(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    parser = configparser.ConfigParser()
    parser.read_string(wheel.read(name).decode())
    assert dict(parser["console_scripts"]) == {"skrobust": "skrobust._cli:main"}


@pytest.mark.parametrize("kind", [".whl", ".gz"])
def test_installed_distribution_runs_the_readme(distributions, tmp_path, kind):
    """Install without a network and without the checkout, and run the first code of the README."""
    venv.create(tmp_path / "env", with_pip=False)
    folder = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin")
    paths = sysconfig.get_paths(vars={"base": str(tmp_path / "env")}, scheme="venv")
    # The libraries that skrobust needs, and its build backend, are those of the test run. A line
    # of a .pth file adds a folder, but not the editable installation that it holds.
    libraries = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (Path(paths["purelib"]) / "libraries.pth").write_text("\n".join(libraries))
    python, outside = str(folder / "python"), {"cwd": tmp_path, "env": _environment()}
    _run(
        [
            *(sys.executable, "-m", "pip", "--python", python, "install", "--ignore-installed"),
            *("--no-deps", "--no-index", "--no-build-isolation", str(distributions[kind])),
        ],
        **outside,
    )
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    program = (
        "from sklearn.datasets import make_classification\n"
        "X, y = make_classification(200, class_sep=2, flip_y=0.2, random_state=0)\n"
        "X_new = X[:5]\n"
        f"{code}\n"
        "import skrobust\n"
        "print(skrobust.__file__, skrobust.__version__, len(model.predict(X_new)))\n"
    )
    file, number, n_predictions = _run([python, "-c", program], **outside).split()[-3:]
    assert Path(file).is_relative_to(tmp_path)
    assert number in distributions[kind].name
    assert n_predictions == "5"
    assert _run([str(folder / "skrobust"), "--version"], **outside) == f"skrobust {number}\n"


def _environment() -> dict:
    """The environment without paths that lead to the checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def test_setup_cfg_holds_only_tool_sections():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg")
    for section in parser.sections():
        assert section.partition(":")[0] in {"tool", "coverage"}, section
