"""Shared entries of docstrings are filled in, with the indentation they are asked for with."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys

import pytest
from sklearn.utils.metaestimators import available_if

import skrobust
from skrobust.utils._docstring import ENTRIES, fill_docstring


@fill_docstring
class Documented:
    """Do something.

    Parameters
    ----------
    %(n_jobs_detector)s
        And more.
    alpha : float
        In the middle, as in 5 %(not alone)s.
    %(random_state)s
    """

    @available_if(lambda self: True)
    def fit(self, X):
        """Fit.

        Parameters
        ----------
        %(X)s
        """

    @classmethod
    def from_file(cls, X):
        """Load.

        Parameters
        ----------
        %(X)s
        """

    @property
    def width(self):
        """Width.

        %(classes_)s
        """


def test_entry_is_filled_in_with_its_indentation():
    lines = inspect.getdoc(Documented).split("\n")
    at = lines.index("n_jobs : int, default=None")
    assert lines[at + 1 : at + 3] == [
        "    If not None, set as `n_jobs` of the detector.",
        "    And more.",
    ]
    assert "    In the middle, as in 5 %(not alone)s." in lines
    assert "random_state : int, RandomState instance or None, default=None" in lines


@pytest.mark.parametrize("name", ["fit", "from_file"])
def test_methods_are_filled_in(name):
    text = inspect.getdoc(getattr(Documented, name))
    assert text.endswith(ENTRIES["X"].strip())
    assert inspect.getdoc(getattr(Documented(), name)) == text


def test_properties_are_filled_in():
    assert "Class labels, sorted." in Documented.width.__doc__


def test_function_takes_entries_of_its_own():
    @fill_docstring(beta="beta : float\n    Slope.")
    def line(beta):
        """Draw.

        %(beta)s
        """

    assert inspect.getdoc(line) == "Draw.\n\nbeta : float\n    Slope."


def test_unknown_entry_is_an_error():
    def line(beta):
        """Draw.

        %(beta)s
        """

    with pytest.raises(KeyError, match=r"line asks for 'beta'"):
        fill_docstring(line)


def test_object_without_docstring_is_left_alone():
    def line():
        pass

    assert fill_docstring(line) is line
    assert line.__doc__ is None


def test_optimised_python_has_no_docstrings():
    code = (
        "import skrobust.detection, skrobust.wrappers, skrobust.metrics;"
        "assert skrobust.detection.ConfidentLearning.__doc__ is None"
    )
    subprocess.run([sys.executable, "-OO", "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("key", sorted(ENTRIES))
def test_entry_is_numpydoc(key):
    lines = ENTRIES[key].strip().split("\n")
    assert re.fullmatch(r"(\*\*)?\w+ : \S.*\S", lines[0])
    assert lines[-1].endswith(".")


def _modules():
    for info in pkgutil.walk_packages(skrobust.__path__, "skrobust."):
        if not info.name.endswith("__main__"):
            yield info.name


@pytest.mark.parametrize("name", list(_modules()))
def test_no_placeholder_is_left(name):
    module = importlib.import_module(name)
    for found in vars(module).values():
        if getattr(found, "__module__", None) != name:
            continue
        members = list(vars(found).values()) if inspect.isclass(found) else []
        for member in [found, *members]:
            member = getattr(member, "__func__", None) or getattr(member, "fn", None) or member
            assert not re.search(r"^ *%\(\w+\)s$", member.__doc__ or "", re.MULTILINE), member
