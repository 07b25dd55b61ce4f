"""Turns what a model wrote into HTML that cannot do anything.

Guarantees: no HTML of the model's own survives, nothing is fetched (a picture is shown as its text and address),
links lead only to web and mail addresses. Two locks: the renderer makes no such HTML, and nh3 takes out what it
does not know.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

import nh3
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.lexers.special import TextLexer
from pygments.util import ClassNotFound

LONGEST_HIGHLIGHTED = 50_000  # characters; beyond it code is shown plain, so that no answer keeps the server busy

TAGS = {
    *("p", "br", "hr", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "blockquote", "ul", "ol", "li", "a"),
    *("code", "pre", "span", "div", "table", "thead", "tbody", "tr", "th", "td"),
    *("button", "svg", "path", "rect"),  # of the copy button, which only our own template makes
}
ATTRIBUTES = {
    "a": {"href", "title"},
    "ol": {"start"},
    "th": {"class"},
    "td": {"class"},
    "span": {"class"},
    "div": {"class"},
    "pre": {"tabindex"},
    "button": {"class", "type", "aria-label", "title", "data-copy"},
    "svg": {"class", "viewbox", "aria-hidden"},
}
LINK_RELATION = "noopener nofollow noreferrer"
