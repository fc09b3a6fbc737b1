from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [
    path("accounts/", views.accounts, name="providers-accounts"),
    path("accounts/add/", views.add, name="providers-add"),
    path("accounts/<int:pk>/", views.account, name="providers-account"),
    path("accounts/<int:pk>/test/", views.test, name="providers-test"),
    path("accounts/<int:pk>/webhook/", views.register_webhook, name="providers-webhook"),
    path("accounts/<int:pk>/delete/", views.delete, name="providers-delete"),
    *(path(f"accounts/<int:pk>/{to}/", views.switch, {"to": to}, name=f"providers-{to}") for to in views.SWITCHES),
]
