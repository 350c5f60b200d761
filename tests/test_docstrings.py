"""Every public name is documented: numpydoc's checks, an example, the version that brought it."""

import contextlib
import importlib
import inspect
import pkgutil

import pytest
from numpydoc.validate import validate

import skrobust

# What numpydoc reports and this project holds itself to; the codes are explained in numpydoc's
# documentation. Left out: matters of taste (GL01, GL03, SS05), extended summaries (ES01) and See
# Also (SA01), which not every function needs, and sections that RT01 guesses at from the source.
CODES = {
    "GL02", "GL05", "GL06", "GL07", "GL08", "GL09", "GL10",  # shape, sections and their order
    "SS01", "SS02", "SS03", "SS04", "SS06",  # one summary line, a sentence
    "PR01", "PR02", "PR03", "PR04", "PR05", "PR06", "PR07", "PR10",  # each parameter, in order
    "RT03", "YD01",  # what comes back
    "EX01",  # an example
}  # fmt: skip
METHOD_CODES = {"GL02", "GL05", "GL06", "GL07", "SS01", "SS03", "SS04", "PR02", "PR03"}
OPTIONAL = {"torch", "skorch", "matplotlib", "jinja2", "skrub", "pandas", "tqdm", "optuna"}


def _public_modules():
    """The names of all modules that have no part with a leading underscore."""
    waiting = [skrobust]
    while waiting:
        package = waiting.pop()
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if info.name.rpartition(".")[2].startswith("_"):
                continue
            yield info.name
            if info.ispkg:
                # Where this fails, test_module_can_be_imported says why.
                with contextlib.suppress(ImportError):
                    waiting.append(importlib.import_module(info.name))


MODULES = sorted(_public_modules())


def _public_objects(module_name: str):
    """``(module.name, object)`` for what `__all__` of a module lists and no module before it."""
    listed = {}
    for name in MODULES:
        with contextlib.suppress(ImportError):
            module = importlib.import_module(name)
            for public in sorted(getattr(module, "__all__", ())):
                found = getattr(module, public, None)
                if callable(found):
                    listed.setdefault(id(found), (name, public, found))
    for name, public, found in listed.values():
        if name == module_name:
            yield f"{name}.{public}", found


def _errors(name: str, codes: set[str]) -> list[str]:
    return [f"{code}: {text}" for code, text in validate(name)["errors"] if code in codes]


def _import(name: str):
    """The module; the test is skipped where an optional extra is missing for it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if (error.name or "").partition(".")[0] in OPTIONAL:
            pytest.skip(f"{error.name} is not installed")
        raise


every_module = pytest.mark.parametrize("module_name", MODULES)


@every_module
def test_module_can_be_imported(module_name):
    module = _import(module_name)
    assert module.__doc__, "a module says in its docstring what it is for"
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public), f"__all__ lists {public}, which is not there"


def _problems(name: str, found) -> list[str]:
    """What the docstring of a public object lacks."""
    problems = _errors(name, CODES)
    text = inspect.getdoc(found) or ""
    if ".. versionadded::" not in text:
        problems.append("no versionadded")
    problems += _unnamed_options(found, text)
    sections = {line for line in text.splitlines() if line and line == line.strip()}
    if inspect.isfunction(found):
        annotation = inspect.signature(found).return_annotation
        if annotation not in (None, "None") and not sections & {"Returns", "Yields"}:
            problems.append("no Returns section")
    return problems


def _unnamed_options(found, text: str) -> list[str]:
    """Texts that a parameter of an estimator may be, but that its docstring does not name."""
    constraints = getattr(found, "_parameter_constraints", {})
    return [
        f"{name} may be {option!r}, which is not described"
        for name, allowed in constraints.items()
        for constraint in allowed
        for option in sorted(getattr(constraint, "options", ()), key=str)
        if isinstance(option, str) and f'"{option}"' not in text
    ]


def _problems_of_methods(name: str, found: type):
    """What the docstrings of the methods of a public class lack, with their names."""
    for method_name, member in inspect.getmembers(found):
        # Inherited from scikit-learn, or private: not for this project to document.
        if method_name.startswith("_") or not callable(member):
            continue
        module = getattr(member, "__module__", None) or ""
        if module.partition(".")[0] != "skrobust" or inspect.isclass(member):
            continue
        if not inspect.getdoc(member):
            yield method_name, ["no docstring"]
        elif errors := _errors(f"{name}.{method_name}", METHOD_CODES):
            yield method_name, errors


@every_module
def test_public_names_are_documented(module_name):
    _import(module_name)
    problems = {}
    for name, found in _public_objects(module_name):
        if lacking := _problems(name, found):
            problems[name] = lacking
        if inspect.isclass(found):
            for method, lacking in _problems_of_methods(name, found):
                problems[f"{name}.{method}"] = lacking
    assert not problems


def test_a_bad_docstring_is_found():
    def undocumented() -> int:
        """does something"""

    assert "no versionadded" in _problems("tests.test_docstrings._import", undocumented)
    assert "no Returns section" in _problems("tests.test_docstrings._import", undocumented)
    assert _errors("tests.test_docstrings._errors", CODES)
