"""Own which network addresses we may call, and which one is calling us."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit, urlunsplit

import idna

from relay.errors import Unprocessable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SETTING = "RELAY_ENDPOINT_ALLOW_CIDRS"
URL_CAP = 2_048

# Where no stranger's endpoint can live. Our own table, because `ipaddress.is_private` and `is_global` change between
# Python releases and miss several of these. Source: the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890),
# the multicast registries, and the metadata services of the large clouds that lie outside the link-local range.
_FORBIDDEN: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(cidr), kind)
    for cidr, kind in (
        ("0.0.0.0/8", "an unspecified"),
        ("10.0.0.0/8", "a private"),
        ("100.64.0.0/10", "a carrier-grade NAT"),
        ("127.0.0.0/8", "a loopback"),
        ("168.63.129.16/32", "a cloud metadata"),
        ("169.254.0.0/16", "a link-local or cloud metadata"),
        ("172.16.0.0/12", "a private"),
        ("192.0.0.0/24", "a protocol assignment"),
        ("192.0.2.0/24", "a documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "a private"),
        ("198.18.0.0/15", "a benchmark"),
        ("198.51.100.0/24", "a documentation"),
        ("203.0.113.0/24", "a documentation"),
        ("224.0.0.0/4", "a multicast"),
        ("255.255.255.255/32", "a broadcast"),
        ("240.0.0.0/4", "a reserved"),
        ("::/128", "an unspecified"),
        ("::1/128", "a loopback"),
        ("::/96", "an IPv4-compatible"),
        ("::ffff:0:0/96", "an IPv4-mapped"),
        ("64:ff9b::/96", "a NAT64"),
        ("64:ff9b:1::/48", "a NAT64"),
        ("100::/64", "a discard-only"),
        ("2001::/32", "a Teredo"),
        ("2001:2::/48", "a benchmark"),
        ("2001::/23", "a protocol assignment"),
        ("2001:db8::/32", "a documentation"),
        ("2002::/16", "a 6to4"),
        ("3fff::/20", "a documentation"),
        ("fc00::/7", "a private"),
        ("fe80::/10", "a link-local"),
        ("fec0::/10", "a site-local"),
        ("ff00::/8", "a multicast"),
        # Only 2000::/3 is handed out for global unicast (RFC 4291): what follows is the rest of the space.
        ("::/3", "a reserved"),
        ("4000::/2", "a reserved"),
        ("8000::/1", "a reserved"),
    )
)
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = IPv6Network("::/96")

# Ports on which something other than HTTP listens, so that a POST could be read as commands.
# Source: "bad ports" of the Fetch standard, and the usual databases, caches, brokers and control sockets.
_OTHER_PROTOCOL_PORTS = frozenset(
    {
        *(1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104),
        *(109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 445, 465, 512, 513, 514),
        *(515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049),
        *(3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
        *(1433, 1521, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 4369, 5432, 5671, 5672, 5900, 6379, 6380, 6432, 9042),
        *(9092, 11211, 26379, 27017),
    }
)

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::[0-9]*)?")


def networks(cidrs: Iterable[str]) -> tuple[Network, ...]:
    """Read CIDR texts or single addresses; the first that is neither raises ValueError naming it."""
    return tuple(ip_network(cidr.strip()) for cidr in cidrs)


def may_connect(address: str, allow: Sequence[Network]) -> bool:
    """Tell whether a literal address is globally routable or lies in an allowed network.

    An IPv4 address carried inside an IPv6 one is judged too: a gateway may
    unpack it. What is no plain literal is refused.
    """
    ip = _parse(address)
    return ip is not None and _why_forbidden(ip, allow) is None


def may_dial(address: str, port: int, *, encrypted: bool, allow: Sequence[Network]) -> bool:
    """Tell whether a socket may be opened: outside the allowed networks only with TLS, and to no port of another protocol."""
    ip = _parse(address)
    if ip is None or _why_forbidden(ip, allow) is not None:
        return False
    return _is_listed(ip, allow) or (encrypted and port not in _OTHER_PROTOCOL_PORTS)


def normalise(address: str) -> str:
    """Return the canonical text; IPv4 mapped into IPv6 becomes IPv4, a zone is dropped. Raises ValueError on anything else."""
    ip = _parse(address)
    if ip is None:
        raise ValueError("not an IP address")
    return str(ip)


def client_group(address: str) -> str:
    """Return what a caller is counted by: an IPv4 address itself, of IPv6 the /64, since one host owns at least that."""
    ip = _parse(address)
    if isinstance(ip, IPv6Address):
        return str(IPv6Network((int(ip) >> 64 << 64, 64)))
    return address if ip is None else str(ip)


def client_address(remote_addr: str, x_forwarded_for: Sequence[str], hops: int) -> str:
    """Return the caller's address behind `hops` proxies of ours, or "" when there is none (a Unix socket).

    Each trusted proxy appends the peer it saw, so the entry `hops` from the
    right was written by the outermost of them; what stands further left is
    the caller's own claim. `x_forwarded_for` holds every such header in
    order. Fewer entries than hops, or no address in that place, means that
    the request did not come that way: then the peer itself counts.
    """
    entries = ",".join(x_forwarded_for).split(",") if x_forwarded_for else []
    forwarded = _parse(_without_port(entries[-hops])) if 0 < hops <= len(entries) else None
    ip = forwarded or _parse(remote_addr)
    return "" if ip is None else str(ip)


def check_endpoint_url(url: str, *, allow: Sequence[Network], pointer: str = "/url") -> str:
    """Return the URL with scheme and host in canonical form, or raise Unprocessable with the reason and the way out.

    Pure, so a name is not resolved here: whoever connects must judge the
    addresses again (`may_dial`), above all for plain http.
    """
    try:
        parts, host = _split(url)
        _check_host(host, allow)
        _check_scheme(parts.scheme, host, allow)
        _check_port(parts.port, host, allow)
    except _Refused as refused:
        raise Unprocessable(refused.reason, pointer=pointer) from None
    port = "" if parts.port is None else f":{parts.port}"
    return urlunsplit((parts.scheme, f"{host.text}{port}", parts.path or "/", parts.query, ""))


class _Refused(Exception):
    """Carries the reason up to the one place that knows the field."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Host:
    """A URL's host; `ip` is set when it is a literal, `text` is how it stands in the URL."""

    text: str
    ip: Address | None = None


