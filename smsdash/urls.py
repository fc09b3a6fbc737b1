from __future__ import annotations

from allauth.account.decorators import secure_admin_login
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path

from messaging.callbacks import callback

from . import health, metrics, views
from .login import Login, Password

admin.site.login = secure_admin_login(admin.site.login)  # one door: the one with the rate limits

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    path("login/", Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("login/", Login.as_view(), name="account_login"),  # as allauth calls it; its other pages are not here
    path("login/password/", Password.as_view(), name="password"),
    path("admin/", admin.site.urls),
    path("callbacks/<str:token>/", callback, name="callbacks"),
    path("v1/", include("api.v1.urls")),
    path("", include("api.urls")),
    path("", views.overview, name="overview"),
    path("", include("messaging.urls")),
    path("", include("contacts.urls")),
    path("", include("devices.urls")),
    path("", include("providers.urls")),
    path("", include("api.page_urls")),
    path("", include("api.webhook_urls")),
]
if settings.SMSDASH_DEMO:
    urlpatterns.append(path("sandbox/", include("sandbox.urls")))
