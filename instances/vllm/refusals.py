"""What a person may not give to an engine: tables with the reasons. `flags.py` reads the spellings."""

OURS = "ours alone: "
CODE = "loads code: "
FILES = "opens files: "
ELSEWHERE = "talks to other machines: "

# The flags behind fields of their own, which are checked there (paths, permission, room in memory).
FIELDS = {
    "model": "model",
    "model-tag": "model",
    "dtype": "dtype",
    "max-model-len": "max_model_len",
    "gpu-memory-utilization": "gpu_memory_utilization",
    "device-memory-utilization": "gpu_memory_utilization",
    "tensor-parallel-size": "tensor_parallel_size",
    "quantization": "quantization",
    "trust-remote-code": "trust_remote_code",
    "device-ids": "gpus",
}

REFUSED: dict[str, str] = {
    # What the console sets itself
    "host": OURS + "engines listen on 127.0.0.1 only",
    "port": OURS + "use the field port",
    "grpc": OURS + "engines listen on one port",
    "grpc-port": OURS + "engines listen on one port",
    "uds": OURS + "engines listen on a port",
    "api-key": OURS + "each launch has its own key",
    "ssl-keyfile": OURS + "engines listen on 127.0.0.1 only, without TLS",
    "ssl-certfile": OURS + "engines listen on 127.0.0.1 only, without TLS",
    "ssl-ca-certs": OURS + "engines listen on 127.0.0.1 only, without TLS",
    "ssl-cert-reqs": OURS + "engines listen on 127.0.0.1 only, without TLS",
    "ssl-ciphers": OURS + "engines listen on 127.0.0.1 only, without TLS",
    "enable-ssl-refresh": OURS + "engines listen on 127.0.0.1 only, without TLS",
    "root-path": OURS + "clients come through the console's address",
    "allowed-origins": OURS + "browsers come through the console's address",
    "served-model-name": OURS + "use the field served_name",
    "download-dir": OURS + "models are kept in the model folders",
    "hf-token": OURS + "a token would stand in the process list; start the console with HF_TOKEN set",
    # What runs somebody's code
    "middleware": CODE + "it imports a Python object by name",
    "tool-parser-plugin": CODE + "it imports a Python file",
    "reasoning-parser-plugin": CODE + "it imports a Python file",
    "io-processor-plugin": CODE + "it imports a plug-in",
    "logits-processors": CODE + "it imports a Python class by name",
    "worker-cls": CODE + "it imports a Python class by name",
    "worker-extension-cls": CODE + "it imports a Python class by name",
    "scheduler-cls": CODE + "it imports a Python class by name",
    "model-class-overrides": CODE + "it imports a Python class by name",
    "model-loader-extra-config": CODE + "it reaches into the loader of the weights",
    "kv-transfer-config": CODE + "it imports a connector, and talks to other machines",
    "ec-transfer-config": CODE + "it imports a connector, and talks to other machines",
    "ec-manager-config": CODE + "it imports a Python class by name",
    "weight-transfer-config": CODE + "it lets others replace the weights",
    "additional-config": CODE + "it is handed to plug-ins unchecked",
    "log-config-file": CODE + "a logging configuration names Python classes",
    "logging-config": CODE + "a logging configuration names Python classes",
    # What reads or writes files
    "config": FILES + "it brings further flags from a file; give them here",
    "allowed-local-media-path": FILES + "requests could then read this machine's files",
    "profiler-config": FILES + "profiles are written wherever it says",
    "mm-encoder-fp8-scale-save-path": FILES + "it writes wherever it says",
    # What reaches other machines, or makes this one reachable
    "tool-server": ELSEWHERE + "tools would run there",
    "kv-events-config": ELSEWHERE + "it publishes events on a socket",
    "otlp-traces-endpoint": ELSEWHERE + "it sends traces",
    "master-addr": ELSEWHERE + "an engine stays on this host",
    "master-port": ELSEWHERE + "an engine stays on this host",
    "nnodes": ELSEWHERE + "an engine stays on this host",
    "node-rank": ELSEWHERE + "an engine stays on this host",
    "headless": ELSEWHERE + "it serves no requests here",
    "ray-workers-use-nsight": ELSEWHERE + "Ray is not used here",
    "worker-use-ray": ELSEWHERE + "Ray is not used here",
    "engine-use-ray": ELSEWHERE + "Ray is not used here",
    "data-parallel-address": ELSEWHERE + "an engine stays on this host",
    "data-parallel-rpc-port": ELSEWHERE + "an engine stays on this host",
    "data-parallel-backend": ELSEWHERE + "Ray is not used here",
    "data-parallel-start-rank": ELSEWHERE + "an engine stays on this host",
    "data-parallel-supervisor-port": ELSEWHERE + "engines listen on one port",
    "data-parallel-multi-port-external-lb": ELSEWHERE + "engines listen on one port",
    "data-parallel-external-lb": ELSEWHERE + "an engine stays on this host",
    "data-parallel-hybrid-lb": ELSEWHERE + "an engine stays on this host",
}

