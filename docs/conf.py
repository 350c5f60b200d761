"""Configuration of sphinx."""

import shutil
import sys
from importlib.metadata import distribution
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
from sphinx.errors import ExtensionError

matplotlib.use("Agg")

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))

from api_reference import (  # noqa: E402
    API_REFERENCE,
    guide_pages,
    index_page,
    llms_text,
    module_page,
)
from bibliography import bibliography  # noqa: E402
from measured import tables  # noqa: E402
from pictures import draw_gaps, draw_memorisation, draw_selection  # noqa: E402

import skrobust  # noqa: E402

# Seconds that a script of the gallery may take.
LONGEST_EXAMPLE = 30

project = "skrobust"
author = "skrobust developers"
copyright = "skrobust developers"
version = release = skrobust.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_inventories", "auto_examples/*.ipynb", "auto_examples/*.py"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
root_doc = "index"
nitpicky = True
default_role = None

autosummary_generate = True
autosummary_context = {"guide": guide_pages()}
autodoc_typehints = "none"
autodoc_inherit_docstrings = False
numpydoc_show_class_members = False
numpydoc_validation_checks = set()

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# The inventories are kept in the repository, so that the build needs no network. Links lead to the
# current documentation; names that are newer than the inventory are in `nitpick_ignore`.
intersphinx_mapping = {
    name: (url, str(DOCS / "_inventories" / f"{name}.inv"))
    for name, url in {
        "python": "https://docs.python.org/3",
        "scipy": "https://docs.scipy.org/doc/scipy",
        "sklearn": "https://scikit-learn.org/stable",
        "pandas": "https://pandas.pydata.org/docs",
    }.items()
}
# Libraries without an inventory here.
nitpick_ignore_regex = [
    (r"py:.*", rf"{library}(\..*)?")
    for library in ("numpy", "np", "matplotlib", "torch", "skorch", "joblib", "skrub", "PIL")
]
nitpick_ignore = [
    # Newer than the inventory of scikit-learn.
    ("py:class", "sklearn.model_selection.TunedThresholdClassifierCV"),
    # Not public yet.
    ("py:class", "ThresholdResult"),
]

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["auto_examples"],
    "doc_module": ("skrobust",),
    "backreferences_dir": "generated/backreferences",
    "reference_url": {"skrobust": None},
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": False,
    "only_warn_on_example_error": False,
    "remove_config_comments": True,
    "junit": "gallery.xml",
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    # `sphinx-build -t quick` shows the scripts without running them.
    "plot_gallery": not tags.has("quick"),  # noqa: F821
}

# Formulas are drawn by a copy of MathJax in the site, which thus needs no network.
mathjax_path = "mathjax/tex-svg.js"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
toc_object_entries_show_parents = "hide"
html_theme = "pydata_sphinx_theme"
html_title = "skrobust"
html_show_sourcelink = False
html_extra_path = ["generated/llms.txt"]
html_theme_options = {
    "collapse_navigation": True,
    "show_prev_next": False,
    "navbar_align": "left",
    "secondary_sidebar_items": {"**": ["page-toc"], "which_method": []},
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_context = {"default_mode": "auto"}
html_sidebars = {"index": [], "glossary": [], "reference/bibliography": []}


def _skip_foreign(app, what, name, obj, skip, options):
    """Leave out members that come from scikit-learn or torch, which document them."""
    origin = getattr(getattr(obj, "fget", obj), "__module__", None)
    return True if origin and origin.partition(".")[0] != "skrobust" else None


def _quote_attribute(app, what, name, obj, options, lines):
    """Keep the trailing underscore in a shape from being read as a link."""
    lines[:] = [line.replace("(n_features_in_,)", "(``n_features_in_``,)") for line in lines]


def _copy_mathjax(app, exception):
    """Put MathJax where `mathjax_path` says it is."""
    if exception is None:
        files = distribution("sphinx-mathjax-offline").files
        script = next(file for file in files if file.name == "tex-svg.js")
        target = Path(app.outdir) / "_static" / mathjax_path
        target.parent.mkdir(exist_ok=True)
        shutil.copy(script.locate(), target)


def _check_times(app, exception):
    """Fail where an example that was run took too long."""
    report = Path(app.outdir) / "gallery.xml"
    if exception is None and report.exists():
        for case in ElementTree.parse(report).iter("testcase"):
            if float(case.get("time")) > LONGEST_EXAMPLE:
                raise ExtensionError(
                    f"{case.get('file')} took {case.get('time')} s; the limit is"
                    f" {LONGEST_EXAMPLE} s."
                )


def setup(app):
    """Connect the functions above; the docstring one runs before numpydoc reads the lines."""
    app.connect("build-finished", _check_times)
    app.connect("build-finished", _copy_mathjax)
    app.connect("autodoc-skip-member", _skip_foreign)
    app.connect("autodoc-process-docstring", _quote_attribute, priority=100)


def _write(path: Path, text: str) -> None:
    """Write a page unless it is there already, so that sphinx reads only what has changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


_write(DOCS / "reference" / "index.rst", index_page())
for _module in API_REFERENCE:
    _write(DOCS / "reference" / f"{_module}.rst", module_page(_module))
_write(DOCS / "reference" / "bibliography.rst", bibliography())
_write(DOCS / "generated" / "llms.txt", llms_text())
for _name, _table in tables().items():
    _write(DOCS / "generated" / f"{_name}.inc", _table)
draw_gaps(DOCS / "generated" / "gaps.png")
draw_memorisation(DOCS / "generated" / "memorisation.png")
draw_selection(DOCS / "generated" / "selection.png")
