import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path

import pynvml
import pytest

from monitoring.gpu import GpuReadings
from monitoring.sampler import Readings

FAKES = Path(__file__).parent.parent / "fakes"


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake NVML, under the name by which pynvml looks for the real one."""
    library = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    source = FAKES / "nvml.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return library


@pytest.fixture
def fake_nvml(nvml_library: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """pynvml on the fake library; call it to turn knobs: `fake_nvml(INIT=18)`, without FAKE_NVML_."""
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(nvml_library)))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})

    def turn(**knobs: object) -> None:
        for name, value in knobs.items():
            monkeypatch.setenv(f"FAKE_NVML_{name}", str(value))

    return turn


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without NVIDIA's library, whatever this one has."""

    def refuse(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setattr(pynvml, "CDLL", refuse)


def as_heard(gpus: GpuReadings) -> GpuReadings | None:
    """What another process makes of them."""
    return Readings.from_text(Readings(None, gpus, {}, gpus.at).to_text()).gpus
