"""The console's settings, on a data folder that goes away, without the cost of passwords and manifests."""

import atexit
import os
import shutil
import tempfile

_folder = tempfile.mkdtemp(prefix="llmops-tests-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
for name in [name for name in os.environ if name.startswith("LLMOPS_")]:
    if name not in ("LLMOPS_ENGINES", "LLMOPS_VLLM"):
        del os.environ[name]
os.environ["LLMOPS_DATA"] = _folder
for name in ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT"):  # nobody is there: no test asks a hub of the world
    os.environ[name] = "http://127.0.0.1:1"

from llmops.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
AXES_ENABLED = False