# Whole names of harmless flags that a refused name begins with.
WHOLE = {"data-parallel-rank", "data-parallel-size", "data-parallel-size-local", "reasoning-parser"}

SHORT = {
    "asc": "api-server-count", "ac": "attention-config", "cc": "compilation-config", "dc": "diffusion-config",
    "dcp": "decode-context-parallel-size", "dp": "data-parallel-size", "dpa": "data-parallel-address",
    "dpb": "data-parallel-backend", "dpe": "data-parallel-external-lb", "dph": "data-parallel-hybrid-lb",
    "dpl": "data-parallel-size-local", "dpm": "data-parallel-multi-port-external-lb",
    "dpn": "data-parallel-rank", "dpp": "data-parallel-rpc-port", "dpr": "data-parallel-start-rank",
    "ep": "enable-expert-parallel",
    "n": "nnodes", "O": "optimization-level", "pcp": "prefill-context-parallel-size",
    "pp": "pipeline-parallel-size", "q": "quantization", "r": "node-rank", "sc": "speculative-config",
    "tp": "tensor-parallel-size",
}  # fmt: skip

EXECUTORS = ("mp", "uni")  # another value is Ray, or the name of a Python class

# Keys inside JSON values that import Python objects by name, or write files.
NESTED: dict[str, dict[str, str]] = {
    "compilation-config": {
        "inductor_passes": CODE + "it imports Python functions by name",
        "debug_dump_path": FILES + "it writes wherever it says",
        "cache_dir": FILES + "it writes wherever it says",
    },
    "structured-outputs-config": {"reasoning_parser_plugin": CODE + "it imports a Python file"},
    "speculative-config": {},  # judged by its values
}
PROPOSER = CODE + "a dotted name without a slash imports a Python class"
COMPILERS = ("", "inductor", "eager")  # another compilation backend is the name of a Python object

# hf-overrides changes any key of the model's configuration; people need these, with plain values.
OVERRIDES = ("rope_scaling", "rope_parameters", "rope_theta", "max_position_embeddings")

