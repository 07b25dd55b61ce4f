"""Whatever is sent to the JSON API within its own description, and much outside of it, is answered, never by a 500."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, settings
from ninja.responses import NinjaJSONEncoder

from accounts.models import User
from accounts.services import create_api_key
from instances.models import Job, JobKind
from instances.states import State
from llmops.api import api
from tests.fakes.fake_hub import FakeHub
from tests.instances.made import in_state

EXAMPLES = 15  # for each operation


def _described() -> Any:
    """The description as it is served, without the request that would need somebody signed in."""
    document = json.loads(json.dumps(api.get_openapi_schema(), cls=NinjaJSONEncoder))
    return schemathesis.openapi.from_dict(document)


schema = _described()
schema.app = get_wsgi_application()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The only hub that is asked."""
    with FakeHub() as fake:
        fake.add("Qwen/Qwen3-8B", {"config.json": b"{}"})
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", fake.url)
        yield fake


@pytest.fixture
def key(mia: User, hub: FakeHub, settings: Any, tmp_path: Path) -> str:
    settings.ALLOWED_HOSTS = ["*"]
    settings.LLMOPS_MAX_INSTANCES = 10**6
    settings.LLMOPS_DATA = settings.HF_CACHE = tmp_path
    return create_api_key(owner=mia)[1]


@pytest.fixture
def there(mia: User) -> dict[str, int]:
    """What the numbers in addresses may lead to."""
    job = Job.objects.create(kind=JobKind.MODEL, subject="Qwen/Qwen3-8B")
    return {"instance_id": in_state(mia, State.STOPPED).pk, "job_id": job.pk, "number": 1}


@pytest.mark.django_db
@schema.parametrize()  # type: ignore[untyped-decorator]
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_it(case: Any, key: str, there: dict[str, int]) -> None:
    for name, value in there.items():
        if isinstance(case.path_parameters.get(name), int):
            case.path_parameters[name] = value
    answer = case.call(headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code < 500 or answer.status_code in (502, 503), answer.text
