"""RFC 8291, Message Encryption for Web Push: each MUST and each published vector."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.wire import content_encoding, webpush
from clarion.wire.jose import base64url_decode, base64url_encode
from clarion.wire.webpush import (
    KeptSenderKey,
    PlaintextTooLongError,
    ReceiverKey,
    SenderKey,
    SubscriptionKeys,
    WebPushError,
)


class Vector(TypedDict, total=False):
    """The members that these tests read."""

    id: str
    kind: str
    expect: str
    plaintext_utf8: str
    as_public: str
    as_private: str
    ua_public: str
    ua_private: str
    salt: str
    auth_secret: str
    ikm: str
    cek: str
    nonce: str
    header: str
    body: str


VECTORS: list[Vector] = [
    vector
    for vector in json.loads(Path(__file__).with_name("vectors.json").read_text())["vectors"]
    if vector["kind"] == "webpush-aes128gcm"
]
EXAMPLE = VECTORS[0]
GOOD = [vector for vector in VECTORS if vector["expect"] == "ok"]
BAD = [vector for vector in VECTORS if vector["expect"] == "reject"]
SALT = bytes(range(16))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def name(vector: Vector) -> str:
    """Name a parametrised case after its vector."""
    return vector["id"]


def private(text: str) -> ec.EllipticCurvePrivateKey:
    """Make a private key from the base64url of its scalar."""
    return ec.derive_private_key(int.from_bytes(base64url_decode(text), "big"), ec.SECP256R1())


def receiver_of(vector: Vector) -> ReceiverKey:
    """Make the user agent's side of a vector."""
    return ReceiverKey.from_private(
        private(vector["ua_private"]), base64url_decode(vector["auth_secret"])
    )


RECEIVER = receiver_of(EXAMPLE)
KEYS = SubscriptionKeys.parse(EXAMPLE["ua_public"], EXAMPLE["auth_secret"])
SENDER = SenderKey.from_private(private(EXAMPLE["as_private"]))


def test_every_vector_is_used() -> None:
    """The positive and negative vectors are all there."""
    assert (len(GOOD), len(BAD)) == (4, 4)


@pytest.mark.parametrize("vector", GOOD, ids=name)
def test_published_body_decrypts(vector: Vector) -> None:
    """A published body decrypts; the multi-record ones for a tolerant user agent."""
    body = base64url_decode(vector["body"])
    plaintext = webpush.decrypt(body, receiver_of(vector), single_record=False)
    assert plaintext == vector["plaintext_utf8"].encode()


@pytest.mark.parametrize("vector", BAD, ids=name)
@pytest.mark.parametrize("single_record", [True, False])
def test_published_bad_body_is_refused(vector: Vector, *, single_record: bool) -> None:
    """A published bad body is refused by the strict and by the tolerant user agent."""
    body = base64url_decode(vector["body"])
    with pytest.raises(WebPushError):
        webpush.decrypt(body, receiver_of(vector), single_record=single_record)


def test_example_body_is_produced_octet_by_octet() -> None:
    """Section 5: the example's keys and salt give the example's body."""
    body = webpush.encrypt(
        EXAMPLE["plaintext_utf8"].encode(),
        KEYS,
        salt=base64url_decode(EXAMPLE["salt"]),
        sender=SENDER,
    )
    assert base64url_encode(body) == EXAMPLE["body"]
    assert base64url_encode(body[: webpush.HEADER_OCTETS]) == EXAMPLE["header"]


def test_intermediate_values_are_those_of_appendix_a() -> None:
    """Appendix A: keying material, content key and nonce."""
    ikm = webpush.agree(KEYS, SENDER)
    key, nonce = content_encoding.derive(ikm, base64url_decode(EXAMPLE["salt"]))
    assert [base64url_encode(value) for value in (ikm, key, nonce)] == [
        EXAMPLE["ikm"],
        EXAMPLE["cek"],
        EXAMPLE["nonce"],
    ]


def test_public_keys_are_those_of_appendix_a() -> None:
    """Appendix A: the uncompressed points that belong to the private keys."""
    assert base64url_encode(SENDER.public) == EXAMPLE["as_public"]
    assert base64url_encode(RECEIVER.public) == EXAMPLE["ua_public"]


def test_each_message_of_a_batch_has_its_own_sender_key() -> None:
    """Section 3.1: when sending, the application server generates a new key pair."""
    bodies = webpush.encrypt_batch(b"hi", [KEYS] * 5, bytes(range(80)))
    assert len({content_encoding.parse_header(body).key_id for body in bodies}) == 5


def test_sender_key_is_the_whole_key_id_in_uncompressed_form() -> None:
    """Section 4: a push message MUST include the sender's public key, 65 octets, as key id."""
    (body,) = webpush.encrypt_batch(b"hi", [KEYS], SALT)
    key_id = content_encoding.parse_header(body).key_id
    assert len(key_id) == 65
    assert key_id[0] == 4


