import pytest

from millstream.cli._secrets import Secrets

KEY = "sk-12345678"


def masked(secrets, data, size):
    out = b"".join(secrets.feed(data[at : at + size]) for at in range(0, len(data), size))
    return out + secrets.close()


@pytest.mark.parametrize("size", [1, 2, 3, 10, 11, 12, 100])
def test_a_secret_is_masked_however_it_is_cut(size):
    secrets = Secrets()
    secrets.add(f"Bearer {KEY}")
    secrets.add("another/one")
    data = f"a {KEY}{KEY} sk-1234567 another/one another/on".encode()
    stars = "*" * len(KEY)
    assert masked(secrets, data, size).decode() == f"a {stars}{stars} sk-1234567 *********** another/on"


def test_nothing_is_held_back_without_secrets():
    assert Secrets().feed(b"abc") == b"abc"


def test_what_is_held_back_is_shorter_than_the_longest_secret():
    secrets = Secrets()
    secrets.add(KEY)
    assert secrets.feed(b"x" * 100) == b"x" * (100 - len(KEY) + 1)


def test_short_words_are_no_secrets():
    secrets = Secrets()
    secrets.add("Bearer")
    secrets.add("")
    assert secrets.hide("Bearer of news") == "Bearer of news"


def test_the_words_of_a_header_and_their_json_form_are_hidden():
    secrets = Secrets()
    secrets.add('session="quoted-secret"; other=1234567890')
    assert "secret" not in secrets.hide('x "quoted-secret" y')
    assert "secret" not in secrets.hide(r"x \"quoted-secret\" y")
    assert secrets.hide("1234567890") == "**********"


def test_a_longer_secret_goes_before_one_that_it_contains():
    secrets = Secrets()
    secrets.add(KEY)
    secrets.add(KEY + "-and-more")
    assert secrets.hide(KEY + "-and-more") == "*" * len(KEY + "-and-more")
