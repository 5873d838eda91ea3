"""An application of Django, in one file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="only for tests", DEBUG=False
)
django.setup()


def sync(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.method} {request.path} {request.GET.get('a', '-')}")


async def later(request: HttpRequest) -> JsonResponse:
    await asyncio.sleep(0)
    return JsonResponse({"address": request.META["REMOTE_ADDR"], "secure": request.is_secure()})


def post(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.POST['name']} {len(request.FILES)}")


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def pieces() -> AsyncIterator[str]:
        for number in range(3):
            yield str(number)

    return StreamingHttpResponse(pieces())


def boom(request: HttpRequest) -> HttpResponse:
    raise LookupError("no such shelf")


urlpatterns = [
    path("sync/", sync),
    path("later/", later),
    path("post/", post),
    path("stream/", stream),
    path("boom/", boom),
]
app = get_asgi_application()