@pytest.mark.parametrize("octets", [0, 1, 3992, 3993])
def test_message_is_a_single_record(octets: int) -> None:
    """Section 4: an application server MUST encrypt a push message with a single record."""
    body = webpush.encrypt(bytes(octets), KEYS, salt=SALT, sender=SENDER)
    header = content_encoding.parse_header(body)
    assert len(body) - header.octets == octets + 17 <= header.record_size


@pytest.mark.parametrize("pad_to", [0, 3993])
def test_record_size_is_greater_than_plaintext_delimiter_padding_and_tag(pad_to: int) -> None:
    """Section 4: rs MUST be greater than the sum of all of them."""
    body = webpush.encrypt(bytes(100), KEYS, salt=SALT, sender=SENDER, pad_to=pad_to)
    assert content_encoding.parse_header(body).record_size > max(100, pad_to) + 1 + 16


def test_largest_plaintext_makes_a_body_of_4096_octets() -> None:
    """Section 4: 3993 octets of plaintext fit what every push service takes."""
    assert webpush.MAX_PLAINTEXT_OCTETS == 3993
    assert len(webpush.encrypt(bytes(3993), KEYS, salt=SALT, sender=SENDER)) == 4096


def test_longer_plaintext_is_refused_and_the_excess_named() -> None:
    """Section 4: one octet more is refused, and the error says how many to cut."""
    with pytest.raises(PlaintextTooLongError, match=r"4000 octets, 7 more than the 3993") as caught:
        webpush.encrypt(bytes(4000), KEYS, salt=SALT, sender=SENDER)
    assert caught.value.excess == 7


def test_batch_error_names_the_row_of_the_long_plaintext() -> None:
    """Whoever sends a batch learns which message does not fit."""
    with pytest.raises(PlaintextTooLongError) as caught:
        webpush.encrypt_batch([b"", bytes(3994)], [KEYS] * 2, bytes(range(32)))
    assert (caught.value.index, caught.value.excess) == (1, 1)


@pytest.mark.parametrize("delimiter", [0, 1, 3])
def test_delimiter_other_than_2_is_discarded(delimiter: int) -> None:
    """Section 4: the padding delimiter MUST be checked; other values MUST be discarded."""
    ikm = webpush.agree(KEYS, SENDER)
    header = content_encoding.build_header(SALT, 4096, SENDER.public)
    key, nonce = content_encoding.derive(ikm, SALT)
    record = AESGCM(key).encrypt(nonce, bytes((delimiter,)), None)
    with pytest.raises(WebPushError, match="delimiter"):
        webpush.decrypt(header + record, RECEIVER, single_record=False)


def test_strict_receiver_refuses_several_records() -> None:
    """Section 4: a simulator holds the sender to the single record."""
    ikm = webpush.agree(KEYS, SENDER)
    body = content_encoding.encrypt(bytes(50), ikm, salt=SALT, record_size=40, key_id=SENDER.public)
    assert webpush.decrypt(body, RECEIVER, single_record=False) == bytes(50)
    with pytest.raises(WebPushError, match="single record"):
        webpush.decrypt(body, RECEIVER)


def test_strict_receiver_refuses_a_record_size_equal_to_the_record() -> None:
    """Section 4: rs MUST be greater than the record, not equal."""
    ikm = webpush.agree(KEYS, SENDER)
    body = content_encoding.encrypt(bytes(23), ikm, salt=SALT, record_size=40, key_id=SENDER.public)
    with pytest.raises(WebPushError, match="rs is 40, not greater"):
        webpush.decrypt(body, RECEIVER)


@pytest.mark.parametrize(
    "point",
    [
        b"\x04" + bytes(64),
        b"\x04" + b"\xff" * 64,
        bytes.fromhex("04") + SENDER.public[1:-1] + b"\0",
    ],
    ids=["zero", "above the prime", "off the curve"],
)
def test_sender_verifies_that_the_subscription_key_is_on_the_curve(point: bytes) -> None:
    """Section 7: the application MUST verify that the public key is on P-256."""
    with pytest.raises(WebPushError, match="p256dh is not a point on P-256"):
        SubscriptionKeys.parse(base64url_encode(point), EXAMPLE["auth_secret"])


def test_point_that_was_proven_is_kept() -> None:
    """Section 7 asks for the proof once: it costs a tenth of a message."""
    keys = SubscriptionKeys(RECEIVER.public, RECEIVER.auth)
    assert keys.point is not keys.point
    keys.prove()
    assert keys.point is keys.point


