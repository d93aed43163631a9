from __future__ import annotations

import pytest

from prm_runtime.serve.access_token import Token, given_token, new_token
from prm_runtime.serve.address import Address, listen, parse_address
from prm_runtime.sinks import SinkError


@pytest.mark.parametrize(
    ("text", "host", "port", "is_loopback"),
    [
        ("8080", "127.0.0.1", 8080, True),
        (":8080", "127.0.0.1", 8080, True),
        ("localhost:0", "localhost", 0, True),
        ("127.8.9.10:80", "127.8.9.10", 80, True),
        ("[::1]:8080", "::1", 8080, True),
        ("0.0.0.0:8080", "0.0.0.0", 8080, False),
        ("[::]:8080", "::", 8080, False),
        ("robot.local:8080", "robot.local", 8080, False),
    ],
)
def test_addresses_are_read_and_loopback_is_known(text: str, host: str, port: int, is_loopback: bool) -> None:
    address = parse_address(text)
    assert address == Address(host, port)
    assert address.is_loopback is is_loopback


@pytest.mark.parametrize(
    "text", ["", "host", "host:", "host:x", "host:65536", "::1:80", "host:-1", "host:8 0"]
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SinkError, match=r"expected HOST:PORT or PORT, such as 127\.0\.0\.1:8080"):
        parse_address(text)


def test_a_taken_port_and_an_unknown_host_are_one_clear_line() -> None:
    with (
        listen(Address("127.0.0.1", 0)) as taken,
        pytest.raises(SinkError, match=r"address already in use.*choose another"),
    ):
        listen(Address("127.0.0.1", taken.getsockname()[1]))
    with pytest.raises(SinkError, match="cannot listen there"):
        listen(Address("no-such-host.invalid", 8080))


def test_urls_can_be_typed_into_a_browser() -> None:
    assert Address("::1", 80).url == "http://[::1]:80/"
    assert Address("127.0.0.1", 8080).url == "http://127.0.0.1:8080/"
    assert "0.0.0.0" not in Address("0.0.0.0", 8080).url


def test_the_token_comes_from_the_environment_or_is_made_and_shown_to_a_person() -> None:
    everywhere, here = Address("0.0.0.0", 1), Address("127.0.0.1", 1)
    assert given_token({}) is None
    assert given_token({"PRM_SERVE_TOKEN": "0123456789abcdef"}) == "0123456789abcdef"
    assert new_token(here, can_be_shown=True) is None
    made = {new_token(everywhere, can_be_shown=True) for _ in range(3)}
    assert len(made) == 3
    assert all(token and len(token) >= 32 for token in made)
    with pytest.raises(SinkError, match="set PRM_SERVE_TOKEN"):
        new_token(everywhere, can_be_shown=False)


@pytest.mark.parametrize("secret", ["short", "with spaces in it.....", "ümläuts-are-no-header"])
def test_unusable_tokens_are_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(SinkError) as error:
        given_token({"PRM_SERVE_TOKEN": secret})
    assert secret not in str(error.value)


def test_a_token_shows_itself_to_nobody() -> None:
    token = Token("correct-horse-battery")
    assert token.matches("correct-horse-battery")
    assert not token.matches("correct-horse-batterx")
    assert not token.matches("ü")
    assert "horse" not in f"{token!r}{token}{token.cookie}"
    assert token.matches_cookie(token.cookie)
    assert not token.matches(token.cookie)
