"""Ids: what is one, and whose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.errors import InvalidEventId, UsageError
from millstream.relay import new_stream_id
from millstream.relay._ids import NO_KEY, check_event_id, event_id, parse_event_id, stream_key

NUMBERS = st.integers(0, 10**20 - 1)
SECRETS = st.binary(min_size=16, max_size=64)


@given(SECRETS, NUMBERS, NUMBERS)
def test_an_id_leads_back_to_its_place(secret: bytes, epoch: int, seq: int) -> None:
    text = event_id(secret, epoch, seq)
    assert parse_event_id(text)[:2] == (epoch, seq)
    check_event_id(secret, text, parse_event_id(text)[2])
    assert not {"\r", "\n", "\0"} & set(text)


@given(SECRETS, SECRETS, NUMBERS, NUMBERS, NUMBERS)
def test_an_id_is_worth_nothing_elsewhere(secret: bytes, other: bytes, epoch: int, seq: int, seq2: int) -> None:
    text = event_id(secret, epoch, seq)
    mac = parse_event_id(text)[2]
    if other != secret:
        with pytest.raises(InvalidEventId):
            check_event_id(other, text, mac)
    if seq2 != seq:
        with pytest.raises(InvalidEventId):
            check_event_id(secret, f"{epoch}.{seq2}.{mac}", mac)


@given(st.text(max_size=60))
def test_any_text_is_an_id_or_refused(text: str) -> None:
    try:
        epoch, seq, mac = parse_event_id(text)
    except InvalidEventId:
        pass
    else:
        assert text.isascii()
        assert len(mac) == 24
        assert epoch >= 0
        assert seq >= 0


@given(st.text(max_size=140), st.text(max_size=20))
def test_a_key_is_safe_in_a_hash_tag_and_of_one_owner(stream_id: str, owner: str) -> None:
    key = stream_key(stream_id, owner.encode("utf-8", "replace").decode())
    if key is not None:
        assert not set(key) & set("{} \r\n\0")
        assert key != NO_KEY
        assert key.rpartition("/")[2] == stream_id


@pytest.mark.parametrize("owner", ["\ud800", "ann\udfff", None, 7, b"ann"], ids=ascii)
def test_an_owner_that_is_no_text_is_refused_with_its_reason(owner: object) -> None:
    with pytest.raises(UsageError, match="owner must be a string without lone surrogates"):
        stream_key("s", owner)  # type: ignore[arg-type]


@pytest.mark.parametrize("owner", ["", "ann", "\n", "\u2028", "\N{GRINNING FACE}", "é", "\x00"], ids=ascii)
def test_any_text_may_be_an_owner(owner: str) -> None:
    assert stream_key("s", owner)


def test_owners_get_different_keys() -> None:
    assert len({stream_key("s", owner) for owner in ("", "a", "b", "A", "a/", "s")}) == 6


def test_new_stream_ids_are_random_and_valid() -> None:
    ids = {new_stream_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(stream_id) for stream_id in ids} == {22}
    assert all(stream_key(stream_id, "") for stream_id in ids)
