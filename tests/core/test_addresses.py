"""Which addresses may be called, in every spelling, and whose call it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.addresses import (
    SETTING,
    check_endpoint_url,
    client_address,
    client_group,
    may_connect,
    may_dial,
    networks,
    normalise,
)
from relay.errors import Unprocessable

NOTHING = networks([])
LOOPBACK = networks(["127.0.0.0/8", "::1/128"])

GLOBAL = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2001:200::1",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
]

FORBIDDEN = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.0",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::10.0.0.1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "8000::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]

NO_LITERALS = [
    "",
    "localhost",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "017700000001",
    "127.0.0.01",
    "8.8.8.8/32",
    "[::1]",
    "1.1.1.1\0",
]


@pytest.mark.parametrize("address", GLOBAL)
def test_a_global_address_may_be_called(address):
    """The neighbours of every forbidden range stay open."""
    assert may_connect(address, NOTHING)


@pytest.mark.parametrize("address", FORBIDDEN + NO_LITERALS)
def test_no_special_address_may_be_called(address):
    """Nothing special, nor any IPv6 form that carries IPv4, nor what is not a plain literal."""
    assert not may_connect(address, NOTHING)


@pytest.mark.parametrize(
    ("address", "allowed", "passes"),
    [
        ("10.1.2.3", "10.1.0.0/16", True),
        ("10.2.2.3", "10.1.0.0/16", False),
        ("::ffff:10.1.2.3", "10.1.0.0/16", True),
        ("10.1.2.3", "::ffff:0:0/96", False),
        ("::1", "::1", True),
        ("fd00::5", "fd00::/8", True),
        ("64:ff9b::8.8.8.8", "64:ff9b::/96", True),
        ("64:ff9b::169.254.169.254", "64:ff9b::/96", False),
        ("64:ff9b:1::10.0.0.1", "64:ff9b:1::/48", False),
        ("2002:7f00:1::1", "127.0.0.0/8", False),
        ("2002:7f00:1::1", "2002::/16", False),
        ("2001:0:7f00:1::", "2001::/32", False),
        ("::127.0.0.1", "::/96", False),
    ],
)
def test_an_allowed_range_opens_itself_and_not_what_its_addresses_carry(address, allowed, passes):
    """A gateway's range may be allowed; the IPv4 address behind it is still judged."""
    assert may_connect(address, networks([allowed])) is passes


@pytest.mark.parametrize(
    ("address", "port", "encrypted", "passes"),
    [
        ("8.8.8.8", 443, True, True),
        ("8.8.8.8", 8443, True, True),
        ("8.8.8.8", 80, False, False),
        ("8.8.8.8", 6379, True, False),
        ("127.0.0.1", 80, False, True),
        ("127.0.0.1", 6379, False, True),
        ("10.0.0.1", 443, True, False),
        ("name.example", 443, True, False),
    ],
)
def test_a_socket_outside_the_allowed_ranges_needs_tls_and_a_port_of_http(address, port, encrypted, passes):
    """The last look before the connect knows address, port and scheme."""
    assert may_dial(address, port, encrypted=encrypted, allow=LOOPBACK) is passes


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://example.com/hook?a=1&b=2", "https://example.com/hook?a=1&b=2"),
        ("HtTpS://EXAMPLE.com", "https://example.com/"),
        ("https://example.com.:8443/x", "https://example.com:8443/x"),
        ("https://my_service.internal/", "https://my_service.internal/"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://example。com/", "https://example.com/"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://[2606:4700:0:0::1111]:8443/", "https://[2606:4700::1111]:8443/"),
        ("https://billing/", "https://billing/"),
        ("https://0x7f.example/", "https://0x7f.example/"),
    ],
)
def test_a_good_url_is_returned_in_canonical_form(url, canonical):
    """What is stored is what will be dialled."""
    assert check_endpoint_url(url, allow=NOTHING) == canonical


LISTING_HELPS = [
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://api.localhost/",
    "https://10.0.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.100.100.200/",
    "https://0.0.0.0/",
    "https://[::]/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[fec0::1]/",
    "https://[fe80::1]/",
    "https://[fd00:ec2::254]/",
    "https://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
    "https://①②⑦.0.0.1/",
    "https://127。0。0。1/",
    "http://example.com/",
    "http://8.8.8.8/",
    "HTTP://127.0.0.1/",
    "https://example.com:22/",
    "https://example.com:25/",
    "https://example.com:3306/",
    "https://example.com:5432/",
    "https://example.com:6379/",
    "https://example.com:11211/",
]

NOTHING_HELPS = [
    "https://0x7f.1/",
    "https://0x7f000001/",
    "https://2130706433/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://0/",
    "https://1.2.3.4.5/",
    "https://256.1.1.1/",
    "https://0x/",
    "https://[fe80::1%25eth0]/",
    "https://[::1/",
    "https://::1/",
    "https://[::1]x/",
    "https://x[2606:4700::1]/",
    "https://[v1.a]/",
    "https://[127.0.0.1]/",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com\\@127.0.0.1/",
    "https://127.0.0.1%2eexample.com/",
    "https://127%2e0%2e0%2e1/",
    "https://example.com/#here",
    "https://example.com/#",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:-1/",
    "https://example.com:٨٠/",
    "https://example.com:http/",
    "https://exa mple.com/",
    "https://exam\tple.com/",
    "https://example.com/\r\nX: 1",
    "https://example.com/\u200b",
    "https://example..com/",
    "https://.example.com/",
    "https://-example.com/",
    "https://exa$mple.com/",
    "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 130 + "com/",
    "https://xn--\u00fc.example/",
    "https://example.com/" + "a" * 2_048,
    "https:///path",
    "https://",
    "https:example.com",
    "//example.com/",
    "example.com",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "",
]


