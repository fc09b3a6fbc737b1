"""Settings. Everything an operator may set comes from the environment; docs/deploy.md lists it."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import dj_database_url
from csp.constants import NONE, SELF
from environs import Env

from providers.types import Rate
from smsdash import keys, logs

BASE_DIR = Path(__file__).resolve().parent.parent
env = Env()

DATA_DIR = Path(env.str("SMSDASH_DATA_DIR", str(BASE_DIR / "var"))).resolve()
DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)

HOST = env.str("HOST", "127.0.0.1")
PORT = env.int("PORT", 8000)
DEBUG = env.bool("SMSDASH_DEBUG", False)

SECRET_KEY = env.str("SMSDASH_SECRET_KEY", "") or keys.stored(DATA_DIR / "secret-key", keys.new_secret)
# Credentials are encrypted with the first of these; all can read. Lost keys cannot be had back.
FIELD_KEYS = env.list("SMSDASH_FIELD_KEYS", []) or [keys.stored(DATA_DIR / "field-key", keys.new_field_key)]

SMSDASH_DEMO = env.bool("SMSDASH_DEMO", True)
SMSDASH_WORKERS = env.int("SMSDASH_WORKERS", 3)
SMSDASH_WEB = env.bool("SMSDASH_WEB", True)
SMSDASH_DEFAULT_REGION = env.str("SMSDASH_DEFAULT_REGION", "").upper() or None
SMSDASH_KEEP_EXCHANGES = env.int("SMSDASH_KEEP_EXCHANGES", 30)  # days; 0: for ever
# Campaigns to lists: seconds until the first message leaves; recipients above which a second person must approve (0:
# never); failures in a row after which a campaign pauses itself (0: never).
SMSDASH_UNDO_SECONDS = env.int("SMSDASH_UNDO_SECONDS", 30)
SMSDASH_APPROVAL_ABOVE = env.int("SMSDASH_APPROVAL_ABOVE", 0)
SMSDASH_STOP_AFTER_FAILURES = env.int("SMSDASH_STOP_AFTER_FAILURES", 50)
SMSDASH_SILENT_AFTER = env.int("SMSDASH_SILENT_AFTER", 30)  # minutes unseen after which a phone is shown as silent
SMSDASH_MMS_MAX_BYTES = env.int("SMSDASH_MMS_MAX_BYTES", 5_000_000)  # of an attachment
# What people are answered to STOP, START and HELP (contacts/optout.py); empty: nothing.
SMSDASH_STOP_TEXT = env.str("SMSDASH_STOP_TEXT", "You are opted out and get no more messages. Reply START to get them.")
SMSDASH_START_TEXT = env.str("SMSDASH_START_TEXT", "You get our messages again. Reply STOP to opt out.")
SMSDASH_HELP_TEXT = env.str("SMSDASH_HELP_TEXT", "Reply STOP to opt out, START to get messages again.")
SMSDASH_API_RATE = Rate.parse(env.str("SMSDASH_API_RATE", "600/second"))  # of each API key that has no limit of its own
SMSDASH_PROXIES = env.int("SMSDASH_PROXIES", 0)  # of ours in front of the web process, each adds to X-Forwarded-For
SMSDASH_METRICS = env.list("SMSDASH_METRICS", [])  # addresses and networks that may read /metrics; none: it is off
# Where providers reach this installation, for callbacks.
SMSDASH_PUBLIC_URL = env.str("SMSDASH_PUBLIC_URL", f"http://{HOST}:{PORT}").rstrip("/")

# This machine may always ask: the start waits for /healthz.
ALLOWED_HOSTS = [*env.list("SMSDASH_ALLOWED_HOSTS", ["*"]), "127.0.0.1", "localhost"]
CSRF_TRUSTED_ORIGINS = env.list("SMSDASH_TRUSTED_ORIGINS", [])
HTTPS = env.bool("SMSDASH_HTTPS", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"

INSTALLED_APPS = [
    "smsdash",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "csp",
    "django_htmx",
    "django_q",
    "ninja",
    "lucide",
    "template_partials",
    "providers",
    "contacts",
    "devices",
    "messaging",
    "api",
    "sandbox",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "smsdash.middleware.straight_to_programs",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "smsdash.middleware.files_of_importers_alone",
    "smsdash.middleware.local_times",
    "smsdash.middleware.no_login_in_fragments",
]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

ROOT_URLCONF = "smsdash.urls"
WSGI_APPLICATION = "smsdash.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "smsdash.navigation.context",
            ]
        },
    }
]

# --- Database: SQLite beside the data, or DATABASE_URL. No pool: it breaks when the workers fork. ---------

DATABASES = {
    "default": dj_database_url.parse(
        env.str("DATABASE_URL", "") or f"sqlite:///{DATA_DIR / 'smsdash.sqlite3'}",
        conn_max_age=300,
        conn_health_checks=True,
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        # FULL: after a power cut a lost 'sending' mark would be a second message.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16000;",
    }
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "smsdash_cache"}}

# --- Background work. A task is only a wake-up; the rows are the truth (messaging/tasks.py). --------------
# The broker's lock runs from the fetch of a task, so retry > timeout * (1 + ceil((queue_limit + bulk) / workers)).

Q_CLUSTER = {
    "name": "smsdash",
    "orm": "default",
    "broker_class": "smsdash.broker.Broker",
    "label": "Queue",
    "workers": max(1, SMSDASH_WORKERS),
    "queue_limit": max(1, SMSDASH_WORKERS),
    "bulk": 1,
    "timeout": 60,
    "retry": 300,
    "max_attempts": 1,
    "ack_failures": True,
    "catch_up": False,
    "save_limit": -1,
    "recycle": 500,
    "max_rss": 400_000,
    "poll": 0.1,
    "guard_cycle": 1,
    "cache": "default",
    "scheduler": False,  # our own supervisor keeps the time
    "log_level": "WARNING",
}

# --- People ------------------------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "login"
ACCOUNT_ADAPTER = "smsdash.login.ClosedAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_REDIRECT_URL = "login"

# --- Words, times, files -----------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
USE_I18N = True
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_TZ = True
TIME_ZONE = env.str("TZ", "UTC").removeprefix(":") or "UTC"

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG or "pytest" in sys.modules
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 12 * 1024 * 1024  # a pasted list of half a million numbers

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"}},
    "filters": {
        "not_503": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: getattr(record, "status_code", 0) != 503,
        },
        "without_tokens": {"()": "django.utils.log.CallbackFilter", "callback": logs.without_tokens},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        name: {"level": env.str("SMSDASH_LOG_LEVEL", "INFO")}
        for name in ("smsdash", "providers", "contacts", "devices", "messaging", "api", "sandbox")
    }
    | {
        "django-q": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        # a caller's mistake, and 'not ready yet', are no news for the log
        "django.request": {"level": "ERROR", "filters": ["not_503", "without_tokens"]},
    },
}

# Which worker cluster a process belongs to; the supervisor names it (smsdash/supervisor.py).
CLUSTER_ID = os.environ.get("SMSDASH_CLUSTER_ID", f"{socket.gethostname()}:{os.getpid()}")
