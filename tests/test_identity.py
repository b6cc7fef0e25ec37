"""Who is at the other end: real certificates over a real channel.

Cases 38 and 39; the counter in the metrics and the empty journal are tested
where those live.
"""

from collections.abc import Iterator
from concurrent import futures
from datetime import UTC, datetime

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from node import clock
from node.domain import Role, TrustDomain
from node.errors import PeerRefused
from node.identity import CertificateAuthority, Tls, peer_from, server_name
from node.initialise import Composed, Plan, compose

NOW = clock.now_ms()
PLAN = Plan("rencheng", key_bits=2048)
METHOD = "/probe/Who"
CLIENT = [ExtendedKeyUsageOID.CLIENT_AUTH]


@pytest.fixture(scope="module")
def composed() -> Composed:
    """One trust domain in memory."""
    return compose(PLAN, NOW)


class Probe:
    """A server that answers with the id of its caller."""

    def __init__(self, tls: Tls, domain: TrustDomain) -> None:
        def who(_: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                return peer_from(context.auth_context(), domain, NOW).id.encode()
            except PeerRefused as error:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))

        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        handler = grpc.unary_unary_rpc_method_handler(who)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("probe", {"Who": handler}),)
        )
        credentials = grpc.ssl_server_credentials(
            [(tls.key_pem, tls.certificate_pem)],
            domain.ca_pem,
            require_client_auth=True,
        )
        self.port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self._server.start()

    def stop(self) -> None:
        """Stop at once."""
        self._server.stop(0).wait()

    def ask(self, domain: TrustDomain, tls: Tls | None, role: Role = Role.HOUSE) -> str:
        """Call with the certificate `tls`, expecting a server of `role`."""
        credentials = grpc.ssl_channel_credentials(
            domain.ca_pem,
            tls.key_pem if tls else None,
            tls.certificate_pem if tls else None,
        )
        name = server_name(domain, role)
        options = [("grpc.ssl_target_name_override", name), ("grpc.enable_retries", 0)]
        address = f"127.0.0.1:{self.port}"
        with grpc.secure_channel(address, credentials, options) as channel:
            return channel.unary_unary(METHOD)(b"", timeout=5).decode()


@pytest.fixture(scope="module")
def house(composed: Composed) -> Iterator[Probe]:
    """Serve with the house's certificate."""
    probe = Probe(composed.keys["house"].tls, composed.domain)
    yield probe
    probe.stop()


def _code(caught: pytest.ExceptionInfo[grpc.RpcError]) -> grpc.StatusCode:
    return caught.value.code()


def test_every_party_is_named(composed: Composed, house: Probe) -> None:
    """Over mTLS, each party's own certificate names it."""
    for party in composed.domain.parties:
        tls = composed.keys[party.id].tls
        assert house.ask(composed.domain, tls) == party.id


def test_no_certificate_is_refused(composed: Composed, house: Probe) -> None:
    """Case 38: without a certificate there is no channel."""
    with pytest.raises(grpc.RpcError) as caught:
        house.ask(composed.domain, None)
    assert _code(caught) is grpc.StatusCode.UNAVAILABLE


