"""The wheel: what it asks for, what it says about itself, and which files it holds."""

import configparser
import re
import shutil
import subprocess
import sys
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

# One worker builds the wheel for all tests of this file.
pytestmark = pytest.mark.xdist_group("wheel")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The built wheel, made from a copy so that no build folder appears in the checkout."""
    if int(version("setuptools").split(".")[0]) < 77:
        pytest.skip("the installed setuptools is too old to read the licence metadata (needs 77)")
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
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target)]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = target.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
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
    assert set(metadata.get_all("Provides-Extra")) == {*EXTRAS, "all", "test", "browser", "docs"}
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


def test_setup_cfg_holds_only_tool_sections():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg")
    for section in parser.sections():
        assert section.partition(":")[0] in {"tool", "coverage"}, section
