"""What a supervisor sees of engines and the machine that nobody asked for, without processes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from instances import services
from instances.launchers.base import HOST_RESTARTED, Observation, Ref
from instances.models import Instance, Launch
from instances.states import State
from instances.supervisor import ports
from instances.supervisor.adoption import take_up
from instances.vllm import engines
from monitoring.engine_metrics import EngineReading
from monitoring.gpu import GpuProcess, GpuReading, GpuReadings
from monitoring.processes import Usage
from monitoring.sampler import Readings, TargetReading

from .conftest import Host

GIB = 2**30
MAIN, CORE = 2**22 + 1, 2**22 + 2  # pids that no process can have
QUIET = Usage(cpu_percent=0.5, memory=GIB, processes=2, pids=(MAIN, CORE), io_bytes=0)
IDLE = EngineReading(0, 0, 0.0, 1.0, 1.0, None, None, None)


def readings(
    host: Host, usage: Usage | None = QUIET, engine: EngineReading | None = None, **gpu: Any
) -> None:
    """A new reading, in which the newest launch uses so much; and a step."""
    launch = Launch.objects.latest("pk")
    gpus = [GpuReading(0, "GPU-0", "H100", memory_total=80 * GIB, **gpu)] if gpu else []
    now = dt.datetime.now(dt.UTC)
    targets = {f"launch:{launch.pk}": TargetReading(usage, engine)}
    host.reconciler.readings = Readings(None, GpuReadings(gpus, "", now), targets, now)
    host.step()


@pytest.fixture
def cuda(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    engine = engines.Engine(Path("/opt/vllm/bin/vllm"), "0.33.0", "cuda")
    monkeypatch.setattr(engines, "find", lambda *_: engine)


# ------------------------------------------------------------ starts


def test_a_start_without_progress_is_given_up_with_its_phase(host: Host) -> None:
    # row 11: stalls; it has said a line a minute all the while
    host.deploy()
    launch = host.step(2)
    host.launcher.say(launch.pk, "INFO 11-25 03:54:48 [core.py:1] Starting to load model x...\n")
    readings(host)
    for minute in range(11):
        host.now += 60
        host.launcher.say(launch.pk, f"INFO 11-25 04:{minute:02}:00 [core.py:2] Waiting.\n")
        readings(host)
    launch = host.step(3)
    assert launch.state == State.ERROR and launch.code == "stalled"
    assert "no progress" in launch.error and "weights" in launch.error


def test_a_compile_may_be_silent_for_longer(host: Host, settings: Any) -> None:
    host.deploy()
    launch = host.step(2)
    host.launcher.say(
        launch.pk, "INFO 11-25 03:54:48 [backends.py:1] Dynamo bytecode transform time: 6.07 s\n"
    )
    readings(host)
    host.now += settings.COMPILE_STALL_DEADLINE - 1
    readings(host)
    assert host.step(3).state == State.STARTING
    host.now += 2
    assert host.step(3).state == State.ERROR


def test_a_start_that_computes_without_a_line_goes_on(host: Host) -> None:
    host.deploy()
    host.step(2)
    for _ in range(30):
        host.now += 60
        readings(host, Usage(100.0, GIB, 2, (MAIN, CORE), 0))
    assert host.step().state == State.STARTING


def test_a_second_start_on_the_same_gpu_waits_and_says_for_whom(host: Host, cuda: None) -> None:
    # row 21: one per GPU at a time
    half = {"gpu_memory_utilization": 0.4}
    host.deploy("a", config=half)
    host.deploy("b", config=half)
    host.deploy("c", config=half | {"gpus": [1]})
    host.step(3)
    states = {one.instance.name: one for one in Launch.objects.select_related("instance")}
    assert [states[name].state for name in "abc"] == [State.STARTING, State.INITIALIZING, State.STARTING]
    assert states["b"].note.startswith("Waits until a has started") and states["b"].gpus == [0]
    host.reconciler.watched[states["a"].pk].answer = _well()
    host.step(2)
    waiting = Launch.objects.get(instance__name="b")
    assert (waiting.state, waiting.note) == (State.STARTING, "")


def _well() -> Any:
    from instances.supervisor.readiness import Answer

    return Answer(True)


def test_a_gpu_that_is_claimed_as_a_whole_is_refused_with_the_claims(host: Host, cuda: None) -> None:
    host.deploy("a")
    host.step(2)
    host.reconciler.watched[Launch.objects.get().pk].answer = _well()
    host.step()
    host.deploy("b")
    launch = host.step(2)
    assert launch.state == State.ERROR and launch.error == "GPU 0 is claimed by a (90%); 90% more do not fit."
    services.stop_instance(actor=host.actor, instance=Instance.objects.get(name="a"))
    services.start_instance(actor=host.actor, instance=Instance.objects.get(name="b"))
    host.step(3)
    assert Launch.objects.filter(instance__name="b").latest("pk").state == State.STARTING


def test_who_leaves_a_gpu_is_waited_for(host: Host, cuda: None) -> None:
    host.deploy("a")
    host.step(2)
    first = host.answers(True)
    host.launcher.stubborn.add(first.pk)
    services.stop_instance(actor=host.actor, instance=first.instance)
    host.deploy("b")
    launch = host.step(2)
    assert launch.state == State.INITIALIZING and "Waits until a has ended" in launch.note
    host.launcher.end(first.pk)
    assert host.step(2).state == State.STARTING


def test_an_engine_that_shares_its_port_is_never_running(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    # row 10: a stale engine shares it
    host.deploy()
    host.step(2)
    monkeypatch.setattr(ports, "strangers", lambda port, main: [2**22 + 1])
    host.answers(True)
    launch = host.step(2)
    assert launch.state == State.ERROR and launch.ready_at is None
    assert f"Port {launch.port} is shared with process {2**22 + 1}" in launch.error


# ------------------------------------------------------------ running


def test_work_that_waits_while_nothing_moves_is_unhealthy_though_it_answers(host: Host) -> None:
    host.running()
    busy = EngineReading(1, 2, 0.0, 1.0, 1.0, None, None, None)
    readings(host, engine=busy)
    host.now += 61
    readings(host, engine=busy)
    launch = host.answers(True)
    assert launch.state == State.UNHEALTHY and "no progress: 3 requests wait for 61 s" in launch.error
    readings(host, engine=EngineReading(1, 2, 0.0, 1.0, 2.0, None, None, None))
    assert host.answers(True).state == State.RUNNING


def test_a_suspended_process_is_unhealthy_though_main_answers(host: Host) -> None:
    # row 20: the inner process is frozen
    host.running()
    frozen = Usage(0.0, GIB, 2, (MAIN, CORE), 0, suspended=True)
    for _ in range(3):
        readings(host, frozen, IDLE)
    launch = host.answers(True)
    assert launch.state == State.UNHEALTHY and "suspended" in launch.error
    readings(host, QUIET, IDLE)
    assert host.answers(True).state == State.RUNNING


def test_an_unhealthy_engine_that_dies_by_itself_is_told_by_its_log(host: Host) -> None:
    launch = host.running()
    for _ in range(3):
        host.answers(False, "/health does not answer")
    host.launcher.say(launch.pk, "OSError: [Errno 28] No space left on device\n")
    host.launcher.end(launch.pk, code=1)
    launch = host.step()
    assert launch.state == State.ERROR and "disk" in launch.error and launch.evidence_at is not None


def test_what_a_running_engine_complains_of_stays_with_the_launch(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    from instances.vllm.notices import NoticeReader

    def feed(self: NoticeReader, text: str) -> bool:
        self.notices.append({"code": "no-chat-template", "text": text, "advice": "", "evidence": ""})
        return True

    launch = host.running()
    monkeypatch.setattr(NoticeReader, "feed", feed)
    host.launcher.say(launch.pk, "WARNING: no chat template\n")
    assert [one["code"] for one in host.step().notices] == ["no-chat-template"]
    monkeypatch.undo()
    host.begin_again()
    assert [one["code"] for one in host.step(2).notices] == ["no-chat-template"]


# ------------------------------------------------------------ ends


def test_after_a_restart_of_the_host_it_starts_at_once_whatever_the_policy(host: Host) -> None:
    # row 21
    first = host.running(restart_policy="never")
    host.launcher.lose(first.pk, HOST_RESTARTED)
    assert host.step().state == State.LOST
    second = host.step(2)
    first.refresh_from_db()
    assert (first.state, first.error) == (State.ERROR, "The host was restarted.")
    assert second.pk != first.pk and (second.state, second.attempt) == (State.STARTING, 0)


def test_a_restart_of_the_host_is_no_failure_of_the_engine(host: Host) -> None:
    for _ in range(6):
        host.now += 1
        launch = host.running() if not Launch.objects.exists() else host.answers(True)
        host.launcher.lose(launch.pk, HOST_RESTARTED)
        host.step(4)
    host.launcher.end(Launch.objects.latest("pk").pk, code=1)
    host.step(2)
    restart = Instance.objects.get().restart
    assert restart is not None and restart["attempt"] == 1


def test_a_stop_is_not_proved_while_a_process_holds_its_gpu_memory(host: Host, cuda: None) -> None:
    launch = host.running()
    held = (GpuProcess(CORE, 3 * GIB), GpuProcess(9, GIB))
    readings(host, QUIET, IDLE, processes=held)
    services.stop_instance(actor=host.actor, instance=launch.instance)
    assert host.step(3).state == State.STOPPING
    host.now += 1
    readings(host, None, None, processes=held)
    host.now += 11
    launch = host.step()
    assert (
        launch.state == State.ERROR and launch.error == f"3.0 GiB of GPU 0 are still held by process {CORE}."
    )


def test_gpu_memory_that_comes_back_proves_it(host: Host, cuda: None) -> None:
    launch = host.running()
    readings(host, QUIET, IDLE, processes=(GpuProcess(CORE, 3 * GIB), GpuProcess(9, GIB)))
    services.stop_instance(actor=host.actor, instance=launch.instance)
    assert host.step(3).state == State.STOPPING
    host.now += 1
    readings(host, None, None, processes=(GpuProcess(9, GIB),))
    assert host.step().state == State.STOPPED


def test_without_a_new_reading_of_the_gpus_an_end_is_not_called_unproved(host: Host, cuda: None) -> None:
    launch = host.running()
    readings(host, QUIET, IDLE, processes=(GpuProcess(CORE, 3 * GIB),))
    services.stop_instance(actor=host.actor, instance=launch.instance)
    assert host.step(3).state == State.STOPPING
    host.now += 11
    assert host.step().state == State.STOPPED


def test_an_end_that_people_had_asked_for_is_a_stop_though_the_engine_was_faster(host: Host) -> None:
    launch = host.running()
    services.stop_instance(actor=host.actor, instance=launch.instance)
    host.launcher.end(launch.pk, code=1)
    launch = host.step(2)
    assert (launch.state, launch.stopped_by, launch.exit_code) == (State.STOPPED, host.actor, 1)


def test_launches_are_at_home_though_the_machine_got_another_name(host: Host) -> None:
    launch = host.running()
    Launch.objects.filter(pk=launch.pk).update(host="an-earlier-name")
    host.begin_again()
    assert take_up(host.launcher) == [launch.pk]
    host.step()
    assert host.answers(True).state == State.RUNNING and host.reconciler.live[0].pk == launch.pk


def test_a_folder_of_another_databases_launch_is_left_alone(host: Host, settings: Any) -> None:
    used = max([0, *Launch.objects.values_list("pk", flat=True)]) + 1
    for number in range(used, used + 50):
        (settings.LLMOPS_DATA / "launches" / str(number)).mkdir(parents=True)
    host.deploy()
    launch = host.step(2)
    assert launch.state == State.STARTING and Launch.objects.count() == 1
    assert not any((settings.LLMOPS_DATA / "launches" / str(used)).iterdir())


def test_a_launch_that_is_in_reach_again_goes_on(host: Host) -> None:
    launch = host.running()
    Launch.objects.filter(pk=launch.pk).update(state=State.LOST, error="The host was out of reach.")
    launch = host.step()
    assert (launch.state, launch.error) == (State.RUNNING, "")


def test_a_stop_of_one_that_was_given_up_is_a_stop(host: Host, settings: Any) -> None:
    settings.START_DEADLINE = 60
    host.deploy()
    launch = host.step(2)
    host.launcher.stubborn.add(launch.pk)
    host.now += 61
    assert host.step(2).state == State.STOPPING
    services.stop_instance(actor=host.actor, instance=launch.instance)
    services.stop_instance(actor=host.actor, instance=launch.instance)
    launch = host.step(3)
    assert (launch.state, launch.error, launch.code) == (State.STOPPED, "", "")


def test_a_host_that_cannot_take_it_is_tried_again(host: Host) -> None:
    # row 22: out of file descriptors or processes
    host.launcher.refusal = "This host could not take launch 1: Too many open files."
    host.deploy()
    launch = host.step()
    assert launch.state == State.ERROR and "Too many open files" in launch.error
    restart = Instance.objects.get().restart
    assert restart is not None and restart["attempt"] == 1
    host.launcher.refusal = ""
    host.step()
    host.now += 13
    assert host.step(2).state == State.STARTING


def test_a_broken_record_of_one_launch_leaves_the_others_supervised(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.deploy("broken")
    broken = host.step(2)
    observe = host.launcher.observe

    def fails_for_one(ref: Ref) -> Observation:
        if ref.launch_id == broken.pk:
            raise ValueError("exit.json is no JSON")
        return observe(ref)

    monkeypatch.setattr(host.launcher, "observe", fails_for_one)
    host.deploy("other")
    other = host.step(2)
    assert other.pk != broken.pk and host.answers(True).state == State.RUNNING