# Environment names, compared in capitals. A star at the end stands for any ending.
REFUSED_ENVIRONMENT: dict[str, str] = {
    "LD_*": CODE + "it changes which libraries every program loads",
    "PYTHON*": CODE + "it changes which modules Python imports",
    "PATH": CODE + "it changes which programs are found",
    "BASH_ENV": CODE + "shells run it",
    "ENV": CODE + "shells run it",
    "GCONV_PATH": CODE + "the C library loads modules from it",
    "GLIBC_TUNABLES": CODE + "it changes the C library",
    "CC": CODE + "it names a program to run",
    "CXX": CODE + "it names a program to run",
    "CUDA_HOME": CODE + "programs are run from it",
    "CUDA_PATH": CODE + "programs are run from it",
    "CUDA_INJECTION64_PATH": CODE + "CUDA loads that library",
    "TRITON_*_PATH": CODE + "programs and libraries are loaded from it",
    "NCCL_*_PLUGIN": CODE + "NCCL loads that library",
    "OPENSSL_CONF": CODE + "OpenSSL loads modules that it names",
    "OPENSSL_MODULES": CODE + "OpenSSL loads modules from it",
    "HF_MODULES_CACHE": CODE + "Python imports from it",
    "VLLM_PLUGINS": CODE + "it chooses plug-ins to load",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": CODE + "messages may then carry Python code",
    "VLLM_NCCL_SO_PATH": CODE + "vLLM loads that library",
    "VLLM_CUDART_SO_PATH": CODE + "vLLM loads that library",
    "VLLM_CUDA_COMPATIBILITY_PATH": CODE + "libraries are loaded from it",
    "VLLM_RUST_FRONTEND_PATH": CODE + "vLLM runs that program",
    "VLLM_LOGGING_CONFIG_PATH": CODE + "a logging configuration names Python classes",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": FILES + "requests could then load files of this machine",
    "VLLM_SERVER_DEV_MODE": OURS + "it opens calls that end or change the engine",
    "VLLM_MODEL_REDIRECT_PATH": FILES + "it puts another model in the place of the chosen one",
    "VLLM_DEBUG_DUMP_PATH": FILES + "it writes wherever it says",
    "VLLM_TRACE_FUNCTION": FILES + "it writes every call to a file",
    "SSLKEYLOGFILE": FILES + "it writes the keys of encrypted connections",
    "VLLM_USAGE_STATS_SERVER": ELSEWHERE + "usage is not reported",
    "VLLM_HOST_IP": ELSEWHERE + "an engine stays on this host",
    "VLLM_DP_*": ELSEWHERE + "an engine stays on this host",
    "RAY_*": ELSEWHERE + "Ray is not used here",
    "VLLM_API_KEY": OURS + "each launch has its own key",
    "VLLM_PORT": OURS + "use the field port",
    "VLLM_CACHE_ROOT": OURS + "caches are kept in the data folder",
    "VLLM_CONFIG_ROOT": OURS + "caches are kept in the data folder",
    "VLLM_NO_USAGE_STATS": OURS + "usage is not reported",
    "VLLM_DO_NOT_TRACK": OURS + "usage is not reported",
    "CUDA_VISIBLE_DEVICES": OURS + "use the field gpus",
    "NVIDIA_VISIBLE_DEVICES": OURS + "use the field gpus",
    "HF_ENDPOINT": OURS + "the token of the console would be sent there",
    "HF_TOKEN*": OURS + "a token would stand in the history; give HF_TOKEN to the console",
    "HUGGING_FACE_HUB_TOKEN": OURS + "a token would stand in the history; give HF_TOKEN to the console",
    "MODELSCOPE_*": OURS + "the token of the console would be sent there; it is kept under Models",
    "HF_HOME": OURS + "models are kept in the model folders",
    "HF_HUB_CACHE": OURS + "models are kept in the model folders",
    "HUGGINGFACE_HUB_CACHE": OURS + "models are kept in the model folders",
    "TRANSFORMERS_CACHE": OURS + "models are kept in the model folders",
    "XDG_*": OURS + "it comes from the console's own environment",
    "HOME": OURS + "it comes from the console's own environment",
    "TMPDIR": OURS + "it comes from the console's own environment",
    "HTTP_PROXY": OURS + "it comes from the console's own environment",
    "HTTPS_PROXY": OURS + "it comes from the console's own environment",
    "ALL_PROXY": OURS + "it comes from the console's own environment",
    "NO_PROXY": OURS + "it comes from the console's own environment",
    "SSL_CERT_*": OURS + "it comes from the console's own environment",
    "REQUESTS_CA_BUNDLE": OURS + "it comes from the console's own environment",
    "CURL_CA_BUNDLE": OURS + "it comes from the console's own environment",
    "SECRET_KEY": OURS + "it belongs to the console",
    "DATABASE_URL": OURS + "it belongs to the console",
    "REDIS_URL": OURS + "it belongs to the console",
    "LLMOPS_*": OURS + "it belongs to the console",
    "DJANGO_*": OURS + "it belongs to the console",
}
