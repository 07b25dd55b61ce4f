from django.contrib import admin
from django.urls import include, path

from . import health
from .api import api

handler500 = "llmops.outage.server_error"

urlpatterns = [
    path("", include("instances.urls")),
    path("", include("chat.urls")),
    path("", include("accounts.urls")),
    path("api/", api.urls),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
]
