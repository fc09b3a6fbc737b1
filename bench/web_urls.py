from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from smsdash import urls


@csrf_exempt
def nothing(request: HttpRequest) -> HttpResponse:
    """What any view costs that is posted to: the same server, the same short way, no database."""
    assert request.body
    return JsonResponse({"ok": True})


urlpatterns = [path("callbacks/nothing", nothing), path("nothing", nothing), *urls.urlpatterns]
