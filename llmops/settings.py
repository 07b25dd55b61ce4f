"""The one settings file. Everything is driven by the environment, and it runs with none set."""

import os
import secrets
import socket
from pathlib import Path

import django_stubs_ext
import environ
from django.contrib.messages import constants as messages

from accounts.kept import kept_secret

django_stubs_ext.monkeypatch()  # lets Django's generic classes be written with their type

env = environ.Env()

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1"

# ---------------------------------------------------------------- LLM Ops Center
LLMOPS_BIND = env.str("LLMOPS_BIND", default="127.0.0.1:7860")
LLMOPS_DATA = Path(env.str("LLMOPS_DATA", default=str(BASE_DIR / "var"))).resolve()
LLMOPS_DATA.mkdir(mode=0o700, parents=True, exist_ok=True)
LLMOPS_MAX_INSTANCES = env.int("LLMOPS_MAX_INSTANCES", default=5)
DEMO_DIR = BASE_DIR / "demo"
HF_CACHE = Path(
    env.str("HF_HUB_CACHE", default="")
    or Path(env.str("HF_HOME", default="") or Path.home() / ".cache" / "huggingface") / "hub"
)
LLMOPS_MODEL_ROOTS = [
    Path(root) for root in env.str("LLMOPS_MODEL_ROOTS", default="").split(os.pathsep) if root
] or [LLMOPS_DATA / "models", DEMO_DIR, HF_CACHE]

STOP_GRACE = env.float("LLMOPS_STOP_GRACE", default=30.0)  # seconds between SIGTERM and SIGKILL
RESTART_BUDGET = 5  # failures in 30 minutes; then a person must act
STARTING_STOP_GRACE = 3.0  # vLLM ignores SIGTERM in part of its start, so waiting longer is no use
START_DEADLINE = env.float("LLMOPS_START_DEADLINE", default=2 * 3600.0)  # seconds in all
STALL_DEADLINE = env.float("LLMOPS_STALL_DEADLINE", default=600.0)  # seconds without progress in a start
COMPILE_STALL_DEADLINE = env.float(
    "LLMOPS_COMPILE_STALL_DEADLINE", default=2700.0
)  # the same, while it compiles
STARTS_AT_ONCE = env.int("LLMOPS_STARTS_AT_ONCE", default=max(2, (os.cpu_count() or 1) // 4))
UNHEALTHY_PATIENCE = env.float(
    "LLMOPS_UNHEALTHY_PATIENCE", default=300.0
)  # seconds; then the restart policy decides
SAMPLE_EVERY = env.float(
    "LLMOPS_SAMPLE_EVERY", default=1.0
)  # seconds between two readings of machine and engines
HISTORY_DAYS = env.int("LLMOPS_HISTORY_DAYS", default=40)  # that hourly readings are kept
LLMOPS_LOGS_KEPT = env.int("LLMOPS_LOGS_KEPT", default=20)  # launches of each instance whose logs are kept
_first, _, _last = env.str("LLMOPS_LAUNCH_PORTS", default="8100-8999").partition("-")
LAUNCH_PORTS = range(int(_first), int(_last) + 1)  # where an automatic port is looked for

# ---------------------------------------------------------------- Django
SECRET_KEY = env.str("SECRET_KEY", default="") or kept_secret(
    LLMOPS_DATA / "secret_key", lambda: secrets.token_urlsafe(48)
)
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = [
    "localhost",
    "127.0.0.1",
    "[::1]",
    socket.gethostname().lower(),
    *env.list("LLMOPS_ALLOWED_HOSTS", default=[]),
]
CSRF_TRUSTED_ORIGINS = env.list("LLMOPS_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "daphne",
    "servestatic.runserver_nostatic",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "llmops",  # before channels: our `runworker` has the supervisor in it, theirs would only listen
    "channels",
    "corsheaders",
    "axes",
    "csp",
    "django_htmx",
    "template_partials.apps.SimpleAppConfig",
    "lucide",
    "ninja",
    "accounts",
    "monitoring",
    "instances",
    "chat",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "llmops.middleware.CompressPages",
    "csp.middleware.CSPMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.SignedInMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "llmops.urls"
ASGI_APPLICATION = "llmops.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "template_partials.loader.Loader",
                    [
                        (
                            "django.template.loaders.cached.Loader",
                            [
                                "django.template.loaders.filesystem.Loader",
                                "django.template.loaders.app_directories.Loader",
                            ],
                        )
                    ],
                )
            ],
            "builtins": ["template_partials.templatetags.partials", "lucide.templatetags.lucide"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "llmops.context.page",
                "instances.context.sidebar",
            ],
        },
    }
]

DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{LLMOPS_DATA / 'db.sqlite3'}")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["CONN_MAX_AGE"] = None  # a file: to open it anew costs more than most queries
    DATABASES["default"]["OPTIONS"] = {
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
        "transaction_mode": "IMMEDIATE",  # two writers wait for each other instead of failing half-way
        "timeout": 20,  # seconds
    }
elif DATABASES["default"]["ENGINE"].endswith("postgresql"):
    # A host that swallows every packet would hold a page, or the supervisor, for minutes.
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 3,  # seconds, as the next two
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,  # milliseconds
        **DATABASES["default"].get("OPTIONS", {}),
    }
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True  # where `?conn_max_age=` keeps connections
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", default="")
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "instances.layer.BellLayer",
        "CONFIG": {"hosts": [REDIS_URL], "capacity": 1000},
    }
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 1000}}
}

# ---------------------------------------------------------------- people
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "login"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_TEMPLATE = "accounts/locked.html"
AXES_RESET_ON_SUCCESS = True

SESSION_COOKIE_NAME = "llmops_session"
CSRF_COOKIE_NAME = "llmops_csrf"
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
HTTPS = env.bool("LLMOPS_HTTPS", default=False)  # the console stands behind a TLS proxy
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
if HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]  # asked on this machine, past the proxy
    SECURE_HSTS_SECONDS = 30 * 24 * 3600
# Subdomains and preload lists are the business of whoever owns the domain.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

CORS_ALLOWED_ORIGINS = env.list("LLMOPS_CORS_ORIGINS", default=[])
CORS_URLS_REGEX = r"^/api/.*$"

# ---------------------------------------------------------------- pages
MESSAGE_TAGS = {messages.SUCCESS: "ok", messages.WARNING: "warn"}  # the words of the look's tones
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English")]  # only what is translated as a whole is offered
TIME_ZONE = env.str("TZ", default="") or "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = LLMOPS_DATA / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"},
}
SERVESTATIC_ALLOW_ALL_ORIGINS = False


def _harden_file(headers: dict[str, str], path: str, url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"  # they do not pass `SecurityMiddleware`


SERVESTATIC_ADD_HEADERS_FUNCTION = _harden_file
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024  # bytes

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"}},
    "filters": {"one_line": {"()": "llmops.outage.OneLine"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LLMOPS_LOG_LEVEL", default="WARNING")},
    "loggers": {
        "instances": {"level": "INFO"},
        "axes": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
        "django": {"level": "ERROR"},
        "django.request": {"filters": ["one_line"]},
    },
}
