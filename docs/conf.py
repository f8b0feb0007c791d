"""The documentation site: ``sphinx-build -W docs build/site``. It opens without a server and needs no network."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # notebooks.py

import notebooks
from sphinx import addnodes
from sphinx.util import logging

import mongoose_nb

project = "mongoose_nb"
copyright = "its authors, MIT licence"
release = version = mongoose_nb.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinxarg.ext"]
html_theme = "furo"
html_title = "mongoose_nb"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False

myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks.py runs them
nb_ipywidgets_js = {}  # would be loaded from a network

highlight_language = "none"  # docstrings draw diagrams

# One backquote means code in our docstrings, and a link where it names something that has a page.
default_role = "py:obj"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False


def by_whole_names(app, doctree):
    """Link a word of a type, such as the dim of "array of shape (n, dim)", to objects of exactly this name only, not to attributes."""
    for node in doctree.findall(addnodes.pending_xref):
        node.attributes.pop("refspecific", None)


def in_the_package(app, env, node, content):
    """Resolve names that docstrings give without the package: `rehash.Drift` is mongoose_nb.rehash.Drift."""
    if node.get("refdomain") != "py":
        return None
    name = f"mongoose_nb.{node['reftarget']}"
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, content) if name in domain.objects else None


def without_requests(app, what, name, obj, skip, options):
    """Leave out what scikit-learn adds to estimators, such as set_fit_request: its text refers to pages of its own."""
    last = name.rpartition(".")[2]
    return True if last.startswith("set_") and last.endswith("_request") else None


def check_notebooks(app):
    """Warn of notebooks that differ from their scripts; a warning fails a strict build."""
    try:
        notebooks.check()
    except ValueError as error:
        logging.getLogger(__name__).warning(str(error))


def setup(app):
    """Connect the functions above to Sphinx."""
    app.connect("autodoc-skip-member", without_requests)
    app.connect("builder-inited", check_notebooks)
    app.connect("doctree-read", by_whole_names)
    app.connect("missing-reference", in_the_package)