@pytest.mark.parametrize("count", [1, 99, 100, 101, 250])
def test_batch_of_any_length_is_read_by_its_receivers(count: int) -> None:
    """Each message of a batch has its own keys, salt and text, wherever the steps are cut."""
    others = [ReceiverKey.generate(row.to_bytes(16, "big")) for row in range(count)]
    salts = b"".join(row.to_bytes(16, "little") for row in range(count))
    texts = [f"message {row}".encode() for row in range(count)]
    bodies = webpush.encrypt_batch(texts, [other.subscription for other in others], salts)
    assert [webpush.decrypt(*pair) for pair in zip(bodies, others, strict=True)] == texts
    assert b"".join(body[:16] for body in bodies) == salts


def test_row_at_fault_is_told_far_into_a_batch() -> None:
    """The index is the batch's, not that of the step."""
    keys = [KEYS] * 130 + [SubscriptionKeys(b"\x04" + bytes(64), bytes(16))]
    with pytest.raises(WebPushError, match="not a point") as caught:
        webpush.encrypt_batch(b"", keys, bytes(16 * 131))
    assert caught.value.index == 130


def test_receiver_verifies_that_the_sender_key_is_on_the_curve() -> None:
    """Section 7: the user agent MUST verify that the public key is on P-256."""
    body = bytearray(webpush.encrypt(b"x", KEYS, salt=SALT, sender=SENDER))
    body[85] ^= 1
    with pytest.raises(WebPushError, match="the key id is not a point on P-256"):
        webpush.decrypt(bytes(body), RECEIVER)


@pytest.mark.parametrize("octets", [0, 15, 17])
def test_authentication_secret_has_16_octets(octets: int) -> None:
    """Section 3.2: the authentication secret is a sequence of 16 octets."""
    with pytest.raises(WebPushError, match=f"auth has {octets} octets; it needs 16"):
        SubscriptionKeys.parse(EXAMPLE["ua_public"], base64url_encode(bytes(octets)))
    with pytest.raises(WebPushError, match=f"auth has {octets} octets; it needs 16"):
        ReceiverKey.generate(bytes(octets))


@pytest.mark.parametrize("octets", [0, 64, 66])
def test_public_key_has_65_octets(octets: int) -> None:
    """Section 3.3: public keys are in uncompressed form."""
    point = (SENDER.public + b"\0")[:octets]
    with pytest.raises(WebPushError, match=f"p256dh has {octets} octets"):
        SubscriptionKeys.parse(base64url_encode(point), EXAMPLE["auth_secret"])


def test_compressed_public_key_is_refused() -> None:
    """Section 3.3: the compressed form is another form."""
    with pytest.raises(WebPushError, match="starts with 0x04"):
        SubscriptionKeys(b"\x02" + SENDER.public[1:], bytes(16))


@pytest.mark.parametrize("text", ["", "!", "B", "B\x00PP", "é", "\ud800"])
def test_key_that_is_not_base64_is_refused(text: str) -> None:
    """Any text at all gives our own error."""
    with pytest.raises(WebPushError):
        SubscriptionKeys.parse(text, EXAMPLE["auth_secret"])


def test_keys_are_read_from_every_base64_that_clients_send() -> None:
    """Base64url and base64, padded or not, as text or as octets."""
    raw, auth = RECEIVER.public, RECEIVER.auth
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for p256dh in (encode(raw), encode(raw).rstrip(b"=")):
            for keys in (
                SubscriptionKeys.parse(p256dh, encode(auth)),
                SubscriptionKeys.parse(p256dh.decode(), encode(auth).decode().rstrip("=")),
            ):
                assert (keys.p256dh, keys.auth) == (raw, auth)


def test_keys_are_read_from_columns() -> None:
    """Contiguous columns of 65 and 16 octets a row give one subscription a row."""
    others = [ReceiverKey.generate(bytes((row,)) * 16) for row in range(3)]
    keys = SubscriptionKeys.from_columns(
        b"".join(other.public for other in others), b"".join(other.auth for other in others)
    )
    bodies = webpush.encrypt_batch([b"0", b"1", b"2"], keys, bytes(range(48)))
    assert [webpush.decrypt(*pair) for pair in zip(bodies, others, strict=True)] == [
        b"0",
        b"1",
        b"2",
    ]


def test_batch_error_names_the_row_whose_point_is_not_on_the_curve() -> None:
    """A damaged row is told, so that the others can be sent without it."""
    keys = [KEYS, SubscriptionKeys(b"\x04" + bytes(64), bytes(16))]
    with pytest.raises(WebPushError, match="not a point") as fresh:
        webpush.encrypt_batch(b"", keys, bytes(range(32)))
    with pytest.raises(WebPushError, match="not a point") as remembered:
        webpush.encrypt_batch_kept(b"", keys, bytes(range(32)), sender=kept(), now=NOW)
    assert (fresh.value.index, remembered.value.index) == (1, 1)


