from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [
    path("compose/", views.compose, name="messaging-compose"),
    path("compose/check/", views.check, name="messaging-check"),
    path("messages/", views.log, name="messaging-log"),
    path("messages/cancel/", views.cancel, name="messaging-cancel"),
    path("messages/resolve/", views.resolve, name="messaging-resolve"),
    path("messages/<int:pk>/", views.message, name="messaging-message"),
]
