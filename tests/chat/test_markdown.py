from __future__ import annotations

import re

import pytest

from chat.markdown import LONGEST, render_markdown


def render(text: str) -> str:
    return str(render_markdown(text, anchor="message-1"))


@pytest.mark.parametrize(
    "text",
    [  # row 26, row 41: what a model may write to get out
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![picture](https://evil.example/p.png)",
        "![picture][1]\n\n[1]: https://evil.example/p.png",
        "[link](javascript:alert(1))",
        "[link](data:text/html;base64,PHNjcmlwdD4=)",
        "<javascript:alert(1)>",
        "```html\n<script>alert(1)</script>\n```",
        '```"><script>alert(1)</script>\nx\n```',
        "`<script>`",
        "    <script>alert(1)</script>",
        '[a](https://a.example "\\" onmouseover=alert(1)")',
        "<svg onload=alert(1)>",
        "| <script> |\n|---|\n| <img src=x> |",
        "<!-- --> <style>*{display:none}</style>",
    ],
)
def test_it_makes_hostile_text_inert(text: str) -> None:
    html = re.sub(r"<button.*?</button>", "", render(text), flags=re.DOTALL)  # our own copy button
    for bad in ("<script", "<img", "<style", "<svg", "<iframe", 'href="javascript', 'href="data:', '" onm'):
        assert bad not in html.lower()


def test_it_shows_a_picture_as_it_was_written() -> None:
    assert "![a cat](https://x.example/cat.png)" in render("Look: ![a cat](https://x.example/cat.png)")


def test_it_renders_what_models_write() -> None:
    html = render("# Title\n\n**bold** and `code`\n\n1. one\n2. two\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n")
    assert "<h3>Title</h3>" in html
    assert "<strong>bold</strong>" in html
    assert "<ol>" in html
    assert '<td class="num">2</td>' in html
    assert "style=" not in html


def test_it_marks_links_as_foreign() -> None:
    assert 'rel="noopener nofollow noreferrer"' in render("[x](https://x.example)")


def test_it_colours_code_and_gives_it_a_copy_button() -> None:
    html = render("```python\ndef f(x):\n    return 'a'\n```\n\n```nosuchlanguage\n<b>\n```\n")
    assert '<span class="k">def</span>' in html
    assert 'data-copy="#message-1-code-1"' in html
    assert '<div class="code-head">Python<' in html
    assert 'id="message-1-code-1"' in html
    assert 'id="message-1-code-2"' in html
    assert "&lt;b&gt;" in html


def test_it_keeps_an_unfinished_code_block_as_code() -> None:
    assert "<pre" in render("```python\nprint(1)")


def test_it_shows_a_very_long_answer_as_plain_text() -> None:  # row 26: a 1 MB answer
    html = render("# x <b>\n" * (LONGEST // 4))
    assert html.startswith('<p class="plain"># x &lt;b&gt;')
