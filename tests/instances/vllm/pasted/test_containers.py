"""docker run, compose files, manifests, Dockerfiles and systemd units."""

from __future__ import annotations

import pytest

from .made import args, body, found, left, notes

DOCKER = (
    "docker run --gpus all --rm -it -p 9000:8000 -v /srv/models:/models:ro {} vllm/vllm-openai:v0.18.1 {}"
)
COMPOSE = """services:
  db:
    image: postgres
    command: ["postgres", "-c", "x=y"]
  vllm:
    image: vllm/vllm-openai
    restart: unless-stopped
    ports: ["9000:8000"]
    volumes:
      - /srv/models:/models
    environment:
      VLLM_LOGGING_LEVEL: DEBUG
    healthcheck:
      test: ["CMD", "curl", "-f", "http://localhost:8000/health"]
    deploy:
      resources:
        reservations:
          devices:
            - driver: nvidia
              device_ids: ["2", "3"]
              capabilities: [gpu]
"""
COMMANDS = {
    "one text": "    command: --model /models/x --port 8000 -tp 2 --seed 3\n",
    "folded": "    command: >\n      --model /models/x\n      -tp 2\n      --seed 3\n",
    "with backslashes": "    command: |\n      --model /models/x \\\n      -tp 2 \\\n      --seed 3\n",
    "JSON": '    command: ["--model", "/models/x", "--port", "8001", "-tp", "2", "--seed", "3"]\n',
    "list": "    command:\n      - --model=/models/x\n      - --tensor-parallel-size=2\n      - --seed\n      - '3'\n",
    "shell": '    entrypoint: ["/bin/bash", "-c"]\n    command:\n      - |\n'
    "        vllm serve /models/x \\\n          -tp 2 --seed 3\n",
}


def test_docker_options_are_docker_s_and_the_rest_is_the_engines() -> None:
    text = DOCKER.format("-e VLLM_LOGGING_LEVEL=DEBUG --ipc=host", "--model /models/llama -tp=1 --seed 3")
    assert body(text) == {
        "model": "/srv/models/llama",
        "tensor_parallel_size": 1,
        "args": {"seed": 3},
        "env": {"VLLM_LOGGING_LEVEL": "DEBUG"},
    }
    assert "--rm -it --ipc=host | Options of docker itself" in left(found(text))
    assert "The model /models/llama of the container is /srv/models/llama on the host." in notes(text)
    assert "People used port 9000." in notes(text)


@pytest.mark.parametrize(
    "option",
    ["'\"device=1,3\"'", '"device=1,3"', "device=1,3", "'device=1,3'", '\\"device=1,3\\"'],
)
def test_gpus_of_docker_are_read_in_every_quoting(option: str) -> None:
    text = f"docker run --gpus {option} vllm/vllm-openai --model a/b -tp 2"
    assert body(text)["gpus"] == ["1", "3"]


def test_gpus_inside_a_container_count_its_own() -> None:
    text = "docker run --gpus device=1,3 -e CUDA_VISIBLE_DEVICES=1 vllm/vllm-openai --model a/b"
    assert body(text)["gpus"] == ["3"]


def test_a_mount_whose_place_is_not_known_asks_for_the_path() -> None:
    text = "docker run -v $HOME/models:/models vllm/vllm-openai --model /models/x"
    assert "model" not in body(text)
    assert "$HOME/models/x. Enter the folder's full path." in notes(text)


@pytest.mark.parametrize("runner", ["docker", "podman", "sudo docker", "nerdctl"])
def test_every_runner_is_read(runner: str) -> None:
    assert body(f"{runner} run --rm vllm/vllm-openai --model a/b --seed 3") == {
        "model": "a/b",
        "args": {"seed": 3},
    }


