from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [
    path("compose/", views.compose, name="messaging-compose"),
    path("messages/", views.log, name="messaging-log"),
    path("messages/<int:pk>/", views.message, name="messaging-message"),
]
