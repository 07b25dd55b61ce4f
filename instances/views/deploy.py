from __future__ import annotations

import json
import re
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import User
from instances import fit_refusal, fitting, mending, offers, pages, services
from instances.catalog.origins import name_of
from instances.configuration import Configuration, body_of, body_of_revision, clean_configuration
from instances.fit_card import Fit
from instances.forms import DeployForm, initial_of
from instances.models import TINY_DEMO, Instance, Launch, Preset
from instances.offers import gpu_boxes
from instances.query import number_in
from instances.vllm import engines

from .commands import command_of
from .instance import visible_instance

WORD = str | int | float | None
TAKEN: dict[str, Any] = {
    **dict.fromkeys(
        ("max_model_len", "gpu_memory_utilization", "tensor_parallel_size", "quantization"), WORD
    ),
    **{"gpus": str | None, "args": dict},
}
PARTS = {"deploy-fields": "picked", "deploy-presets": "presets"}  # of the page, by what htmx replaces


@require_http_methods(["GET", "POST"])
def deploy(request: HttpRequest) -> HttpResponse:
    """The form: new, from a preset, as a copy, or the change of an instance (`?from=`)."""
    instance = _edited(request)
    if request.method == "POST" and "take" in request.POST:
        return _taken(request, instance)
    if request.method == "POST":
        form = DeployForm(request.POST, user=_user(request), instance=instance)
        saved = _save(form, instance, force="force" in request.POST) if form.is_valid() else None
        return _go(request, saved) if saved else _page(request, form, status=422)
    advised = _advised(request, instance)
    change = (advised.change or {}) if advised else {}
    form = DeployForm(initial=_initial(request, instance, change), user=_user(request), instance=instance)
    form.mark(change)
    part = PARTS.get(request.headers.get("HX-Target", ""))
    if part:
        return render(request, f"instances/deploy.html#{part}", _facts(request, form))
    return _page(request, form, mended=_mended(advised))


@require_POST
def command(request: HttpRequest) -> HttpResponse:
    """The command that these settings would run, redrawn while they are typed."""
    return render(request, "instances/deploy.html#answers", answers_of(typed_form(request)))


@require_POST
def demo(request: HttpRequest) -> HttpResponse:
    """Deploy the demo model under a name that is free."""
    name = Instance.objects.free_name(TINY_DEMO)
    wanted = clean_configuration({"name": name, "preset": TINY_DEMO}, user=_user(request))
    form = DeployForm(request.POST, user=_user(request))
    try:
        instance = _deploy(_user(request), wanted, form["submission"].data or None)
    except services.Refused as refused:
        messages.error(request, str(refused))
        return redirect("dashboard")
    return redirect("instance", instance.pk)


def typed_form(request: HttpRequest, **changed: Any) -> DeployForm:
    """The form as far as it was typed, with some of its fields changed."""
    data: Any = request.POST
    if changed:
        data = request.POST.dict() | changed
        data["gpus"] = ", ".join(request.POST.getlist("gpus"))
    return DeployForm(data, user=_user(request), instance=_edited(request))


def filled(request: HttpRequest, body: dict[str, Any], told: str) -> HttpResponse:
    """The page with a body that came from elsewhere, and a word about it: to be looked at, nothing is saved."""
    return _page(request, DeployForm(initial=initial_of(body), user=_user(request)), mended=told)


def answers_of(form: DeployForm) -> dict[str, Any]:
    """What stands beside the form: the command that it would run, and whether that fits."""
    draft = form.draft()
    return {"command": _command(draft), "fit": _fit(draft, form.instance)}


def _taken(request: HttpRequest, instance: Instance | None) -> HttpResponse:
    """What was typed, with the advised change laid over it: to be looked at, nothing is saved."""
    change = _change_of(request.POST["take"])
    typed = DeployForm(request.POST, user=_user(request), instance=instance)
    typed.is_valid()
    body = mending.mended(typed.body() | {"args": typed.given_flags}, change)
    form = DeployForm(initial=initial_of(body), user=_user(request), instance=instance)
    form.mark(change)
    if request.headers.get("HX-Target") == "deploy-fields":
        return render(request, "instances/deploy.html#picked", _facts(request, form))
    return _page(request, form)


def _change_of(text: str) -> dict[str, Any]:
    """Keys of a deploy's body that a page may have offered; all else is left out."""
    try:
        told = json.loads(text)
        json.dumps(told, ensure_ascii=False).encode()  # what cannot be written cannot be shown
    except (ValueError, RecursionError):
        return {}
    if not isinstance(told, dict):
        return {}
    return {key: told[key] for key, kind in TAKEN.items() if key in told and isinstance(told[key], kind)}


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _edited(request: HttpRequest) -> Instance | None:
    """Raises Http404 when the instance to be changed is not there."""
    pk = number_in(request.GET.get("from") or request.POST.get("from"))
    return visible_instance(pk) if pk else None


def _advised(request: HttpRequest, instance: Instance | None) -> Launch | None:
    """The failed launch whose advice is to be taken (`?mend=`), if it is this instance's and has one."""
    pk = number_in(request.GET.get("mend"))
    if instance is None or not pk:
        return None
    launch = instance.launches.filter(pk=pk).first()
    return launch if launch and launch.change else None


