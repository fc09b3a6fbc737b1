from __future__ import annotations

from django.urls import path

from . import code_views, ussd_views, views

urlpatterns = [
    path("devices/", views.devices, name="devices-devices"),
    path("devices/sync/<int:pk>/", views.sync, name="devices-sync"),
    path("devices/<int:pk>/", views.device, name="devices-device"),
    path("devices/<int:pk>/pause/", views.switch, {"paused": True}, name="devices-pause"),
    path("devices/<int:pk>/resume/", views.switch, {"paused": False}, name="devices-resume"),
    path("devices/sims/<int:pk>/", views.sim, name="devices-sim"),
    path("devices/sims/<int:pk>/pause/", views.switch_sim, {"paused": True}, name="devices-sim-pause"),
    path("devices/sims/<int:pk>/resume/", views.switch_sim, {"paused": False}, name="devices-sim-resume"),
    path("ussd/", ussd_views.console, name="devices-ussd"),
    path("ussd/thread/<int:pk>/", ussd_views.thread, name="devices-thread"),
    path("ussd/history/", ussd_views.past, name="devices-history"),
    path("ussd/codes/", code_views.codes, name="devices-codes"),
    path("ussd/codes/add/", code_views.add, name="devices-code-add"),
    path("ussd/codes/<int:pk>/", code_views.edit, name="devices-code"),
    path("ussd/codes/<int:pk>/delete/", code_views.delete, name="devices-code-delete"),
    path("ussd/schedules/add/", code_views.schedule, name="devices-schedule-add"),
    path("ussd/schedules/<int:pk>/", code_views.edit_schedule, name="devices-schedule"),
    path("ussd/schedules/<int:pk>/delete/", code_views.delete_schedule, name="devices-schedule-delete"),
]
