"""Words from a template to the phone: values, languages, fallbacks, who is left out."""

from tests.platform.conftest import Platform, apns_token

PEOPLE = (
    ("en-GB", {"first_name": "Ann", "points": 1234}),
    ("de-CH", {"first_name": "Zoë", "points": 1234}),
    ("fr", {"points": 1}),
    ("ar", {"first_name": "ليلى", "points": 3}),
    (None, {"first_name": 'Bo "B" {{ x }}', "points": 0}),
)


async def people(platform: Platform) -> None:
    """Five people of five languages, one of them without a name."""
    await platform.add_apns_credential()
    rows = [
        {"external_id": f"u{i}", "language": language, "attributes": attributes}
        for i, (language, attributes) in enumerate(PEOPLE)
    ]
    await platform.post("/v1/users:batch", {"users": rows}, 200)
    await platform.add_people(len(PEOPLE))


async def test_each_person_reads_their_language_and_their_values(platform: Platform) -> None:
    """Numbers and plurals as their country writes them; what they typed in is not Liquid."""
    await people(platform)
    template = {
        "language": "en",
        "title": "Hi {{ user.first_name }}",
        "body": '{{ user.points | plural: one: "# point", other: "# points" }}',
        "localized": {
            "de": {
                "title": "Hoi {{ user.first_name }}",
                "body": '{{ user.points | plural: one: "# Punkt", other: "# Punkte" }}',
            },
            "fr": {
                "title": "Bonjour {{ user.first_name }}",
                "body": '{{ user.points | plural: one: "# point", other: "# points" }}',
            },
        },
        "fallbacks": {"user.first_name": "à vous"},
    }
    saved = await platform.http.put("/v1/templates/points", json=template)
    assert saved.is_success, saved.text

    body = {"to": {"all": True}, "template": {"name": "points"}}
    accepted = await platform.post("/v1/messages", body, 202)
    await platform.finished(accepted["id"])

    assert [platform.alert(i) for i in range(len(PEOPLE))] == [
        ("Hi Ann", "1,234 points"),
        ("Hoi Zoë", "1\N{RIGHT SINGLE QUOTATION MARK}234 Punkte"),
        ("Bonjour à vous", "1 point"),
        ("Hi ليلى", "3 points"),
        ('Hi Bo "B" {{ x }}', "0 points"),
    ]


async def test_whoever_lacks_a_value_is_left_out_where_the_message_says_so(
    platform: Platform,
) -> None:
    """The others get theirs; the reason is recorded."""
    await people(platform)
    body = {
        "to": {"all": True},
        "liquid": True,
        "title": "{{ user.first_name }}",
        "body": "Hi",
        "missing": "skip",
    }

    accepted = await platform.post("/v1/messages", body, 202)
    view = await platform.finished(accepted["id"])

    assert view["by_outcome"] == {"accepted": 4, "suppressed": 1}
    assert "variable_missing" in str(view["outcomes"])
    assert apns_token(2) not in platform.apns.payloads
    assert platform.alert(1) == ("Zoë", "Hi")


async def test_a_message_keeps_the_words_that_it_was_accepted_with(platform: Platform) -> None:
    """A newer version of the template is for later messages."""
    await people(platform)
    for words in ("old", "new"):
        saved = await platform.http.put("/v1/templates/note", json={"title": words, "body": "."})
        assert saved.is_success, saved.text
    use = {"name": "note", "version": 1}

    for version, title in ((use, "old"), ({"name": "note"}, "new")):
        body = {"to": {"all": True}, "template": version}
        accepted = await platform.post("/v1/messages", body, 202)
        await platform.finished(accepted["id"])
        assert platform.alert(0) == (title, ".")
