"""RFC 8188, Encrypted Content-Encoding for HTTP: each MUST and each published vector."""

import hmac
import json
from pathlib import Path
from typing import TypedDict

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from clarion.wire import content_encoding as coding
from clarion.wire.content_encoding import ContentEncodingError
from clarion.wire.jose import base64url_decode, base64url_encode


class Vector(TypedDict, total=False):
    """The members that these tests read; `expect` is always there."""

    id: str
    kind: str
    expect: str
    ikm: str
    keyid: str
    record_size: int
    salt: str
    cek: str
    nonce_base: str
    plaintext_utf8: str
    body: str
    body_octets: int


VECTORS: list[Vector] = [
    vector
    for vector in json.loads(Path(__file__).with_name("vectors.json").read_text())["vectors"]
    if vector["kind"] == "aes128gcm-raw-key"
]
GOOD = [vector for vector in VECTORS if vector["expect"] == "ok"]
BAD = [vector for vector in VECTORS if vector["expect"] == "reject"]
PRINTED = [vector for vector in GOOD if vector["id"].startswith("rfc8188")]
SALT = bytes(range(16))
IKM = b"0123456789abcdef"


def name(vector: Vector) -> str:
    """Name a parametrised case after its vector."""
    return vector["id"]


def seal(*records: bytes, size: int = 32) -> bytes:
    """Encrypt hand-made padded records, so that a test can break the rules of padding."""
    key, nonce = coding.derive(IKM, SALT)
    base = int.from_bytes(nonce, "big")
    body = coding.build_header(SALT, size, b"")
    for sequence, record in enumerate(records):
        body += AESGCM(key).encrypt((base ^ sequence).to_bytes(12, "big"), record, None)
    return body


def test_every_vector_is_used() -> None:
    """The positive and negative vectors are all there."""
    assert (len(GOOD), len(BAD)) == (3, 8)


@pytest.mark.parametrize("vector", GOOD, ids=name)
def test_published_body_decrypts(vector: Vector) -> None:
    """A published body decrypts to its published plaintext."""
    body = base64url_decode(vector["body"])
    assert len(body) == vector["body_octets"]
    plaintext = coding.decrypt(body, base64url_decode(vector["ikm"]))
    assert plaintext == vector["plaintext_utf8"].encode()


@pytest.mark.parametrize("vector", BAD, ids=name)
def test_published_bad_body_is_refused(vector: Vector) -> None:
    """A published bad body is refused, never partly decrypted."""
    with pytest.raises(ContentEncodingError):
        coding.decrypt(base64url_decode(vector["body"]), base64url_decode(vector["ikm"]))


@pytest.mark.parametrize("vector", PRINTED, ids=name)
def test_keys_are_derived_as_printed(vector: Vector) -> None:
    """Sections 2.2 and 2.3: the content key and base nonce are those of the examples."""
    key, nonce = coding.derive(base64url_decode(vector["ikm"]), base64url_decode(vector["salt"]))
    assert base64url_encode(key) == vector["cek"]
    assert base64url_encode(nonce) == vector["nonce_base"]


def test_single_record_example_is_produced_octet_by_octet() -> None:
    """Section 3.1: the encoder makes the body of the example."""
    vector = PRINTED[0]
    body = coding.encrypt(
        vector["plaintext_utf8"].encode(),
        base64url_decode(vector["ikm"]),
        salt=base64url_decode(vector["salt"]),
    )
    assert base64url_encode(body) == vector["body"]


def test_two_record_example_is_produced_octet_by_octet() -> None:
    """Section 3.2: 25-octet records, one octet of padding in the first, key id `a1`."""
    vector = PRINTED[1]
    body = coding.encrypt(
        vector["plaintext_utf8"].encode(),
        base64url_decode(vector["ikm"]),
        salt=base64url_decode(vector["salt"]),
        record_size=vector["record_size"],
        key_id=vector["keyid"].encode(),
        padding=1,
    )
    assert base64url_encode(body) == vector["body"]