def _mended(launch: Launch | None) -> str:
    if launch is None:
        return ""
    words = {"done": mending.done(launch.change or {}), "number": pages.number_of(launch)}
    return _("%(done)s, as launch %(number)s's failure advises.") % words


def _initial(request: HttpRequest, instance: Instance | None, change: dict[str, Any]) -> dict[str, Any]:
    copied, slug = number_in(request.GET.get("copy")), request.GET.get("preset", "")
    if instance is not None:
        return initial_of(mending.mended(body_of(instance), change))
    if copied:
        source = visible_instance(copied)
        older = source.revisions.filter(number=number_in(request.GET.get("revision"))).first()
        body = body_of_revision(older) if older else body_of(source)
        name = re.sub(r"-\d+$", "", body["name"])
        return initial_of({**body, "name": Instance.objects.free_name(name), "port": None, "served_name": ""})
    if model := request.GET.get("model", "")[:500]:
        return initial_of({"model": model, "name": Instance.objects.free_name(name_of(model))})
    offered = Preset.objects.offered()
    preset = offered.filter(slug=slug).first() or offered.filter(slug=TINY_DEMO).first() or offered.first()
    if preset is None:
        return {}
    return initial_of(preset.configuration) | {"name": _name(request, preset), "preset": preset.slug}


def _name(request: HttpRequest, preset: Preset) -> str:
    """The name that was typed, unless it was only the one suggested for another preset."""
    typed = request.GET.get("name", "")
    suggested = typed in Preset.objects.values_list("slug", flat=True) or re.sub(r"-\d+$", "", typed) in (
        Preset.objects.values_list("slug", flat=True)
    )
    return typed if typed and not suggested else Instance.objects.free_name(preset.slug)


def _save(form: DeployForm, instance: Instance | None, force: bool) -> Instance | None:
    """None when it was refused; the form then says why."""
    wanted = form.configuration()
    unfit = fit_refusal.refusals(wanted, user=form.user, force=force, leaving=_leaving(instance))
    if unfit:
        form.refuse(unfit)
        return None
    try:
        if instance is not None:
            save = services.deploy_again if wanted.start else services.revise_instance
            save(
                actor=form.user,
                instance=instance,
                config=wanted.config,
                served_name=wanted.served_name,
                restart_policy=wanted.restart_policy,
            )
            return instance
        return _deploy(form.user, wanted, form.cleaned_data["submission"])
    except services.NameTaken as taken:
        form.add_error("name", str(taken))
    except services.Refused as refused:
        form.add_error(None, str(refused))
    return None


def _deploy(user: User, wanted: Configuration, submission: Any) -> Instance:
    return services.deploy_instance(
        actor=user,
        name=wanted.name,
        served_name=wanted.served_name,
        config=wanted.config,
        restart_policy=wanted.restart_policy,
        start=wanted.start,
        submission=submission,
    )


def _go(request: HttpRequest, instance: Instance) -> HttpResponse:
    address = reverse("instance", args=[instance.pk])
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": address})
    return redirect(address)


def _page(request: HttpRequest, form: DeployForm, status: int = 200, mended: str = "") -> HttpResponse:
    """The whole page, or for htmx the form alone."""
    part = "#form" if request.headers.get("HX-Request") else ""
    facts = {**_facts(request, form), "mended": mended}
    return render(request, f"instances/deploy.html{part}", facts, status=status)


def _facts(request: HttpRequest, form: DeployForm) -> dict[str, Any]:
    engine = engines.find()
    presets = list(Preset.objects.offered())
    if form.is_bound:
        picked, draft = form.data.get("preset", ""), form.draft()
    else:
        picked = (
            "" if form.instance or request.GET.keys() & {"copy", "model"} else form.initial.get("preset", "")
        )
        filled = {name: form[name].value() for name in form.fields} | {"restart": "on"}
        draft = DeployForm(filled, user=form.user, instance=form.instance).draft()
    preset = next((one for one in presets if one.slug == picked), None)
    fit = _fit(draft, form.instance)
    room = fit.room if fit else None
    size = request.GET.get("size", "")
    wanted = int(size) if size in map(str, offers.SIZES) else None
    if wanted is None:
        wanted = offers.size_of(preset) if preset else offers.size_of_machine(room)
    return {
        "form": form,
        "instance": form.instance,
        "offers": offers.offers_of(presets, wanted),
        "picked": picked,
        "preset": preset,
        "command": _command(draft),
        "fit": fit,
        "gpu_places": gpu_boxes(room, str(form["gpus"].value() or "")),
        "may_force": form.is_unfit and form.user.has_perm(fit_refusal.PERMISSION),
        "missing": engine if isinstance(engine, engines.Missing) else None,
        "engine": engine,
        "live": pages.Page().query,
    }


def _command(wanted: Configuration | None) -> str:
    return command_of(wanted.config, wanted.served_name, wanted.name) if wanted else ""


def _fit(wanted: Configuration | None, instance: Instance | None) -> Fit | None:
    return (
        fitting.fit_of(wanted.config, ask=fitting.ask_hub(), leaving=_leaving(instance)) if wanted else None
    )


def _leaving(instance: Instance | None) -> Instance | None:
    """What the changed instance holds now is given back first."""
    return instance if instance is not None and instance.is_live else None