def test_an_entrypoint_and_a_shell_in_an_image_are_read() -> None:
    module = "--entrypoint python3 my/image -m vllm.entrypoints.openai.api_server --model a/b --seed 3"
    assert args(f"docker run {module}") == {"seed": 3}
    assert args("docker run my/image bash -c 'pip install x && vllm serve a/b --seed 3'") == {"seed": 3}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_compose_file_is_read_however_its_command_is_written(command: str) -> None:
    assert body(COMPOSE.replace("    healthcheck", f"{command}    healthcheck")) == {
        "model": "/srv/models/x",
        "tensor_parallel_size": 2,
        "gpus": ["2", "3"],
        "args": {"seed": 3},
        "env": {"VLLM_LOGGING_LEVEL": "DEBUG"},
        "restart_policy": "on-failure",
    }


def test_a_service_alone_and_a_broken_file_are_read_too() -> None:
    assert args("  vllm:\n    image: vllm/vllm-openai\n    command: --model a/b --seed 3") == {"seed": 3}
    broken = "services:\n  v:\n  image: x\n    command:\n      - --model\n      - a/b\n\t  - --seed=3"
    assert body(broken) == {"model": "a/b", "args": {"seed": 3}}
    assert "The YAML around the command could not be read" in notes(broken)


def test_a_manifest_of_kubernetes_is_read_with_its_folders() -> None:
    text = (
        "spec:\n  volumes:\n  - name: m\n    hostPath:\n      path: /srv/m\n  containers:\n  - name: v\n"
        '    image: vllm/vllm-openai\n    command: ["/bin/sh", "-c"]\n    args: ["vllm serve /models/x --seed 3"]\n'
        "    env:\n    - name: HF_TOKEN\n      valueFrom:\n        secretKeyRef:\n          name: s\n"
        "    volumeMounts:\n    - name: m\n      mountPath: /models\n"
        '    resources:\n      limits:\n        nvidia.com/gpu: "2"\n'
    )
    assert body(text) == {"model": "/srv/m/x", "args": {"seed": 3}}
    told = left(found(text))
    assert "HF_TOKEN | The value of HF_TOKEN comes from elsewhere" in told
    assert "nvidia.com/gpu: 2 | It asks for a number of GPUs." in told


def test_vllm_s_own_file_of_flags_is_read() -> None:
    text = "model: a/b\nmax-model-len: 8192\nenforce_eager: true\n"
    assert body(text) == {"model": "a/b", "max_model_len": 8192, "args": {"enforce-eager": True}}


@pytest.mark.parametrize(
    "text",
    [
        'CMD ["vllm", "serve", "a/b", "--seed", "3"]',
        'FROM vllm/vllm-openai\nRUN pip install x\nCMD ["a/b", "--seed", "3"]',
        'ENTRYPOINT ["vllm", "serve"]\nCMD ["a/b", "--seed", "3"]',
        "CMD vllm serve a/b --seed 3",
        '"vllm", "serve", "a/b", "--seed", "3"',
    ],
)
def test_a_dockerfile_is_read(text: str) -> None:
    assert body(text) == {"model": "a/b", "args": {"seed": 3}}


def test_a_unit_is_read_with_its_folder_and_environment() -> None:
    text = (
        "[Unit]\nDescription=vLLM\n[Service]\nUser=svc\nWorkingDirectory=/srv\n"
        'Environment="VLLM_LOGGING_LEVEL=DEBUG" CUDA_VISIBLE_DEVICES=0\n'
        "ExecStartPre=/bin/sleep 5\nExecStart=/bin/bash -lc 'exec vllm serve ./m --seed 3'\nRestart=no\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )
    assert body(text) == {
        "model": "/srv/m",
        "gpus": ["0"],
        "args": {"seed": 3},
        "env": {"VLLM_LOGGING_LEVEL": "DEBUG"},
        "restart_policy": "never",
    }
    assert "ExecStartPre=/bin/sleep 5 | Another command." in left(found(text))


def test_a_container_in_a_unit_is_read() -> None:
    text = "[Service]\nExecStart=/usr/bin/docker run --rm -v /srv/m:/m vllm/vllm-openai --model /m/x"
    assert body(text) == {"model": "/srv/m/x"}
