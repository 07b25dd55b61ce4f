"""Where a Prometheus finds the engines: they listen on loopback only, so their pages are relayed by us."""

from __future__ import annotations

from typing import Any

from .models import Launch
from .states import SERVING


def targets(host: str, scheme: str) -> list[dict[str, Any]]:
    """In the format of Prometheus' HTTP service discovery, `host` being us as the caller has reached us. One query.

    https://prometheus.io/docs/prometheus/latest/http_sd/
    """
    launches = Launch.objects.live().filter(state__in=SERVING).select_related("instance")
    return [
        {
            "targets": [host],
            "labels": {
                "__scheme__": scheme,
                "__metrics_path__": f"/api/models/{one.instance_id}/metrics",
                "instance": one.instance.name,
                "served_name": one.served_name,
                "host": one.host,
            },
        }
        for one in launches.order_by("instance__name")
        if one.instance.removed_at is None
    ]