# The same few proxies and providers call again and again, and parsing their address costs more than their signature.
@lru_cache(maxsize=1024)
def _parse(text: str) -> Address | None:
    try:
        ip = ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(ip, IPv4Address):
        return ip
    # The zone goes: it names an interface of one machine, and it may hold any character.
    return ip.ipv4_mapped or IPv6Address(int(ip))


def _why_forbidden(ip: Address, allow: Sequence[Network]) -> str | None:
    for part in (ip, *_carried(ip)):
        if _is_listed(part, allow):
            continue
        for network, kind in _FORBIDDEN:
            if part in network:
                return kind
    return None


def _is_listed(ip: Address, allow: Sequence[Network]) -> bool:
    return any(ip in network for network in allow)


def _carried(ip: Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that a gateway could unpack; NAT64 in its /96 layout (RFC 6052)."""
    if isinstance(ip, IPv4Address):
        return
    # Two of that range are the unspecified and the loopback address, and carry nothing.
    is_compatible = ip in _COMPATIBLE and int(ip) > 1
    if is_compatible or any(ip in network for network in _NAT64):
        yield IPv4Address(int(ip) & 0xFFFF_FFFF)
    if ip.sixtofour is not None:
        yield ip.sixtofour
    if ip.teredo is not None:
        yield from ip.teredo


def _without_port(entry: str) -> str:
    """Some gateways write `address:port` or `[address]:port`."""
    entry = entry.strip()
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def _split(url: str) -> tuple[SplitResult, _Host]:
    # urlsplit drops tabs and newlines silently, and readers differ on a backslash: refuse both before it looks.
    if len(url) > URL_CAP:
        raise _Refused(f"the URL is longer than {URL_CAP} characters")
    if not url.isprintable() or " " in url or "\\" in url:
        raise _Refused("the URL holds a space, a backslash or an invisible character")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _Refused("the URL cannot be read; ports go from 1 to 65535") from None
    if "@" in parts.netloc:
        raise _Refused("the URL holds a user name or password; deliveries are signed instead")
    if "#" in url:
        raise _Refused("the URL holds a fragment, which is never sent")
    if not parts.hostname:
        raise _Refused("the URL names no host; write https://host/path")
    return parts, _host(parts.hostname, parts.netloc)


def _host(hostname: str, netloc: str) -> _Host:
    if "[" in netloc:
        return _literal_v6(netloc)
    # The root dot names the same host, and one host must not be two to whoever compares URLs.
    name = _ascii(hostname).removesuffix(".")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return _literal_v4(name)
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise _Refused("the host is not a valid name")
    return _Host(name)


def _literal_v6(netloc: str) -> _Host:
    bracketed = _BRACKETED.fullmatch(netloc)
    try:
        ip = IPv6Address(bracketed[1] if bracketed else "")
    except ValueError:
        raise _Refused("the host is not a valid IPv6 address") from None
    if ip.scope_id is not None:
        raise _Refused("the host names a network interface")
    return _Host(f"[{ip}]", ip.ipv4_mapped or ip)


def _literal_v4(text: str) -> _Host:
    """A host that ends in a number is an address (as the URL standard has it), and resolvers read its odd forms differently."""
    try:
        return _Host(text, IPv4Address(text))
    except ValueError:
        raise _Refused("the host is an address in an unusual form; write four decimal numbers") from None


def _ascii(hostname: str) -> str:
    if hostname.isascii():
        return hostname.lower()
    try:
        return idna.encode(hostname, uts46=True).decode().lower()
    except UnicodeError:  # idna.IDNAError is one
        raise _Refused("the host is not a valid international name") from None


def _check_host(host: _Host, allow: Sequence[Network]) -> None:
    # Resolvers answer these names with loopback, whatever the DNS says (RFC 6761).
    ip = host.ip or (IPv4Address("127.0.0.1") if host.text == "localhost" or host.text.endswith(".localhost") else None)
    kind = None if ip is None else _why_forbidden(ip, allow)
    if kind is not None:
        raise _Refused(f"{host.text} is {kind} address; to allow it, list its range in {SETTING}")


def _check_scheme(scheme: str, host: _Host, allow: Sequence[Network]) -> None:
    if scheme == "https":
        return
    if scheme != "http":
        raise _Refused("the URL must begin with https://")
    if not (allow if host.ip is None else _is_listed(host.ip, allow)):
        raise _Refused(f"the URL must begin with https://; http is for ranges listed in {SETTING}")


def _check_port(port: int | None, host: _Host, allow: Sequence[Network]) -> None:
    if port == 0:
        raise _Refused("ports go from 1 to 65535")
    if port in _OTHER_PROTOCOL_PORTS and not (host.ip is not None and _is_listed(host.ip, allow)):
        raise _Refused(f"port {port} belongs to another protocol; it is allowed only on an address listed in {SETTING}")
