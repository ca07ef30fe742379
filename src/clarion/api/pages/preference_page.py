"""The preference page as HTML: one form, no script, any direction of writing, light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Final

from clarion.api.pages.words import WORDS, Words
from clarion.domain.localisation import choose
from clarion.domain.preference import Frequency, offered
from clarion.domain.quiet_windows import DAY_MINUTES, DAY_NAMES, Window, clock
from clarion.ports.preferences import CategoryPreference, Preferences

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1c1c1e;--soft:#52525b;--paper:#f6f6f8;--card:#fff;
--line:#8a8a94;--rule:#dcdce3;--key:#1d4ed8;--onkey:#fff;--stop:#b42318;--good:#e3f4e8;
--goodink:#14532d;--bad:#fdecea;--badink:#8f1d14}
@media(prefers-color-scheme:dark){:root{--ink:#f4f4f6;--soft:#b6b6c0;--paper:#141417;--card:#1f1f24;
--line:#85858f;--rule:#37373f;--key:#8fb4ff;--onkey:#0b1530;--stop:#ff9d94;--good:#12331f;
--goodink:#bfeccd;--bad:#3d1714;--badink:#ffc9c4}}
*{box-sizing:border-box}
body{font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;margin:0;color:var(--ink);
background:var(--paper)}
main{max-width:40rem;margin:0 auto;padding:2rem 1rem 4rem}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .5rem}
h2{font-size:1.15rem;margin:0 0 .75rem}
p{margin:0 0 .75rem}
.soft{color:var(--soft)}
section,fieldset.card,.card{background:var(--card);border:1px solid var(--rule);border-radius:12px;
padding:1.1rem 1.25rem;margin:1rem 0}
fieldset{border:0;margin:0;padding:0;min-width:0}
fieldset.topic{border-block-start:1px solid var(--rule);padding-block:.9rem .4rem}
legend{font-weight:600;padding:0;float:inline-start;width:100%}
legend+*{clear:both}
.choice{display:flex;gap:.6rem;align-items:center;min-height:2.75rem;cursor:pointer}
input[type=radio],input[type=checkbox]{width:1.2rem;height:1.2rem;margin:0;accent-color:var(--key);
flex:none}
input[type=time],input[type=number],input[type=text],select{max-width:100%;font:inherit;color:inherit;background:var(--card);
border:1px solid var(--line);border-radius:8px;padding:.45rem .6rem;min-height:2.75rem}
input[type=number]{width:7rem}
.field label{display:block;font-weight:600;margin-block-end:.3rem}
.field .soft{margin-block:.5rem 0}
fieldset.topic legend{margin-block-end:.25rem}
fieldset.topic .soft{margin-block-end:.25rem}
.day{display:grid;grid-template-columns:minmax(6rem,1fr) auto auto;gap:.5rem .9rem;
align-items:center;padding-block:.3rem}
.day label{display:flex;align-items:center;gap:.45rem}
@media(max-width:30rem){.day{grid-template-columns:1fr 1fr}.day>span{grid-column:1/-1;
margin-block-start:.4rem}.day label{flex-direction:column;align-items:stretch;gap:.15rem}}
button{font:inherit;font-weight:600;border-radius:10px;border:1px solid var(--key);
background:var(--key);color:var(--onkey);padding:.6rem 1.3rem;min-height:2.75rem;cursor:pointer}
button.plain{background:transparent;color:var(--key)}
button.stop{background:transparent;color:var(--stop);border-color:var(--stop)}
:focus-visible,input[type=time]:focus-within{outline:3px solid var(--key);outline-offset:3px;
border-radius:6px}
.note{border-radius:10px;padding:.75rem 1rem;margin:1rem 0;background:var(--good);
color:var(--goodink)}
.note.bad{background:var(--bad);color:var(--badink)}
.note p:last-child{margin:0}
@media(forced-colors:active){.note{border:1px solid}}
"""

