from django.urls import path, re_path

from .pages import TABS
from .views import (
    actions,
    dashboard,
    deploy,
    engines,
    flags,
    history,
    instance,
    machine,
    models,
    paste,
    revisions,
)

_tabs = "|".join(TABS[1:])

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("deploy/", deploy.deploy, name="deploy"),
    path("deploy/command/", deploy.command, name="deploy-command"),
    path("deploy/flags/", flags.found, name="deploy-flags"),
    path("deploy/flags/rows/", flags.rows, name="deploy-flag-rows"),
    path("deploy/flags/check/", flags.check, name="deploy-flag-check"),
    path("deploy/paste/", paste.paste, name="deploy-paste"),
    path("deploy/paste/fill/", paste.fill, name="deploy-paste-fill"),
    path("deploy/demo/", deploy.demo, name="deploy-demo"),
    path("models/", models.models, name="models"),
    path("models/names/", models.names, name="model-names"),
    path("models/download/", models.download, name="model-download"),
    path("models/downloads/<int:pk>/cancel/", models.cancel, name="model-download-cancel"),
    path("models/token/<slug:hub>/", models.token, name="model-token"),
    path("engines/", engines.engines, name="engines"),
    path("engines/versions/", engines.versions, name="engine-versions"),
    path("engines/installations/<int:pk>/cancel/", engines.cancel, name="engine-cancel"),
    path("engines/<str:slug>/remove/", engines.remove, name="engine-remove"),
    path("machine/", machine.machine, name="machine"),
    path("history/", history.history, name="history"),
    path("instances/<int:pk>/", instance.instance, name="instance"),
    re_path(rf"^instances/(?P<pk>[0-9]+)/(?P<tab>{_tabs})/$", instance.instance, name="instance-tab"),
    path("instances/<int:pk>/launches/<int:launch_pk>/", instance.launch, name="instance-launch"),
    path(
        "instances/<int:pk>/launches/<int:launch_pk>/log/", instance.launch_text, name="instance-launch-text"
    ),
    path("instances/<int:pk>/compare/", revisions.compare, name="instance-compare"),
    path("instances/<int:pk>/revisions/<int:number>/again/", revisions.again, name="instance-again"),
    path("instances/<int:pk>/start/", actions.start, name="instance-start"),
    path("instances/<int:pk>/stop/", actions.stop, name="instance-stop"),
    path("instances/<int:pk>/restart/", actions.restart, name="instance-restart"),
    path("instances/<int:pk>/remove/", actions.remove, name="instance-remove"),
]
