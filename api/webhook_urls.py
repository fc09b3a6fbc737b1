from __future__ import annotations

from django.urls import path

from . import webhook_views

urlpatterns = [
    path("webhooks/", webhook_views.listed, name="api-webhooks"),
    path("webhooks/new/", webhook_views.new, name="api-webhook-new"),
    path("webhooks/deliveries/<int:pk>/", webhook_views.delivery, name="api-delivery"),
    path("webhooks/deliveries/<int:pk>/replay/", webhook_views.replay, name="api-delivery-replay"),
    path("webhooks/<int:pk>/", webhook_views.webhook, name="api-webhook"),
    path("webhooks/<int:pk>/edit/", webhook_views.edit, name="api-webhook-edit"),
    path("webhooks/<int:pk>/act/", webhook_views.act, name="api-webhook-act"),
    path("webhooks/<int:pk>/rotate/", webhook_views.rotate, name="api-webhook-rotate"),
    path("webhooks/<int:pk>/delete/", webhook_views.delete, name="api-webhook-delete"),
]