_MORE: Final = {
    Frequency.ALL: "every",
    Frequency.DAILY: "daily",
    Frequency.WEEKLY: "weekly",
    Frequency.OFF: "off",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """How the page is shown this time."""

    language: str
    """Of the catalogue."""
    now: datetime
    zones: Sequence[str] = ()
    """Time zones that the person may choose from."""
    saved: bool = False
    problem: str = ""
    """Name of the words that say what is wrong."""


def language_of(*wanted: str | None) -> str:
    """The catalogue's language for the first wish that it can grant; English for none."""
    for language in wanted:
        found = choose(language, list(WORDS)) if language else None
        if found is not None:
            return found
    return "en"


def accepted(header: str | None) -> list[str]:
    """Languages of an `Accept-Language` header, most wanted first (RFC 9110 section 12.5.4)."""
    wanted: list[tuple[float, str]] = []
    for part in (header or "")[:1_000].split(","):
        tag, _, parameter = part.strip().partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            continue
        if tag and weight > 0:
            wanted.append((-weight, tag.strip()))
    return [tag for _, tag in sorted(wanted, key=lambda each: each[0])]


def preference_page(preferences: Preferences, shown: Shown) -> bytes:
    """The page of one person."""
    words = WORDS[shown.language]
    app = escape(preferences.app_name)
    parts = [
        f"<h1>{_said(words.title, app)}</h1><p class=soft>{_said(words.intro, app)}</p>",
        _notes(preferences, words, shown, app),
        _form(shown),
        _topics(preferences, words, shown),
        _quiet(preferences.quiet_hours, words),
        _zone(preferences.time_zone, words, shown),
        _pause(preferences, words, shown),
        _languages(words, shown),
        f'<button name="action" value="save">{escape(words.save)}</button></form>',
    ]
    if not preferences.opted_out:
        parts.append(
            f"<section><h2>{escape(words.stop)}</h2><p class=soft>{_said(words.stop_hint, app)}"
            f"</p>{_lone('stop', words.stop, 'stop', shown)}</section>"
        )
    title = escape(words.title).replace(
        "{app}", f"\N{FIRST STRONG ISOLATE}{app}\N{POP DIRECTIONAL ISOLATE}"
    )
    return _whole(title, "".join(parts), shown.language)


def gone_page(language: str) -> bytes:
    """What an invalid link shows; nothing of it tells whose it was."""
    words = WORDS[language]
    title = escape(words.gone_title)
    return _whole(title, f"<h1>{title}</h1><p>{escape(words.gone)}</p>", language)


def _whole(title: str, content: str, language: str) -> bytes:
    direction = "rtl" if WORDS[language].right_to_left else "ltr"
    return (
        f'<!doctype html><html lang="{language}" dir="{direction}"><head><meta charset="utf-8">'
        f"<title>{title}</title>"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="robots" content="noindex,nofollow"><meta name="color-scheme" '
        f'content="light dark"><style>{_STYLE}</style></head><body><main>{content}</main></body>'
        "</html>"
    ).encode()


def _said(text: str, app: str) -> str:
    """Words with the app's name, which may be of another direction of writing."""
    return escape(text).replace("{app}", f"<bdi>{app}</bdi>")


def _form(shown: Shown) -> str:
    return (
        '<form method="post" accept-charset="utf-8">'
        f'<input type="hidden" name="lang" value="{shown.language}">'
    )


def _lone(action: str, label: str, look: str, shown: Shown) -> str:
    return (
        f"{_form(shown)}"
        f'<button class="{look}" name="action" value="{action}">{escape(label)}</button></form>'
    )


def _notes(preferences: Preferences, words: Words, shown: Shown, app: str) -> str:
    notes = ""
    if shown.problem:
        said = escape(getattr(words, shown.problem))
        notes += f'<div class="note bad" role="alert"><p>{said}</p></div>'
    if shown.saved:
        notes += f'<div class="note" role="status"><p>{escape(words.saved)}</p></div>'
    if preferences.opted_out:
        notes += (
            f'<div class="note bad" role="status"><p><strong>{_said(words.stopped, app)}</strong>'
            f"</p><p>{escape(words.resume_hint)}</p>"
            f"{_lone('resume', words.resume, '', shown)}</div>"
        )
    return notes


def _topics(preferences: Preferences, words: Words, shown: Shown) -> str:
    topics = "".join(_topic(each, words, shown.language) for each in preferences.categories)
    return f"<section><h2>{escape(words.topics)}</h2>{topics}</section>"


def _topic(preference: CategoryPreference, words: Words, language: str) -> str:
    draft, category = preference.draft, preference.draft.category
    tag = choose(language, list(draft.names))
    name, description = draft.name, draft.description
    if tag is not None:
        name, description = draft.names[tag].name, draft.names[tag].description
    slug = escape(category.slug)
    head = f"<legend><bdi>{escape(name)}</bdi></legend>"
    if description:
        head += f'<p class=soft id="d-{slug}">{escape(description)}</p>'
    choices = offered(category)
    if len(choices) == 1:
        return f'<fieldset class=topic>{head}<p class="soft">{escape(words.always)}</p></fieldset>'
    described = f' aria-describedby="d-{slug}"' if description else ""
    wanted = Frequency.ALL if preference.provisional else preference.frequency
    radios = "".join(
        f'<label class=choice><input type="radio" name="c.{slug}" value="{choice.value}"'
        f"{' checked' if choice is wanted else ''}>{escape(getattr(words, _MORE[choice]))}</label>"
        for choice in choices
    )
    if preference.provisional:
        radios += (
            f'<div class="note"><p>{escape(words.unconfirmed)}</p><button name="action" '
            f'value="confirm.{slug}">{escape(words.confirm)}</button></div>'
        )
    return f"<fieldset class=topic{described}>{head}{radios}</fieldset>"


def by_day(windows: tuple[Window, ...]) -> dict[int, Window] | None:
    """Day -> the window that begins on it; None when a day has several."""
    found: dict[int, Window] = {}
    for window in windows:
        for day in range(7):
            if window.days >> day & 1:
                if day in found:
                    return None
                found[day] = window
    return found


def _quiet(windows: tuple[Window, ...], words: Words) -> str:
    days = by_day(windows)
    kept = ""
    if days is None:
        kept = (
            '<label class=choice><input type="checkbox" name="q.replace" value="1">'
            f"{escape(words.quiet_kept)}</label>"
        )
    rows = "".join(
        _day(name, label, None if days is None else days.get(day), words)
        for day, (name, label) in enumerate(zip(DAY_NAMES, words.days, strict=True))
    )
    return (
        f'<fieldset class="card"><legend><h2>{escape(words.quiet)}</h2></legend>'
        f"<p class=soft>{escape(words.quiet_hint)}</p>{kept}{rows}</fieldset>"
    )


def _day(name: str, label: str, window: Window | None, words: Words) -> str:
    begin = end = ""
    if window is not None:
        begin, end = clock(window.start_min), clock(window.end_min % DAY_MINUTES)
    fields = "".join(
        f'<label><span>{escape(word)}</span><input type="time" name="q.{name}.{which}" '
        f'value="{value}" aria-label="{escape(label)}, {escape(word)}"></label>'
        for which, word, value in (
            ("from", words.quiet_from, begin),
            ("to", words.quiet_to, end),
        )
    )
    return f'<div class="day"><span>{escape(label)}</span>{fields}</div>'


def _zone(zone: str | None, words: Words, shown: Shown) -> str:
    options = "".join(f'<option value="{escape(each)}">' for each in shown.zones)
    return (
        f'<section class=field><label for="zone">{escape(words.zone)}</label>'
        f'<input type="text" id="zone" name="zone" list="zones" value="{escape(zone or "")}" '
        'dir="ltr" maxlength="64" spellcheck="false" aria-describedby="zone-hint">'
        f'<datalist id="zones">{options}</datalist>'
        f'<p class=soft id="zone-hint">{escape(words.zone_hint)}</p></section>'
    )


def _pause(preferences: Preferences, words: Words, shown: Shown) -> str:
    until, now = preferences.paused_until, ""
    if until is not None and until > shown.now:
        day = f'<time datetime="{until.isoformat()}"><bdi>{until:%Y-%m-%d}</bdi></time>'
        now = (
            f"<p><strong>{escape(words.paused).replace('{date}', day)}</strong></p>"
            '<label class=choice><input type="checkbox" name="pause.end" value="1">'
            f"{escape(words.pause_end)}</label>"
        )
    return (
        f'<fieldset class="card"><legend><h2>{escape(words.pause)}</h2></legend>{now}'
        f'<div class=field><label for="pause">{escape(words.pause_days)}</label>'
        '<input type="number" id="pause" name="pause" min="1" max="365" step="1" '
        'inputmode="numeric" aria-describedby="pause-hint">'
        f'<p class=soft id="pause-hint">{escape(words.pause_hint)}</p></div></fieldset>'
    )


def _languages(words: Words, shown: Shown) -> str:
    options = "".join(
        f'<option value="{tag}" lang="{tag}"{" selected" if tag == shown.language else ""}>'
        f"{escape(each.name)}</option>"
        for tag, each in WORDS.items()
    )
    return (
        f'<section class=field><label for="language">{escape(words.language)}</label>'
        f'<select id="language" name="language">{options}</select></section>'
    )