def test_key_is_found_by_key_id() -> None:
    """Section 2.1: the receiver identifies the keying material by the header's key id."""
    keys = {b"first": b"x" * 16, b"second": IKM}
    body = coding.encrypt(b"hello", IKM, salt=SALT, key_id=b"second")
    assert coding.decrypt(body, keys.__getitem__) == b"hello"


@pytest.mark.parametrize("size", [0, 1, 17])
def test_record_size_below_18_is_invalid_for_the_receiver(size: int) -> None:
    """Section 2.1: values of rs smaller than 18 are invalid."""
    body = SALT + size.to_bytes(4, "big") + b"\x00" + bytes(64)
    with pytest.raises(ContentEncodingError, match=f"record size {size} is below 18"):
        coding.decrypt(body, IKM)


@pytest.mark.parametrize("size", [-1, 0, 17, 2**32])
def test_record_size_out_of_range_is_refused_by_the_sender(size: int) -> None:
    """Section 2.1: rs is an unsigned 32-bit integer of at least 18."""
    with pytest.raises(ContentEncodingError, match="record size"):
        coding.encrypt(b"x", IKM, salt=SALT, record_size=size)


def test_smallest_record_size_carries_one_octet_per_record() -> None:
    """Section 2.1: 18 is valid."""
    body = coding.encrypt(b"abc", IKM, salt=SALT, record_size=18)
    assert len(body) == 21 + 3 * 18
    assert coding.decrypt(body, IKM) == b"abc"


@pytest.mark.parametrize("octets", [0, 15, 17])
def test_salt_has_16_octets(octets: int) -> None:
    """Section 2.1: the salt comprises the first 16 octets."""
    with pytest.raises(ContentEncodingError, match="salt"):
        coding.encrypt(b"x", IKM, salt=bytes(octets))


def test_key_id_longer_than_255_octets_does_not_fit() -> None:
    """Section 2.1: idlen is one octet."""
    assert coding.parse_header(coding.build_header(SALT, 18, b"k" * 255)).key_id == b"k" * 255
    with pytest.raises(ContentEncodingError, match="256 octets"):
        coding.build_header(SALT, 18, b"k" * 256)


def test_another_salt_gives_another_key() -> None:
    """Section 4.3: a unique salt keeps content keys apart though the keying material is reused."""
    assert coding.derive(IKM, SALT) != coding.derive(IKM, SALT[::-1])


@pytest.mark.parametrize("cut", [0, 5, 20])
def test_body_shorter_than_its_header_is_refused(cut: int) -> None:
    """Section 2.1: the header has at least 21 octets."""
    with pytest.raises(ContentEncodingError, match="fewer than its header"):
        coding.decrypt(coding.encrypt(b"x", IKM, salt=SALT)[:cut], IKM)


def test_body_that_ends_inside_the_key_id_is_refused() -> None:
    """Section 2.1: idlen octets of key id follow."""
    body = coding.encrypt(b"x", IKM, salt=SALT, key_id=b"abcdef")
    with pytest.raises(ContentEncodingError, match="inside its key id"):
        coding.decrypt(body[:24], IKM)


def test_record_without_room_for_delimiter_and_tag_is_refused() -> None:
    """Section 2: valid records contain at least a delimiter and a 16-octet tag."""
    body = coding.encrypt(b"", IKM, salt=SALT)
    with pytest.raises(ContentEncodingError, match="16 octets; the least is 17"):
        coding.decrypt(body[:-1], IKM)


def test_record_of_zeros_only_must_fail() -> None:
    """Section 2: a decrypter MUST fail if the record contains no non-zero octet."""
    with pytest.raises(ContentEncodingError, match="only zeros"):
        coding.decrypt(seal(bytes(8)), IKM)


@pytest.mark.parametrize("delimiter", [1, 3, 255])
def test_last_record_with_another_delimiter_than_2_must_fail(delimiter: int) -> None:
    """Section 2: a decrypter MUST fail if the last record's delimiter is not 2."""
    with pytest.raises(ContentEncodingError, match=f"delimiter {delimiter} where 2"):
        coding.decrypt(seal(b"hi" + bytes((delimiter,)) + bytes(3)), IKM)


