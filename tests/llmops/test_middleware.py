import gzip

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from llmops.middleware import CompressPages


@pytest.mark.django_db
def test_a_page_travels_compressed() -> None:
    answer = Client().get("/accounts/login/", headers={"Accept-Encoding": "gzip"}, follow=True)
    assert answer["Content-Encoding"] == "gzip"
    assert b"</html>" in gzip.decompress(answer.content)
    assert "Accept-Encoding" in answer["Vary"]


def test_a_stream_is_not_held_back_to_be_compressed() -> None:
    request = RequestFactory().get("/", headers={"Accept-Encoding": "gzip"})
    pieces = StreamingHttpResponse(["data: a\n\n"] * 500, content_type="text/event-stream")
    compress = CompressPages(lambda _: pieces)
    assert "Content-Encoding" not in compress.process_response(request, pieces)
    whole = compress.process_response(request, HttpResponse("data: a\n\n" * 500))
    assert whole["Content-Encoding"] == "gzip"