def test_columns_of_different_lengths_are_refused() -> None:
    """A column that lost an octet is never read askew."""
    for p256dh, auth in ((RECEIVER.public, bytes(15)), (RECEIVER.public[:-1], bytes(16))):
        with pytest.raises(WebPushError, match="whole rows"):
            SubscriptionKeys.from_columns(p256dh, auth)
    with pytest.raises(WebPushError, match="16 octets of salt for 2 messages"):
        webpush.encrypt_batch(b"", [KEYS, KEYS], SALT)
    with pytest.raises(WebPushError, match="1 plaintexts for 2 subscriptions"):
        webpush.encrypt_batch([b""], [KEYS, KEYS], SALT + SALT)


def test_key_objects_show_no_secret() -> None:
    """What ends in a log by accident tells nothing."""
    shown = repr((KEYS, SENDER, RECEIVER))
    assert "private" not in shown
    assert repr(RECEIVER.auth) not in shown


@settings(max_examples=30)
@given(
    plaintext=st.binary(max_size=3993),
    pad_to=st.integers(0, 3993),
    salt=st.binary(min_size=16, max_size=16),
)
def test_what_is_encrypted_decrypts(plaintext: bytes, pad_to: int, salt: bytes) -> None:
    """Any plaintext makes the round trip, and padding decides the length."""
    body = webpush.encrypt(plaintext, KEYS, salt=salt, sender=SENDER, pad_to=pad_to)
    assert webpush.decrypt(body, RECEIVER) == plaintext
    assert len(body) == 103 + max(len(plaintext), pad_to)


@given(st.binary(max_size=200))
def test_garbage_is_refused_with_our_error(body: bytes) -> None:
    """Nothing but our own error comes out of a body that nobody encrypted."""
    with pytest.raises(WebPushError):
        webpush.decrypt(body, RECEIVER)


@pytest.mark.parametrize("pad_to", [-1, 3994])
def test_padding_out_of_range_is_refused(pad_to: int) -> None:
    """Padding never pushes a body over 4096 octets."""
    with pytest.raises(WebPushError, match="padding"):
        webpush.encrypt(b"", KEYS, salt=SALT, sender=SENDER, pad_to=pad_to)


def test_salt_of_another_length_is_refused() -> None:
    """RFC 8188 section 2.1: 16 octets."""
    with pytest.raises(WebPushError, match="salt"):
        webpush.encrypt(b"", KEYS, salt=SALT[1:], sender=SENDER)


def kept(capacity: int = 10) -> KeptSenderKey:
    """Make a kept sender key with an hour to live."""
    return KeptSenderKey(SENDER, made_at=NOW, lifetime=timedelta(hours=1), capacity=capacity)


def test_kept_key_gives_the_same_bodies_as_encrypting_one_by_one() -> None:
    """The remembered secret changes nothing on the wire."""
    sender = kept()
    salts = bytes(range(32))
    for _ in range(2):
        bodies = webpush.encrypt_batch_kept(b"hi", [KEYS] * 2, salts, sender=sender, now=NOW)
        assert bodies == [
            webpush.encrypt(b"hi", KEYS, salt=salt, sender=SENDER)
            for salt in (salts[:16], salts[16:])
        ]


def test_kept_key_is_refused_after_its_lifetime() -> None:
    """A stated lifetime is kept to the instant."""
    sender = kept()
    end = NOW + timedelta(hours=1)
    last = end - timedelta(microseconds=1)
    assert webpush.encrypt_batch_kept(b"", [KEYS], SALT, sender=sender, now=last)
    with pytest.raises(WebPushError, match="expired"):
        webpush.encrypt_batch_kept(b"", [KEYS], SALT, sender=sender, now=end)


def test_kept_key_refuses_a_repeated_salt() -> None:
    """RFC 8188 section 4.3: with reused keying material the salt MUST be unique each time."""
    with pytest.raises(WebPushError, match="same salt"):
        webpush.encrypt_batch_kept(b"", [KEYS] * 2, SALT * 2, sender=kept(), now=NOW)


def test_kept_key_remembers_no_more_than_its_capacity() -> None:
    """Memory is bounded; what was forgotten is agreed anew, to the same value."""
    sender = kept(capacity=2)
    others = [ReceiverKey.generate(bytes((row,)) * 16).subscription for row in range(3)]
    first = [sender.input_keying_material(keys) for keys in others]
    assert len(sender._agreed) == 2
    assert [sender.input_keying_material(keys) for keys in others] == first


def test_kept_key_needs_a_positive_lifetime() -> None:
    """A lifetime of nothing is a mistake in the settings."""
    with pytest.raises(WebPushError, match="positive lifetime"):
        KeptSenderKey(SENDER, made_at=NOW, lifetime=timedelta(0))
