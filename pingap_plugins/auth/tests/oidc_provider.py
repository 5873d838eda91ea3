"""A real OpenID provider for the tests: Django OAuth Toolkit, in a process of its own.

    python oidc_provider.py FOLDER PORT SITE LIFETIME

:param FOLDER: for its database.
:param SITE: the URL of the site behind pingap; LIFETIME: of access tokens, in seconds.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

CLIENT, SECRET = "shop-client", "secret & 100% of the client"


def configure(folder: Path, port: int, lifetime: int) -> None:
    key = rsa.generate_private_key(65537, 2048)
    form, lock = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    settings.configure(
        SECRET_KEY="x" * 50,
        DEBUG=False,
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        LOGIN_URL="/accounts/login/",
        SESSION_COOKIE_NAME="provider_session",
        USE_TZ=True,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": folder / "db",
                "OPTIONS": {"timeout": 20},
            }
        },
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "oauth2_provider",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        OAUTH2_PROVIDER={
            "OIDC_ENABLED": True,
            "OIDC_ISS_ENDPOINT": f"http://127.0.0.1:{port}/o",
            "OIDC_RSA_PRIVATE_KEY": key.private_bytes(
                serialization.Encoding.PEM, form, lock
            ).decode(),
            "OIDC_RP_INITIATED_LOGOUT_ENABLED": True,
            "OIDC_RP_INITIATED_LOGOUT_ALWAYS_PROMPT": False,
            "OAUTH2_VALIDATOR_CLASS": f"{__name__}.Validator",
            "SCOPES": {"openid": "o", "profile": "p", "email": "e"},
            "PKCE_REQUIRED": True,
            "ROTATE_REFRESH_TOKEN": True,
            "ACCESS_TOKEN_EXPIRE_SECONDS": lifetime,
        },
    )


def fill(site: str) -> None:
    from django.contrib.auth.models import Group, User
    from django.core.management import call_command
    from oauth2_provider.models import Application

    call_command("migrate", verbosity=0)
    staff = Group.objects.create(name="staff")
    for name in ("alice", "bob"):
        user = User.objects.create_user(name, f"{name}@shop.example", "sesame")
        if name == "alice":
            user.groups.add(staff)
    Application.objects.create(
        client_id=CLIENT,
        client_secret=SECRET,
        client_type="confidential",
        authorization_grant_type="authorization-code",
        redirect_uris=f"{site}/oidc/callback",
        post_logout_redirect_uris=f"{site}/bye",
        skip_authorization=True,
        algorithm="RS256",
    )


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def main() -> None:
    folder, port, site, lifetime = sys.argv[1:]
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    sys.modules["oidc_provider"] = sys.modules[__name__]
    configure(Path(folder), int(port), int(lifetime))
    django.setup()
    from django.contrib.auth import authenticate, login
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse, HttpResponseRedirect
    from django.urls import include, path
    from oauth2_provider.oauth2_validators import OAuth2Validator

    class Validator(OAuth2Validator):  # type: ignore[misc]
        oidc_claim_scope = None

        def get_additional_claims(self, request: Any) -> dict[str, Any]:
            groups = [one.name for one in request.user.groups.all()]
            return {"preferred_username": request.user.username, "groups": groups}

    def log_in(request: Any) -> Any:
        found = authenticate(request, username=request.GET.get("user"), password="sesame")
        if found is None:
            return HttpResponse("who are you?", status=200)
        login(request, found)
        return HttpResponseRedirect(request.GET["next"])

    module: Any = sys.modules[__name__]
    module.Validator = Validator
    module.urlpatterns = [
        path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
        path("accounts/login/", log_in),
    ]
    fill(site)
    with make_server("127.0.0.1", int(port), get_wsgi_application(), Server, Quiet) as server:
        print("ready", flush=True)  # noqa: T201
        server.serve_forever()


if __name__ == "__main__":
    main()
