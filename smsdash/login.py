"""Logging in: django-allauth's view and rate limits, with sign-up closed."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.views import LoginView
from django.http import HttpRequest, HttpResponse


class ClosedAdapter(DefaultAccountAdapter):
    """People are added by an administrator; nobody signs up."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False


class Login(LoginView):
    """The login page. Scripts may post the customary ``username`` in place of ``login``."""

    template_name = "smsdash/login.html"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if "login" not in request.POST and "username" in request.POST:
            request.POST = request.POST.copy()
            request.POST["login"] = request.POST["username"]
        return super().post(request, *args, **kwargs)
