"""What a message says, as JSON: shared by messages, their languages, and templates."""

from typing import Annotated, Any, Final, Literal

import msgspec

from clarion.api.shapes.text import LANGUAGE_TAG, TEMPLATE_NAME, Line, Link, Name, Text

Members = dict[str, Any]
LanguageTag = Annotated[str, msgspec.Meta(min_length=2, max_length=64, pattern=LANGUAGE_TAG)]
"""BCP 47, such as `de`, `pt-BR`, `zh-Hant`."""
TemplateName = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=TEMPLATE_NAME)]
Missing = Literal["fail", "fallback", "skip"]
Fallbacks = Annotated[dict[str, Text], msgspec.Meta(max_length=100)]


class ActionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A button under the notification."""

    id: Name
    title: Line
    icon: Link | None = None
    link: Link | None = None


class Overrides(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Per network, what is merged over the payload that the server would build."""

    apns: Members | None = None
    fcm: Members | None = None
    webpush: Members | None = None


NO_OVERRIDES: Final = Overrides()


class ContentBody(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """What is said in one language."""

    title: Line | None = None
    subtitle: Line | None = None
    body: Text | None = None
    image: Link | None = None
    icon: Link | None = None
    actions: Annotated[list[ActionBody], msgspec.Meta(max_length=10)] = []
    link: Link | None = None
    sound: Name | None = None
    badge: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None
    data: Members = {}
    """Free-form values for the app; at most 16 levels deep."""
    action_set: Name | None = None
    """Set of buttons that the app has registered; left out: named after the buttons' ids."""
    thread: Name | None = None
    overrides: Overrides = NO_OVERRIDES


class TemplateUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A stored template, and the values that it prints as `{{ message.NAME }}`."""

    name: TemplateName
    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None
    """Left out: the newest now."""
    variables: Members = {}


class UtmBody(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """Campaign parameters that every web link of the message gets, unless it has them already."""

    source: Name | None = None
    medium: Name | None = None
    campaign: Name | None = None
    term: Name | None = None
    content: Name | None = None


class WordedBody(ContentBody, frozen=True, kw_only=True, omit_defaults=True):
    """What is said, in which languages, and with whose values."""

    template: TemplateUse | None = None
    """The fields of the message itself replace the template's, in every language."""
    liquid: bool = False
    """The texts of the message are Liquid, as a template's are; else braces are braces."""
    language: LanguageTag | None = None
    """Of the message's own texts; needed where there are others."""
    localized: Annotated[dict[LanguageTag, ContentBody], msgspec.Meta(max_length=200)] = {}
    """Language -> the fields that differ. Who speaks none of them gets the message's own."""
    missing: Missing | None = None
    """What becomes of a text that prints a variable which a person does not have: the message is
    refused for everybody, the fallback is printed, or the person is left out. Left out: the
    template's policy, else `fallback`."""
    fallbacks: Fallbacks = {}
    """Variable (`user.first_name`) -> what is printed instead."""
    truncate: bool = False
    """A body that makes a payload too long for its network is cut; else that recipient is refused
    (`payload_too_large`)."""
    track_links: bool = False
    """Web links lead over the server, which tells who opened them."""
    utm: UtmBody | None = None
