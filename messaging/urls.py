from __future__ import annotations

from django.urls import path

from . import (
    campaign_views,
    compose_views,
    log_views,
    message_views,
    move_views,
    preflight_views,
    report_views,
    route_views,
    template_views,
)

urlpatterns = [
    path("compose/", compose_views.compose, name="messaging-compose"),
    path("compose/check/", compose_views.check, name="messaging-check"),
    path("compose/undo/<int:pk>/", preflight_views.undo, name="messaging-undo"),
    path("templates/", template_views.templates, name="messaging-templates"),
    path("templates/add/", template_views.add, name="messaging-template-add"),
    path("templates/<int:pk>/", template_views.template, name="messaging-template"),
    path("templates/<int:pk>/delete/", template_views.delete, name="messaging-template-delete"),
    path("messages/", log_views.log, name="messaging-log"),
    path("messages/cancel/", log_views.cancel, name="messaging-cancel"),
    path("messages/resolve/", log_views.resolve, name="messaging-resolve"),
    path("messages/act/", log_views.act, name="messaging-act"),
    path("messages/actions/", log_views.actions, name="messaging-actions"),
    path("messages/actions/<int:pk>/stop/", log_views.stop, name="messaging-stop"),
    path("messages/move/<int:pk>/", move_views.move, name="messaging-move"),
    path("messages/reports/", report_views.unmatched, name="messaging-reports"),
    path("messages/<int:pk>/", message_views.message, name="messaging-message"),
    path("messages/<int:pk>/resend/", message_views.resend, name="messaging-message-resend"),
    path("campaigns/", campaign_views.campaigns, name="campaigns"),
    path("campaigns/<int:pk>/", campaign_views.campaign, name="campaign"),
    path("campaigns/<int:pk>/act/", campaign_views.act, name="campaign-act"),
    path("campaigns/<int:pk>/rename/", campaign_views.rename, name="campaign-rename"),
    path("routes/", route_views.routes, name="messaging-routes"),
    path("routes/add/", route_views.add, name="messaging-route-add"),
    path("routes/<int:pk>/", route_views.route, name="messaging-route"),
    path("routes/<int:pk>/delete/", route_views.delete, name="messaging-route-delete"),
]
