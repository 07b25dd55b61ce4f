"""Whatever is sent to the JSON API within its own description, and much outside of it, is answered, never by a 500."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, settings

from accounts.models import User
from accounts.services import create_api_key
from instances.states import State
from llmops.api import api as ninja_api
from tests.instances.made import in_state

application = get_wsgi_application()


def _described() -> Any:
    """The description as it is served, without the request that would need somebody signed in."""
    import json

    from ninja.responses import NinjaJSONEncoder

    document = json.loads(json.dumps(ninja_api.get_openapi_schema(), cls=NinjaJSONEncoder))
    return schemathesis.openapi.from_dict(document)


schema = _described()
schema.app = application


@pytest.fixture
def key(mia: User, settings: Any) -> str:
    settings.ALLOWED_HOSTS = ["*"]
    in_state(mia, State.STOPPED)  # instance 1, so that paths lead somewhere
    return create_api_key(owner=mia)[1]


@pytest.mark.django_db
@schema.parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_it(case: Any, key: str) -> None:
    answer = case.call(headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code < 500 or answer.status_code in (502, 503), answer.text
