"""The pages for people: what this server is, and what its errors mean."""

from html import escape
from typing import Final

from clarion.domain.errors import ERRORS, ErrorCode, ErrorKind

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;"
    "color:#1c1c1e;background:#fff}code,pre{font:14px/1.5 ui-monospace,monospace;"
    "background:#f2f2f7;border-radius:4px}code{padding:.1em .3em}pre{padding:1rem;overflow:auto}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:.2rem .8rem .2rem 0;"
    "vertical-align:top}@media(prefers-color-scheme:dark){body{color:#f2f2f7;background:#1c1c1e}"
    "code,pre{background:#2c2c2e}a{color:#6ab0ff}}"
)


def _page(title: str, content: str) -> bytes:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>{content}</body></html>"
    ).encode()


FRONT_PAGE: Final = _page(
    "Clarion",
    "<h1>Clarion</h1>"
    "<p>A self-hosted push notification platform. This address is its JSON API.</p>"
    '<p><a href="/try"><b>Send a push to this browser</b></a>: two clicks, no account anywhere.</p>'
    "<ul>"
    '<li><a href="/openapi.json">OpenAPI 3.1 document</a></li>'
    '<li><a href="/errors">Error codes</a></li>'
    '<li><a href="/healthz">Health</a>, <a href="/readyz">readiness</a>, '
    '<a href="/metrics">metrics</a></li>'
    "</ul>"
    "<p>Send a message to everybody (the first start printed the address and the key to set):</p>"
    "<pre>curl -X POST $CLARION_URL/v1/messages \\\n"
    '  -H "Authorization: Bearer $CLARION_KEY" \\\n'
    '  -H "Content-Type: application/json" \\\n'
    '  -H "Idempotency-Key: hello-1" \\\n'
    '  -d \'{"to": {"all": true}, "title": "Hello", "body": "First message"}\'</pre>',
)


def errors_page(only: ErrorCode | None = None) -> bytes:
    """All error codes as a table, or one of them."""
    shown = ERRORS if only is None else {only: ERRORS[only]}
    rows = "".join(
        f"<tr><td><code>{escape(code)}</code></td><td>{kind.status}</td>"
        f"<td>{escape(kind.title)}.</td><td>{_again(kind)}</td></tr>"
        for code, kind in shown.items()
    )
    head = "<tr><th>Code</th><th>Status</th><th>Meaning</th><th>Try again unchanged</th></tr>"
    return _page("Clarion errors", f"<h1>Errors</h1><table>{head}{rows}</table>")


def _again(kind: ErrorKind) -> str:
    return "yes" if kind.retryable else "no"
