"""The files for browsers: the badge, the demo, the dashboard and the API's documentation.

The app includes `routes()`. Files are read once and served from memory with a strong ETag. Pages may only run
scripts and apply styles from our own files.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ... import __version__
from ...settings import Settings
from ..etag import is_known

PAGES = {"/demo": "demo.html", "/dashboard": "dashboard.html", "/docs": "docs.html"}
MODULES = (
    "live-viewer-badge.js",
    "live-viewer-badge-languages.js",
    "live-viewer-badge.d.ts",
    "live-viewer-badge-react.js",
    "live-viewer-badge-react.d.ts",
    "live-viewer-badge-session.d.ts",
    "live-viewer-badge-jsx.d.ts",
    "live-viewer-badge-svelte.d.ts",
    "live-viewer-badge-vue.d.ts",
    "api.d.ts",
    "custom-elements.json",
)
# Listed here because the system's types for .js and .ts differ between machines.
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".ts": "text/typescript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
COMPRESS_FROM = 512

REVALIDATE = "public, max-age=300, stale-while-revalidate=86400"
IMMUTABLE = "public, max-age=31536000, immutable"
PAGE = "no-cache"

SHARED = {"X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}
# The badge is for pages of other origins: the file is public, and the API it uses is protected.
EMBEDDABLE = {
    **SHARED,
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
# Swagger UI uses style attributes and data: images, and loads nothing from outside.
DOCS_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "img-src 'self' https: data:", "img-src 'self' data:"
)


@dataclass(frozen=True)
class Asset:
    """One file in memory, compressed once, on first use."""

    name: str
    body: bytes

    @cached_property
    def etag(self) -> str:
        return hashlib.sha256(self.body).hexdigest()[:32]

    @cached_property
    def compressed(self) -> bytes:
        return gzip.compress(self.body, 9, mtime=0)

    @property
    def media_type(self) -> str:
        suffix = "." + self.name.rpartition(".")[2]
        return MEDIA_TYPES.get(suffix) or mimetypes.guess_type(self.name)[0] or "text/plain"

    def answer(self, request: Request, cache: str, headers: dict[str, str]) -> Response:
        packed = len(self.body) >= COMPRESS_FROM and accepts_gzip(request)
        etag = f'"{self.etag}-gzip"' if packed else f'"{self.etag}"'
        headers = {**headers, "ETag": etag, "Cache-Control": cache}
        if is_known(request, etag):
            return Response(status_code=304, headers=headers)
        if packed:
            headers["Content-Encoding"] = "gzip"
        return Response(self.compressed if packed else self.body, headers=headers, media_type=self.media_type)


def accepts_gzip(request: Request) -> bool:
    """Whether the client accepts gzip: it lists it, and not with a weight of zero."""
    for offer in request.headers.get("accept-encoding", "").lower().split(","):
        coding, _, weight = offer.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return weight.strip("0.") != "" if weight else True
    return False


@lru_cache(1)
def load() -> dict[str, Asset]:
    """Every file for browsers, by its path under /static, and the badge's modules by name."""
    found: dict[str, Asset] = {}

    def walk(folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                walk(entry, f"{prefix}{entry.name}/")
            else:
                found[prefix + entry.name] = Asset(entry.name, entry.read_bytes())

    walk(files(__package__) / "static", "")
    badge = files("presence_svc") / "badge"
    walk(badge / "src", "src/")
    for name in MODULES:
        found[name] = Asset(name, (badge / name).read_bytes())
    return found


def page_headers(policy: str) -> dict[str, str]:
    return {
        **SHARED,
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "SAMEORIGIN",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }


def routes(settings: Settings) -> list[BaseRoute]:
    """The routes of files and pages. Answers 404 for other paths, and for pages that are switched off."""
    assets = load()

    def fixed(path: str, name: str, cache: str, headers: dict[str, str]) -> Route:
        async def serve(request: Request) -> Response:
            return assets[name].answer(request, cache, headers)

        return Route(path, serve)

    badge = [asset for name, asset in assets.items() if not name.startswith(("pages/", "vendor/"))]

    async def static(request: Request) -> Response:
        asset = assets.get(request.path_params["name"])
        if asset is None or asset.name.endswith(".html") or not (pages or asset in badge):
            raise HTTPException(404)
        return asset.answer(request, REVALIDATE, EMBEDDABLE)

    pages = [
        fixed(path, name, PAGE, page_headers(DOCS_POLICY if path == "/docs" else POLICY))
        for path, name in PAGES.items()
        if path[1:] in settings.pages
    ]
    current = [fixed(f"/{name}", name, REVALIDATE, EMBEDDABLE) for name in MODULES]
    versioned = [fixed(f"/@{__version__}/{name}", name, IMMUTABLE, EMBEDDABLE) for name in MODULES]
    return [*current, *versioned, *pages, Route("/static/{name:path}", static)]
