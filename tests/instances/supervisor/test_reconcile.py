"""One step at a time, on a host without processes."""

from __future__ import annotations

import datetime as dt
import signal
import socket
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Event
from instances import services
from instances.models import Instance, Launch
from instances.states import LIVE, State

from .conftest import Host


def test_a_deploy_becomes_a_launch_with_a_port_and_a_key_of_its_own(host: Host) -> None:
    host.deploy("a")
    host.deploy("b")
    host.step()
    first, second = Launch.objects.order_by("pk")
    assert first.state == second.state == State.STARTING
    assert first.port != second.port and first.engine_key != second.engine_key
    assert [spec.launch_id for spec in host.launcher.started] == [first.pk, second.pk]
    argv = host.launcher.started[0].argv
    assert argv[:3] == ("/opt/vllm/bin/vllm", "serve", "Qwen/Qwen3-8B") and str(first.port) in argv
    assert first.engine_key not in argv and host.launcher.started[0].env["VLLM_API_KEY"] == first.engine_key


def test_it_runs_only_when_the_engine_itself_has_answered(host: Host) -> None:
    host.deploy()
    assert host.step(3).state == State.STARTING
    assert host.answers(False, "/health does not answer").state == State.STARTING
    launch = host.answers(True)
    assert launch.state == State.RUNNING and launch.ready_at is not None and launch.pid


def test_the_phase_is_read_from_the_log(host: Host) -> None:
    host.deploy()
    launch = host.step()
    host.launcher.say(launch.pk, "INFO 11-25 03:54:48 [x.py:1] Starting to load model Qwen/Qwen3-8B...\n")
    host.launcher.say(
        launch.pk, "Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:01<00:01, 1.0s/it]\n"
    )
    launch = host.step()
    assert (launch.phase, launch.progress) == ("weights", [1, 2])


def test_a_stop_is_stopped_only_when_the_tree_is_gone(host: Host) -> None:
    launch = host.running()
    host.launcher.stubborn.add(launch.pk)
    services.stop_instance(actor=host.actor, instance=launch.instance)
    launch = host.step(3)
    assert launch.state == State.STOPPING and launch.stopped_by == host.actor
    host.launcher.end(launch.pk)
    launch = host.step()
    assert (launch.state, launch.exit_code, launch.error) == (State.STOPPED, 0, "")


def test_a_stop_is_not_proved_while_somebody_holds_the_port(host: Host) -> None:
    launch = host.running()
    services.stop_instance(actor=host.actor, instance=launch.instance)
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", launch.port))
        holder.listen()
        assert host.step(3).state == State.STOPPING
        host.now += 11
        launch = host.step()
    assert launch.state == State.ERROR and f"port {launch.port} is still held by" in launch.error


# row 14: a second Stop forces at once
def test_a_second_stop_kills(host: Host) -> None:
    launch = host.running()
    host.launcher.stubborn.add(launch.pk)
    services.stop_instance(actor=host.actor, instance=launch.instance)
    assert host.step(2).state == State.STOPPING
    services.stop_instance(actor=host.actor, instance=launch.instance)
    launch = host.step(2)
    assert (launch.state, launch.exit_code) == (State.STOPPED, -signal.SIGKILL)


def test_a_stop_before_anything_was_started_ends_it(host: Host) -> None:
    instance = host.deploy()
    launch = Launch.objects.create(
        instance=instance, revision=instance.newest_revision, host=socket.gethostname(), port=8100
    )
    services.stop_instance(actor=host.actor, instance=instance)
    launch = host.step(2)
    assert launch.state == State.STOPPED and not host.launcher.started


# row 6: nobody asked it to stop
def test_an_end_that_nobody_asked_for_is_an_error_even_with_code_0(host: Host) -> None:
    launch = host.running()
    host.launcher.end(launch.pk, code=0)
    launch = host.step()
    assert (launch.state, launch.exit_code) == (State.ERROR, 0) and launch.error


