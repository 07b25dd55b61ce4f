"""Code that runs as it stands, but for the key: how a program uses a model here."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from django.utils.safestring import SafeString, mark_safe

from .markdown import highlight_code, lexer_for

KEY = "llmops-…"
LANGUAGES = {"python": "Python", "curl": "curl", "javascript": "JavaScript"}
FILES = {"python": "chat.py", "curl": "Terminal", "javascript": "chat.mjs"}
LEXERS = {"python": "python", "curl": "bash", "javascript": "javascript"}


@dataclass(frozen=True)
class Snippet:
    file: str
    code: str
    html: SafeString


def _python(address: str, model: str) -> str:
    return f"""from openai import OpenAI

client = OpenAI(
    base_url={json.dumps(address)},
    api_key="{KEY}",
)
answer = client.chat.completions.create(
    model={json.dumps(model)},
    messages=[{{"role": "user", "content": "Hello"}}],
)
print(answer.choices[0].message.content)"""


def _curl(address: str, model: str) -> str:
    request = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    return f"""curl {shlex.quote(address + "/chat/completions")} \\
  -H "Authorization: Bearer {KEY}" \\
  -H "Content-Type: application/json" \\
  -d {shlex.quote(json.dumps(request))}"""


def _javascript(address: str, model: str) -> str:
    return f"""import OpenAI from "openai";

const client = new OpenAI({{
  baseURL: {json.dumps(address)},
  apiKey: "{KEY}",
}});
const answer = await client.chat.completions.create({{
  model: {json.dumps(model)},
  messages: [{{ role: "user", content: "Hello" }}],
}});
console.log(answer.choices[0].message.content);"""


MAKERS = {"python": _python, "curl": _curl, "javascript": _javascript}


def snippet(language: str, *, address: str, model: str) -> Snippet:
    """`language` is a key of LANGUAGES; without a model a stand-in is named."""
    code = MAKERS[language](address, model or "MODEL")
    return Snippet(FILES[language], code, mark_safe(highlight_code(code, lexer_for(LEXERS[language]))))
