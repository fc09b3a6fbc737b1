from __future__ import annotations

from django.urls import path

from . import key_views

urlpatterns = [
    path("keys/", key_views.api_keys, name="api-keys"),
    path("keys/new/", key_views.new, name="api-key-new"),
    path("keys/<int:pk>/", key_views.api_key, name="api-key"),
    path("keys/<int:pk>/rotate/", key_views.rotate, name="api-key-rotate"),
    path("keys/<int:pk>/revoke/", key_views.revoke, name="api-key-revoke"),
    path("keys/<int:pk>/enable/", key_views.switch, {"on": True}, name="api-key-enable"),
    path("keys/<int:pk>/disable/", key_views.switch, {"on": False}, name="api-key-disable"),
]
