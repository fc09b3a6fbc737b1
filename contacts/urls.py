from __future__ import annotations

from django.urls import path

from . import act_views, import_views, list_views, people_views

urlpatterns = [
    path("contacts/", people_views.contacts, name="contacts-contacts"),
    path("contacts/add/", people_views.add, name="contacts-add"),
    path("contacts/act/", act_views.act, name="contacts-act"),
    path("contacts/changes/", act_views.progress, name="contacts-changes"),
    path("contacts/changes/<int:pk>/stop/", act_views.stop, name="contacts-stop"),
    path("contacts/changes/<int:pk>/undo/", act_views.undo, name="contacts-undo"),
    path("contacts/<int:pk>/", people_views.contact, name="contacts-contact"),
    path("contacts/<int:pk>/edit/", people_views.edit, name="contacts-edit"),
    path("contacts/<int:pk>/restore/", people_views.restore, name="contacts-restore"),
    path("contacts/export/", import_views.export, name="contacts-export"),
    path("imports/", import_views.imports, name="contacts-imports"),
    path("imports/<int:pk>/", import_views.one, name="contacts-import"),
    path("imports/<int:pk>/begin/", import_views.begin, name="contacts-import-begin"),
    path("imports/<int:pk>/act/", import_views.act, name="contacts-import-act"),
    path("imports/<int:pk>/rejected.csv", import_views.rejected, name="contacts-import-rejected"),
    path("lists/<int:pk>/export/", import_views.export_list, name="contacts-list-export"),
    path("lists/", list_views.lists, name="contacts-lists"),
    path("lists/add/", list_views.add, name="contacts-list-add"),
    path("lists/<int:pk>/", list_views.members, name="contacts-list"),
    path("lists/<int:pk>/edit/", list_views.edit, name="contacts-list-edit"),
    path("lists/<int:pk>/delete/", list_views.delete, name="contacts-list-delete"),
    path("lists/<int:pk>/add/", list_views.add_member, name="contacts-list-member"),
    path("lists/<int:pk>/mirror/", list_views.mirror_again, name="contacts-list-mirror"),
]