# row 12: a crash loop
def test_a_crash_is_tried_again_after_its_delay_until_the_budget_is_spent(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    monkeypatch.setattr(host.launcher, "_now", lambda: now)
    launch = host.running()
    for attempt in range(1, 6):
        host.launcher.end(launch.pk, code=1)
        launch = host.step(3)
        instance = Instance.objects.get()
        assert launch.state == State.ERROR and instance.restart is not None
        assert (instance.restart["attempt"], instance.restart["of"]) == (attempt, 5)
        seconds = 400 if attempt < 3 else 210
        now += dt.timedelta(seconds=seconds)
        host.now += seconds
        launch = host.step(2)
        assert (launch.state, launch.attempt, launch.asked_by) == (State.STARTING, attempt, None)
    host.launcher.end(launch.pk, code=1)
    launch = host.step(3)
    assert launch.state == State.ERROR and Instance.objects.get().restart is None
    services.start_instance(actor=host.actor, instance=Instance.objects.get())
    assert host.step(2).state == State.STARTING


def test_stop_ends_the_waiting_for_a_restart(host: Host) -> None:
    launch = host.running()
    host.launcher.end(launch.pk, code=1)
    host.step()
    services.stop_instance(actor=host.actor, instance=launch.instance)
    assert Instance.objects.get().restart is None
    assert host.step(2).pk == launch.pk


def test_the_policy_never_leaves_it_as_it_is(host: Host) -> None:
    launch = host.running(restart_policy="never")
    host.launcher.end(launch.pk, code=1)
    host.step()
    assert Instance.objects.get().restart is None


# row 13: no use in trying again
def test_what_is_final_is_not_tried_again_and_says_what_to_change(host: Host) -> None:
    host.deploy()
    launch = host.step()
    host.launcher.say(launch.pk, "vllm serve: error: unrecognized arguments: --no-such-flag\n")
    host.launcher.end(launch.pk, code=2)
    launch = host.step()
    assert launch.state == State.ERROR and Instance.objects.get().restart is None
    assert "--no-such-flag" in launch.error + launch.evidence and launch.advice


def test_a_program_that_cannot_be_run_is_final(host: Host) -> None:
    host.launcher.missing.add("/opt/vllm/bin/vllm")
    host.deploy()
    launch = host.step(2)
    assert launch.state == State.ERROR and "/opt/vllm/bin/vllm does not exist" in launch.error


# row 10: a stranger listens on the port
def test_a_port_in_use_is_named_with_its_holder(host: Host) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        host.deploy(config={"port": port})
        launch = host.step()
    assert launch.state == State.ERROR and not host.launcher.started
    assert f"Port {port} is in use by" in launch.error and "process" in launch.error


def test_a_port_reserved_by_another_instance_is_refused_by_name(host: Host) -> None:
    host.deploy("a", config={"port": 8555})
    host.deploy("b", config={"port": 8555})
    launch = host.step()
    assert launch.state == State.ERROR and launch.error == "Port 8555 is reserved by instance a."


# row 38: swapped between save and start
def test_a_model_path_is_judged_again_at_the_start(host: Host, tmp_path: Any, settings: Any) -> None:
    settings.LLMOPS_MODEL_ROOTS = [tmp_path / "models"]
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m").symlink_to("/etc")
    host.deploy(config={"model": str(tmp_path / "models" / "m")})
    launch = host.step()
    assert launch.state == State.ERROR and "outside the folders for models" in launch.error


def test_three_missed_checks_are_unhealthy_and_an_answer_mends_it(host: Host) -> None:
    host.running()
    assert host.answers(False, "does not answer").state == State.RUNNING
    assert host.answers(False, "does not answer").state == State.RUNNING
    launch = host.answers(False, "/health does not answer")
    assert launch.state == State.UNHEALTHY and "/health does not answer" in launch.error
    launch = host.answers(True)
    assert (launch.state, launch.error) == (State.RUNNING, "")


@pytest.mark.parametrize(("policy", "ends"), [("on-failure", True), ("never", False)])
def test_after_five_minutes_of_unhealthy_the_policy_decides(host: Host, policy: str, ends: bool) -> None:
    host.running(restart_policy=policy)
    for _ in range(3):
        host.answers(False, "does not answer")
    host.now += 301
    host.answers(False, "does not answer")
    launch = host.step(2)
    assert launch.state == (State.ERROR if ends else State.UNHEALTHY)
    assert ("unhealthy for 5 minutes" in launch.error) == ends


# row 11: outlives its deadline
def test_a_start_beyond_its_deadline_is_given_up(host: Host, settings: Any) -> None:
    settings.START_DEADLINE = 120
    host.deploy()
    host.step(2)
    host.now += 121
    launch = host.step(3)
    assert launch.state == State.ERROR and "within the 2 minutes" in launch.error


# row 7: nobody looks after it any more
def test_a_lost_launch_is_an_error_that_says_why(host: Host) -> None:
    launch = host.running()
    host.launcher.lose(launch.pk, "its shim was killed")
    launch = host.step()
    assert launch.state == State.LOST and "its shim was killed" in launch.error
    launch = host.step()
    assert launch.state == State.ERROR and "its shim was killed" in launch.error
    instance = Instance.objects.get()
    assert instance.restart is not None and instance.restart["attempt"] == 1


# row 3: the supervisor dies while STOPPING; row 2: between spawn and commit
def test_a_new_supervisor_goes_on_where_the_old_one_was_cut_off(host: Host) -> None:
    launch = host.running()
    host.launcher.stubborn.add(launch.pk)
    services.stop_instance(actor=host.actor, instance=launch.instance)
    host.step()
    host.begin_again()
    host.launcher.stubborn.clear()
    assert host.step(2).state == State.STOPPED


def test_a_start_while_stopping_waits_for_the_end_and_is_a_new_launch(host: Host) -> None:
    first = host.running()
    host.launcher.stubborn.add(first.pk)
    services.stop_instance(actor=host.actor, instance=first.instance)
    host.step()
    services.start_instance(actor=host.actor, instance=first.instance)
    assert host.step(2).pk == first.pk
    host.launcher.end(first.pk)
    second = host.step(2)
    assert second.pk != first.pk and second.state == State.STARTING
    assert Launch.objects.filter(state__in=LIVE).count() == 1


def test_removing_stops_first_and_hides_then(host: Host) -> None:
    launch = host.running()
    services.remove_instance(actor=host.actor, instance=launch.instance)
    host.step(2)
    assert not Instance.objects.visible().exists()
    assert Launch.objects.get().state == State.STOPPED


def test_without_an_engine_the_launch_says_what_is_missing(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    from instances.vllm import engines

    monkeypatch.setattr(
        engines, "find", lambda *_: engines.Missing("No engine is installed yet.", "Run ./start.sh.")
    )
    host.deploy()
    launch = host.step()
    assert (launch.error, launch.advice) == ("No engine is installed yet.", "Run ./start.sh.")


def test_history_says_who_asked_and_what_happened(host: Host) -> None:
    launch = host.running()
    assert launch.asked_by == host.actor
    assert list(Event.objects.values_list("verb", flat=True)) == ["saw ready", "deployed"]


def test_a_step_tells_which_instances_changed(host: Host) -> None:
    instance = host.deploy()
    assert host.reconciler.step() == {instance.pk}
    host.reconciler.step()
    assert host.reconciler.step() == set()


def test_the_phases_of_a_start_stay_as_they_were_when_it_was_ready(host: Host) -> None:
    host.deploy()
    launch = host.step()
    host.launcher.say(launch.pk, "INFO 11-25 03:54:48 [x.py:1] Starting to load model Qwen/Qwen3-8B...\n")
    host.step()
    ready = host.answers(True).phases
    assert ready["seen"]
    host.launcher.say(launch.pk, "INFO 11-25 03:59:48 [x.py:1] Capturing CUDA graphs\n")
    services.stop_instance(actor=host.actor, instance=launch.instance)
    assert host.step(2).state == State.STOPPED
    assert Launch.objects.get().phases == ready


def test_what_lives_after_a_step_is_at_hand_for_the_probes(host: Host) -> None:
    launch = host.running()
    assert [one.pk for one in host.reconciler.live] == [launch.pk]
    host.launcher.end(launch.pk, code=1)
    host.step()
    assert host.reconciler.live == []
