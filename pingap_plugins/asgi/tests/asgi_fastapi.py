"""An application of FastAPI."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from pydantic import BaseModel

app = FastAPI(title="Shop")
app.add_middleware(GZipMiddleware, minimum_size=500)


class Item(BaseModel):
    """What is sold."""

    name: str
    price: float


def client(request: Request) -> str:
    assert request.client is not None
    return request.client.host


@app.post("/items", status_code=201)
async def add(item: Item, client: Annotated[str, Depends(client)]) -> dict[str, object]:
    return {"item": item, "client": client}


@app.get("/blocking")
def blocking() -> dict[str, str]:
    """Runs in a thread."""
    return {"ran": "in a thread"}


@app.get("/large")
async def large() -> str:
    return "x" * 10_000
