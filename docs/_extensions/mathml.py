"""Formulas as MathML, which browsers draw by themselves: no script to load, no network."""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def _convert(node, *, as_block):
    try:
        return tex2mathml(node.astext(), as_block=as_block)
    except MathError as e:
        logger.warning("%s in the formula %s", e, node.astext(), location=node)
        return ""


def visit_math(translator, node):
    translator.body.append(_convert(node, as_block=False))
    raise nodes.SkipNode


def visit_displaymath(translator, node):
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    translator.body.append(f"{_convert(node, as_block=True)}</div>\n")
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