@pytest.mark.parametrize("url", LISTING_HELPS)
def test_a_refusal_that_a_setting_could_lift_names_the_setting(url):
    """The reader learns the reason and the way out."""
    with pytest.raises(Unprocessable, match=SETTING) as refused:
        check_endpoint_url(url, allow=NOTHING)
    assert refused.value.pointer == "/url"


@pytest.mark.parametrize("url", NOTHING_HELPS)
def test_a_url_that_readers_could_read_differently_is_refused(url):
    """Odd spellings, smuggled hosts and malformed parts have no setting."""
    with pytest.raises(Unprocessable) as refused:
        check_endpoint_url(url, allow=networks(["0.0.0.0/0", "::/0"]))
    assert SETTING not in refused.value.detail


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/hook",
        "http://[::1]:8000/hook",
        "http://localhost:8000/hook",
        "https://127.0.0.1:6379/",
        "http://billing:8080/",
        "http://[::ffff:127.0.0.1]/",
    ],
)
def test_an_allowed_range_opens_http_and_odd_ports(url):
    """A name over http passes here, and is judged by its addresses when it is dialled."""
    assert check_endpoint_url(url, allow=LOOPBACK)


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "https://10.0.0.1/", "http://8.8.8.8/", "http://billing:6379/"])
def test_an_allowed_range_opens_nothing_else(url):
    """Listing loopback says nothing of other ranges."""
    with pytest.raises(Unprocessable, match=SETTING):
        check_endpoint_url(url, allow=LOOPBACK)


def test_the_pointer_is_the_callers():
    """Another field may hold the URL."""
    with pytest.raises(Unprocessable) as refused:
        check_endpoint_url("", allow=NOTHING, pointer="/notify_url")
    assert refused.value.pointer == "/notify_url"


@given(st.text(max_size=80), st.sampled_from(["", "https://", "http://", "https://[", "https://127."]))
def test_any_text_is_judged(tail, head):
    """The check returns or refuses, whatever it is given, and agrees with itself on what it returned."""
    try:
        canonical = check_endpoint_url(head + tail, allow=LOOPBACK)
    except Unprocessable:
        return
    assert check_endpoint_url(canonical, allow=LOOPBACK) == canonical


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("1.2.3.4", "1.2.3.4"),
        (" 1.2.3.4 ", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("::FFFF:0102:0304", "1.2.3.4"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("fe80::1%\nforged line", "fe80::1"),
    ],
)
def test_an_address_has_one_spelling(address, expected):
    """Mapped IPv4 is IPv4, and a zone, which may hold anything, is dropped."""
    assert normalise(address) == expected


@pytest.mark.parametrize("address", ["", "unknown", "1.2.3", "1.2.3.4:80"])
def test_what_is_no_address_is_not_normalised(address):
    """The caller decides what that means."""
    with pytest.raises(ValueError, match="not an IP address"):
        normalise(address)


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_callers_are_counted_by_what_one_host_owns(address, group):
    """An IPv6 host may use any address of its /64."""
    assert client_group(address) == group


@pytest.mark.parametrize(
    ("remote", "forwarded", "hops", "expected"),
    [
        ("9.9.9.9", [], 0, "9.9.9.9"),
        ("9.9.9.9", ["1.1.1.1"], 0, "9.9.9.9"),
        ("10.0.0.1", ["9.9.9.9"], 1, "9.9.9.9"),
        ("10.0.0.1", ["1.1.1.1, 9.9.9.9"], 1, "9.9.9.9"),
        ("10.0.0.1", ["1.1.1.1", "9.9.9.9"], 1, "9.9.9.9"),
        ("10.0.0.1", ["1.1.1.1, 2.2.2.2", "9.9.9.9, 10.0.0.2"], 2, "9.9.9.9"),
        ("10.0.0.1", ["1.1.1.1,,", "9.9.9.9"], 1, "9.9.9.9"),
        ("10.0.0.1", ["9.9.9.9"], 2, "10.0.0.1"),
        ("10.0.0.1", [], 1, "10.0.0.1"),
        ("10.0.0.1", [""], 1, "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, unknown"], 1, "10.0.0.1"),
        ("10.0.0.1", ["::ffff:9.9.9.9"], 1, "9.9.9.9"),
        ("::ffff:9.9.9.9", [], 0, "9.9.9.9"),
        ("10.0.0.1", ["9.9.9.9:50123"], 1, "9.9.9.9"),
        ("10.0.0.1", ["[2001:db8::1]:443"], 1, "2001:db8::1"),
        ("10.0.0.1", ["2001:db8::1"], 1, "2001:db8::1"),
        ("", ["9.9.9.9"], 1, "9.9.9.9"),
        ("", [], 0, ""),
        ("9.9.9.9", ["1.1.1.1"], -1, "9.9.9.9"),
    ],
)
def test_only_our_own_proxies_say_who_calls(remote, forwarded, hops, expected):
    """The entry `hops` from the right counts; whatever a caller writes in front of it does not."""
    assert client_address(remote, forwarded, hops) == expected


@given(st.lists(st.text(max_size=40), max_size=4), st.integers(0, 4))
def test_a_callers_claim_never_reaches_the_answer(claims, hops):
    """Whatever a caller sends in front, one trusted entry for each hop decides."""
    trusted = [f"9.9.9.{hop}" for hop in range(hops)]
    expected = trusted[0] if hops else "10.0.0.1"
    assert client_address("10.0.0.1", [*claims, *trusted], hops) == expected


@pytest.mark.parametrize("cidr", ["10.0.0.1/8", "10.0.0.0/33", "private"])
def test_a_range_that_is_none_is_refused_by_name(cidr):
    """Settings report it."""
    with pytest.raises(ValueError, match=cidr.partition("/")[0]):
        networks([cidr])
