"""The official `openai` client against a console as it is served, with the fake engine behind it."""

from __future__ import annotations

import openai
import pytest

from tests.console import Console


@pytest.fixture
def client(console: Console) -> openai.OpenAI:
    """Of a console on which `tiny` runs."""
    console.start()
    console.make_administrator()
    body = {"name": "tiny", "model": "owner/name", "env": {"FAKE_VLLM_TOKEN_DELAY": "0.01"}}
    console.reaches(console.api("POST", "/api/models/deploy", json=body).json()["id"], "running")
    return openai.OpenAI(base_url=f"{console.url}/v1", api_key=console.key, max_retries=0)


def test_the_openai_client_works_unchanged(client: openai.OpenAI, console: Console) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]

    question: list[openai.types.chat.ChatCompletionMessageParam] = [
        {"role": "user", "content": "What is the capital of Japan?"}
    ]
    answer = client.chat.completions.create(model="tiny", messages=question)
    assert "Tokyo" in (answer.choices[0].message.content or "")
    assert answer.usage is not None and answer.usage.completion_tokens > 0

    words = []
    for chunk in client.chat.completions.create(model="tiny", messages=question, stream=True):
        if chunk.choices and chunk.choices[0].delta.content:
            words.append(chunk.choices[0].delta.content)
    assert len(words) >= 3 and "Tokyo" in "".join(words)

    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-4", messages=question)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="llmops-wrong").models.list()

    instance_id = console.api("GET", "/api/models/list").json()[0]["id"]
    console.api("POST", f"/api/models/{instance_id}/stop")
    console.reaches(instance_id, "stopped")
    with pytest.raises(openai.InternalServerError) as stopped:
        client.chat.completions.create(model="tiny", messages=question)
    assert stopped.value.status_code == 503
    assert int(stopped.value.response.headers["retry-after"]) > 0
