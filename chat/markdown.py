"""Turns what a model wrote into HTML that cannot do anything.

Guarantees: no HTML of the model's own survives, nothing is fetched (a picture is shown as it was written),
links lead only to web and mail addresses. Two locks: the renderer makes no such HTML, and nh3 takes out what
it does not know.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from html import escape

import nh3
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Name, Number, Operator, String, _TokenType
from pygments.util import ClassNotFound

LONGEST = (
    200_000  # characters; a longer answer is shown as plain text, so that no answer keeps the server busy
)
LONGEST_CODE = 50_000  # characters; a longer block is not coloured

BLOCKS = {"p", "br", "hr", "blockquote", "ul", "ol", "li", "div", "pre", "h3", "h4", "h5", "h6"}
WORDS = {"strong", "em", "s", "a", "code", "span"}
TABLE = {"table", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {
    "a": {"href", "title"},
    "ol": {"start"},
    "th": {"class"},
    "td": {"class"},
    "div": {"class"},
    "span": {"class"},
    "pre": {"id", "tabindex"},
}
COLOURS = (  # of pygments' kinds, the first that fits -> the class of the stylesheet
    (Comment, "c"),
    (String, "s"),
    (Number, "n"),
    (Keyword, "k"),
    (Operator.Word, "k"),
    (Name.Function, "f"),
    (Name.Class, "f"),
    (Name.Builtin, "f"),
    (Name.Decorator, "f"),
    (Name.Tag, "k"),
    (Name.Attribute, "f"),
)


def _colour(kind: _TokenType) -> str:
    return next((colour for parent, colour in COLOURS if kind in parent), "")  # type: ignore[comparison-overlap]


def lexer_for(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


def highlight_code(code: str, lexer: Lexer | None) -> str:
    """Escaped code with spans of the classes k, s, c, n and f; without any when the language is not known."""
    if lexer is None or len(code) > LONGEST_CODE:
        return escape(code)
    pieces = []
    for kind, text in lexer.get_tokens(code):
        colour = _colour(kind)
        pieces.append(f'<span class="{colour}">{escape(text)}</span>' if colour else escape(text))
    return "".join(pieces)


def _code_block(code: str, language: str, env: EnvType) -> str:
    """Code under a mark that nh3 lets through and no model can guess; its head takes that place later."""
    heads: list[str] = env["heads"]
    block = f"{env['anchor']}-code-{len(heads) + 1}"
    lexer = lexer_for(language)
    context = {"language": lexer.name if lexer else language[:30], "target": f"#{block}"}
    heads.append(render_to_string("chat/chat.html#code-head", context))
    return (
        f'<div class="code">{env["mark"]}{len(heads) - 1};'
        f'<pre id="{block}" tabindex="0">{highlight_code(code, lexer)}</pre></div>\n'
    )


def _fence(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    words = tokens[index].info.split()
    return _code_block(tokens[index].content, words[0] if words else "", env)


def _image(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    return escape(f"![{tokens[index].content}]({tokens[index].attrGet('src')})")


def _fit_the_page(state: StateCore) -> None:
    """Headings go below those of the page; a column's alignment becomes a class: the page allows no style."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
        elif token.type in ("th_open", "td_open") and token.attrGet("style") == "text-align:right":
            token.attrSet("class", "num")


_markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
_markdown.add_render_rule("fence", _fence)
_markdown.add_render_rule("code_block", _fence)
_markdown.add_render_rule("image", _image)
_markdown.core.ruler.push("fit_the_page", _fit_the_page)


def render_plain(text: str) -> SafeString:
    """The text as it is, in one paragraph that keeps spaces and line breaks."""
    return mark_safe(f'<p class="plain">{escape(text)}</p>')


def render_markdown(text: str, *, anchor: str) -> SafeString:
    """HTML of an answer; `anchor` begins the ids in it, and is one that no other answer on the page has."""
    if len(text) > LONGEST:
        return render_plain(text)
    env: EnvType = {"heads": [], "mark": secrets.token_hex(16), "anchor": anchor}
    html = nh3.clean(
        _markdown.render(text, env),
        tags=BLOCKS | WORDS | TABLE,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener nofollow noreferrer",
    )
    for number, head in enumerate(env["heads"]):
        html = html.replace(f"{env['mark']}{number};", head, 1)
    return mark_safe(html)