@pytest.mark.parametrize("delimiter", [2, 3, 255])
def test_earlier_record_with_another_delimiter_than_1_must_fail(delimiter: int) -> None:
    """Section 2: a decrypter MUST fail if any other record's delimiter is not 1."""
    first = b"x" * 15 + bytes((delimiter,))
    with pytest.raises(ContentEncodingError, match=f"delimiter {delimiter} where 1"):
        coding.decrypt(seal(first, b"y\x02"), IKM)


def test_padding_is_the_last_non_zero_octet_and_the_zeros_after_it() -> None:
    """Section 2: zeros and delimiters inside the content are content."""
    assert coding.decrypt(seal(b"\x00\x02\x01\x00\x02\x00\x00"), IKM) == b"\x00\x02\x01\x00"


def test_all_records_but_the_last_have_exactly_the_record_size() -> None:
    """Section 2: the coding uses a fixed record size; the final record can be smaller."""
    body = coding.encrypt(bytes(100), IKM, salt=SALT, record_size=33)
    assert (len(body) - 21) % 33 == (100 % 16) + 17


def test_last_record_may_fill_the_record_size() -> None:
    """Section 2: content that ends on a record boundary needs no empty record after it."""
    body = coding.encrypt(bytes(15), IKM, salt=SALT, record_size=32)
    assert len(body) == 21 + 32
    assert coding.decrypt(body, IKM) == bytes(15)


def test_truncation_at_a_record_boundary_must_be_noticed() -> None:
    """Section 4.2: a partially delivered message MUST NOT be processed as complete."""
    body = coding.encrypt(bytes(40), IKM, salt=SALT, record_size=32)
    for records in (0, 1, 2):
        with pytest.raises(ContentEncodingError):
            coding.decrypt(body[: 21 + 32 * records], IKM)


def test_records_in_another_order_must_fail() -> None:
    """Section 2.3: the sequence number in the nonce prevents removal and reordering."""
    body = coding.encrypt(bytes(40), IKM, salt=SALT, record_size=32)
    first, second, rest = body[21:53], body[53:85], body[85:]
    for records in (second + first + rest, second + rest, first + first + rest):
        with pytest.raises(ContentEncodingError, match="not authentic"):
            coding.decrypt(body[:21] + records, IKM)


@given(
    plaintext=st.binary(max_size=300),
    record_size=st.integers(18, 90),
    padding=st.integers(0, 120),
    key_id=st.binary(max_size=255),
)
def test_what_is_encrypted_decrypts(
    plaintext: bytes, record_size: int, padding: int, key_id: bytes
) -> None:
    """Any plaintext, record size, padding and key id make the round trip."""
    body = coding.encrypt(
        plaintext, IKM, salt=SALT, record_size=record_size, padding=padding, key_id=key_id
    )
    assert coding.parse_header(body).key_id == key_id
    assert coding.decrypt(body, IKM) == plaintext
    room = record_size - 17
    assert len(body) >= 21 + len(key_id) + len(plaintext) + padding + 17
    assert -(-(len(body) - 21 - len(key_id)) // record_size) >= -(-len(plaintext) // room)


@given(st.data())
def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    """Changing one bit after the key id is always noticed."""
    body = bytearray(coding.encrypt(b"some content", IKM, salt=SALT, record_size=25))
    at = data.draw(st.integers(21, len(body) - 1))
    body[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ContentEncodingError):
        coding.decrypt(bytes(body), IKM)


@given(st.binary(max_size=200))
def test_garbage_is_refused_with_our_error(body: bytes) -> None:
    """Nothing but our own error comes out of a body that nobody encrypted."""
    with pytest.raises(ContentEncodingError):
        coding.decrypt(body, IKM)


def test_negative_padding_is_refused() -> None:
    """Padding is a number of octets."""
    with pytest.raises(ContentEncodingError, match="padding"):
        coding.encrypt(b"", IKM, salt=SALT, padding=-1)


@given(key=st.binary(max_size=130), message=st.binary(max_size=200))
def test_hmac_is_the_standard_librarys(key: bytes, message: bytes) -> None:
    """RFC 2104: our faster spelling gives the same octets."""
    assert coding.hmac_sha256(key, message) == hmac.digest(key, message, "sha256")