def test_plaintext_is_refused(house: Probe) -> None:
    """Case 38: without TLS there is no channel."""
    address = f"127.0.0.1:{house.port}"
    with (
        grpc.insecure_channel(address, [("grpc.enable_retries", 0)]) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.unary_unary(METHOD)(b"", timeout=5)
    assert _code(caught) is grpc.StatusCode.UNAVAILABLE


def test_an_expired_certificate_is_refused(composed: Composed, house: Probe) -> None:
    """Case 38: three years old is too old."""
    then = NOW - 3 * 365 * clock.DAY_MS
    tls = composed.ca.issue("rencheng", Role.BANK, "jnrcb", [], then)
    with pytest.raises(grpc.RpcError) as caught:
        house.ask(composed.domain, tls)
    assert _code(caught) is grpc.StatusCode.UNAVAILABLE


def test_a_certificate_of_a_foreign_ca_is_refused(
    composed: Composed, house: Probe
) -> None:
    """Case 38: the right name from the wrong CA is nobody."""
    foreign = CertificateAuthority.create("rencheng", NOW)
    tls = foreign.issue("rencheng", Role.BANK, "jnrcb", [], NOW)
    with pytest.raises(grpc.RpcError) as caught:
        house.ask(composed.domain, tls)
    assert _code(caught) is grpc.StatusCode.UNAVAILABLE


def test_a_leaf_issues_nothing(composed: Composed, house: Probe) -> None:
    """A bank that signs a certificate with its own leaf key is refused."""
    bank = CertificateAuthority.of(composed.keys["jnrcb"].tls)
    forged = bank.issue("rencheng", Role.REGISTRAR, "registrar", [], NOW)
    chain = Tls(
        forged.key_pem,
        forged.certificate_pem + composed.keys["jnrcb"].tls.certificate_pem,
    )
    with pytest.raises(grpc.RpcError) as caught:
        house.ask(composed.domain, chain)
    assert _code(caught) is grpc.StatusCode.UNAVAILABLE


BANK_ID = "spiffe://rencheng/bank/jnrcb"


@pytest.mark.parametrize(
    "uris",
    [
        pytest.param([BANK_ID, "spiffe://rencheng/bank/lsbank"], id="two_ids"),
        pytest.param([BANK_ID, BANK_ID], id="one_id_twice"),
        pytest.param([BANK_ID, "https://example.org"], id="an_id_and_a_url"),
        pytest.param([], id="no_id"),
        pytest.param(["https://rencheng/bank/jnrcb"], id="not_spiffe"),
        pytest.param(["spiffe://laicheng/bank/jnrcb"], id="other_domain"),
        pytest.param(["spiffe://rencheng/registrar/jnrcb"], id="other_role"),
        pytest.param(["spiffe://rencheng/bank/nobody"], id="unknown_party"),
        pytest.param(["spiffe://rencheng/bank/jnrcb/x"], id="longer_path"),
        pytest.param(["spiffe://rencheng/bank/jnrcb/"], id="trailing_slash"),
        pytest.param(["spiffe://rencheng/bank"], id="short_path"),
        pytest.param(["spiffe://rencheng/bank//jnrcb"], id="empty_segment"),
        pytest.param(["spiffe://rencheng/bank/JNRCB"], id="upper_case"),
        pytest.param(["SPIFFE://rencheng/bank/jnrcb"], id="upper_case_scheme"),
        pytest.param(["spiffe://rencheng:1/bank/jnrcb"], id="a_port"),
        pytest.param(["spiffe://u@rencheng/bank/jnrcb"], id="a_user"),
    ],
)
def test_a_doubtful_name_is_unauthenticated(
    uris: list[str], composed: Composed, house: Probe
) -> None:
    """Case 39: the domain's own CA vouches, and still the caller is nobody."""
    names: list[x509.GeneralName] = [x509.DNSName("jnrcb")]
    names += [x509.UniformResourceIdentifier(uri) for uri in uris]
    tls = composed.ca._issue_with("jnrcb", names, CLIENT, NOW)
    with pytest.raises(grpc.RpcError) as caught:
        house.ask(composed.domain, tls)
    assert _code(caught) is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({}, "expected a certificate with one SPIFFE id, got 0"),
        ({"peer_spiffe_id": []}, "got 0"),
        ({"peer_spiffe_id": [BANK_ID.encode()] * 2}, "got 2"),
        ({"x509_common_name": [b"jnrcb"]}, "got 0"),
        ({"peer_spiffe_id": [b""]}, "malformed"),
        ({"peer_spiffe_id": [b"\xff" + BANK_ID.encode()]}, "malformed"),
        ({"peer_spiffe_id": [BANK_ID.encode() + b"\n"]}, "malformed"),
        (
            {"peer_spiffe_id": [b"spiffe://laicheng/bank/jnrcb"]},
            "expected a certificate of trust domain `rencheng`, got `laicheng`",
        ),
        (
            {"peer_spiffe_id": [b"spiffe://rencheng/house/jnrcb"]},
            "party `jnrcb` is a bank, not a house",
        ),
        ({"peer_spiffe_id": [b"spiffe://rencheng/bank/x"]}, "no party `x`"),
    ],
)
def test_peer_from_says_why(
    context: dict[str, list[bytes]], message: str, composed: Composed
) -> None:
    """Each refusal names its reason, once."""
    with pytest.raises(PeerRefused, match=message):
        peer_from(context, composed.domain, NOW)


