"""The OpenAPI document and the page that shows it. With keys asked for, they ask for one as well."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from api.scopes import READS

router = APIRouter(tags=["service"], dependencies=[READS])

_CDN = "https://cdn.jsdelivr.net"
POLICY = (
    f"default-src 'none'; script-src {_CDN} 'unsafe-inline'; style-src {_CDN} 'unsafe-inline';"
    " img-src 'self' data: https://fastapi.tiangolo.com; connect-src 'self'; frame-ancestors 'none'"
)
"""Swagger UI comes from a content network, and starts itself by a script in the page."""


@router.get("/openapi.json")
async def document(request: Request) -> dict[str, Any]:
    """OpenAPI 3.1."""
    found: dict[str, Any] = request.app.openapi()
    return found


@router.get("/docs", response_class=HTMLResponse)
async def page() -> HTMLResponse:
    """Swagger UI."""
    shown = get_swagger_ui_html(openapi_url="/openapi.json", title="Spotter")
    shown.headers["Content-Security-Policy"] = POLICY
    return shown
