from __future__ import annotations

from django.urls import path

from . import control, views

urlpatterns = [
    path("control/account/", control.account, name="sandbox-account"),
    path("control/inbound/", control.inbound, name="sandbox-inbound"),
    path("control/messages/", control.messages, name="sandbox-messages"),
    path("<slug:kind>", views.wire),
    path("<slug:kind>/<path:rest>", views.wire, name="sandbox-wire"),
    path("<slug:kind>/", views.wire),
]