def test_a_party_that_was_removed_is_refused(composed: Composed) -> None:
    """A certificate outlives its party; the domain file decides."""
    left = tuple(p for p in composed.domain.parties if p.id != "jnrcb")
    domain = TrustDomain(
        "rencheng", 2, NOW, composed.domain.ca_pem, composed.domain.paillier, left
    )
    with pytest.raises(PeerRefused, match="no party `jnrcb`"):
        peer_from({"peer_spiffe_id": [BANK_ID.encode()]}, domain, NOW)


@pytest.mark.parametrize("poser", ["authority", "jnrcb"])
def test_nobody_poses_as_the_house(poser: str, composed: Composed) -> None:
    """A caller that looks for the house does not talk to anybody else."""
    probe = Probe(composed.keys[poser].tls, composed.domain)
    try:
        with pytest.raises(grpc.RpcError) as caught:
            probe.ask(composed.domain, composed.keys["lsbank"].tls, Role.HOUSE)
    finally:
        probe.stop()
    assert _code(caught) is grpc.StatusCode.UNAVAILABLE


def test_certificates_are_what_the_docstring_says(composed: Composed) -> None:
    """Names, uses, path length and validity, field by field."""
    ca = composed.ca.certificate
    basic = ca.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (basic.ca, basic.path_length) == (True, 0)
    now = datetime.fromtimestamp(NOW // 1000, UTC)
    for party, uses, names in (
        ("jnrcb", CLIENT, []),
        (
            "house",
            [*CLIENT, ExtendedKeyUsageOID.SERVER_AUTH],
            ["house.rencheng", "localhost"],
        ),
    ):
        leaf = x509.load_pem_x509_certificate(composed.keys[party].tls.certificate_pem)
        leaf.verify_directly_issued_by(ca)
        extensions = leaf.extensions
        san = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert san.get_values_for_type(x509.UniformResourceIdentifier) == [
            composed.domain.spiffe_id(composed.domain.party(party))
        ]
        assert san.get_values_for_type(x509.DNSName) == names
        used = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(used) == uses
        assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert leaf.not_valid_before_utc < now < leaf.not_valid_after_utc


def test_hosts_of_a_server_are_in_its_certificate() -> None:
    """An address or a name where the server listens; each once."""
    ca = CertificateAuthority.create("rencheng", NOW)
    hosts = ["127.0.0.1", "::1", "localhost", "house.example.org"]
    tls = ca.issue("rencheng", Role.HOUSE, "house", hosts, NOW)
    leaf = x509.load_pem_x509_certificate(tls.certificate_pem)
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.DNSName) == [
        "house.rencheng",
        "localhost",
        "house.example.org",
    ]
    assert [str(ip) for ip in san.get_values_for_type(x509.IPAddress)] == hosts[:2]


def test_secrets_have_no_repr(composed: Composed) -> None:
    """Neither a key pair nor a CA shows what it holds."""
    tls = composed.keys["house"].tls
    assert "PRIVATE" not in repr(tls)
    assert "object at" in repr(tls)
    assert "object at" in repr(composed.ca)
