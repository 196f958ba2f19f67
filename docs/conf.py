"""Sphinx's settings: the guide, the examples, which are run, and a page for each public name."""

import importlib.metadata
import os
import re
import sys
import urllib.request
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "_extensions"))

project = "skmm"
author = copyright = "skmm developers"
release = version = importlib.metadata.version("skmm")
exclude_patterns = ["_build", "auto_examples/*.ipynb", "auto_examples/*.py", "Thumbs.db"]
templates_path = ["_templates"]
default_role = "py:obj"  # `FusionClassifier` in a docstring is a link where there is such a page
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "myst_parser",
    "sphinx_llms_txt",
    "mathml",
]

# The reference. Only what skmm itself documents: `get_params` and its like are scikit-learn's.
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False

# With nitpicky, a link to a name of skmm that does not exist is a warning. Names of other packages
# are links where their inventory can be reached, and plain text where it cannot.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!skmm\b).*")]
INVENTORIES = {
    "sklearn": "https://scikit-learn.org/stable/",
    "pandas": "https://pandas.pydata.org/docs/",
}


def _is_reachable(address):
    try:
        with urllib.request.urlopen(f"{address}objects.inv", timeout=3) as reply:
            return reply.status == 200
    except OSError:
        return False


intersphinx_mapping = {
    name: (address, None) for name, address in INVENTORIES.items() if _is_reachable(address)
}

# The examples.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that a search starts
# A progress bar would stand in a page with all its steps. tqdm reads this when it is imported.
os.environ["TQDM_DISABLE"] = "1"
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "within_subsection_order": "order.by_question",
    "doc_module": ("skmm",),
    "backreferences_dir": "generated/backreferences",
    "reference_url": {"skmm": None},
    "capture_repr": ("_repr_html_",),  # of estimators and tables, and not "<Legend object at ..."
    "show_memory": False,
    "write_computation_times": False,
    "show_signature": False,
    "matplotlib_animations": False,
    "plot_gallery": "True",
}

# Commands can be copied without their prompts and without what they print.
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

myst_heading_anchors = 3
suppress_warnings = ["config.cache"]  # the gallery's settings cannot be pickled

html_theme = "pydata_sphinx_theme"
html_title = "skmm"
html_static_path = ["_static"]
html_css_files = ["skmm.css"]
html_show_sourcelink = False
html_math_renderer = "mathml"
html_sidebars = {"index": [], "benchmarks": [], "changes": []}
html_theme_options = {
    "logo": {"text": "skmm"},
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
# Where versions of the docs stand side by side, a folder each, with the list that
# tools/list_docs.py writes: one can be chosen at the top of each page. Pages on a disk may not
# fetch such a list.
if base := os.environ.get("SKMM_DOCS_BASE"):
    is_release = re.fullmatch(r"\d+\.\d+\.\d+", release)
    html_baseurl = f"{base}/{release if is_release else 'dev'}/"
    html_theme_options |= {
        "switcher": {
            "json_url": f"{base}/switcher.json",
            "version_match": release if is_release else "dev",
        },
        "check_switcher": False,
        "navbar_end": ["version-switcher", "theme-switcher", "navbar-icon-links"],
        "show_version_warning_banner": True,
    }

# llms.txt lists the pages, as text; llms-full.txt has them all in one.
llms_txt_summary = (
    "skmm learns from tables of text, pictures, sounds, videos and numbers: an encoder for each "
    "column, fused with learned weights, as one scikit-learn estimator."
)
llms_txt_exclude = ["auto_examples/sg_execution_times", "generated/*", "search", "genindex"]


def _skip_foreign_members(app, what, name, member, skip, options):
    """Leave out members of classes that skmm inherits from other packages."""
    function = member.fget if isinstance(member, property) else member
    owner = getattr(function, "__module__", None) or ""
    return skip or (what == "class" and not owner.startswith("skmm"))


def setup(app):
    app.connect("autodoc-skip-member", _skip_foreign_members)
