"""The small pictures of attachments, as the server drew them."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required, permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET

from . import thumbnails
from .models import Attachment


@login_required
@permission_required("messaging.view_message", raise_exception=True)
@require_GET
@cache_control(private=True, max_age=3600)
def thumbnail(request: HttpRequest, pk: int) -> HttpResponse:
    picture = Attachment.objects.filter(pk=pk).values_list("thumbnail", flat=True).first()
    if not picture:
        raise Http404
    return HttpResponse(bytes(picture), content_type=thumbnails.TYPE, headers={"x-content-type-options": "nosniff"})
