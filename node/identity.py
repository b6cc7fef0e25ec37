r"""Who is at the other end of a connection: X.509 with one SPIFFE id.

Certificates (RFC 5280, SPIFFE X509-SVID) are made off-line by the domain's CA,
P-256 with SHA-256::

    CA     CN = <domain> CA, CA:TRUE, pathlen 0, keyCertSign
    leaf   CN = <party id>, CA:FALSE, digitalSignature
           SAN = URI spiffe://<domain>/<role>/<party id>           all
                 DNS <role>.<domain>, DNS localhost, hosts         servers
           EKU = clientAuth                                        all
                 serverAuth                                        servers

The URI names the caller to a server.  `<role>.<domain>` names the server to its
callers: they ask for that name whatever the address, so neither a bank nor the
other server can pose as the house, although the same CA vouches for them.

A certificate only says who speaks on the channel.  What a party says is signed
again with its application key, because a certificate cannot be shown to an
auditor.

gRPC hands over `peer_spiffe_id` after it has verified the chain, and only if
the certificate has a single URI.  The certificate itself is read only to see whether
its party had it ended (`node.domain`).
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from node.domain import SERVERS, SPIFFE, Party, Role, TrustDomain
from node.errors import KeystoreInvalid, NotFound, PeerRefused

SPIFFE_KEY: Final = "peer_spiffe_id"  # grpc, include/grpc/grpc_security_constants.h
PEM_KEY: Final = "x509_pem_cert"  # the same
CA_LIFE: Final = timedelta(days=3650)
LEAF_LIFE: Final = timedelta(days=730)
BACKDATED: Final = timedelta(minutes=5)  # clocks of two parties differ


@dataclass(frozen=True, slots=True, repr=False)
class Tls:
    """A private key and its certificate, both PEM."""

    key_pem: bytes
    certificate_pem: bytes

    @classmethod
    def draw(cls) -> "Tls":
        """Draw a key, which has no certificate yet."""
        return _tls(ec.generate_private_key(ec.SECP256R1()), None)

    @property
    def public(self) -> bytes:
        """The public half, DER (RFC 5280, SubjectPublicKeyInfo)."""
        key = serialization.load_pem_private_key(self.key_pem, None)
        return _spki(key.public_key())


@dataclass(frozen=True, slots=True, repr=False)
class CertificateAuthority:
    """The domain's CA: its key and certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, domain: str, now_ms: int) -> "CertificateAuthority":
        """Make a CA for the trust domain of this name."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"{domain} CA")
        builder = _builder(name, key.public_key(), name, now_ms, CA_LIFE)
        builder = (
            builder.add_extension(x509.BasicConstraints(True, 0), critical=True)  # noqa: FBT003
            .add_extension(_usage(sign_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
                critical=False,
            )
        )
        return cls(key, builder.sign(key, hashes.SHA256()))

    @property
    def tls(self) -> Tls:
        """Key and certificate as PEM."""
        return _tls(self.key, self.certificate)

    @classmethod
    def of(cls, tls: Tls) -> "CertificateAuthority":
        """Read key and certificate from PEM."""
        key = serialization.load_pem_private_key(tls.key_pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise KeystoreInvalid("the CA key is not a P-256 key")
        return cls(key, x509.load_pem_x509_certificate(tls.certificate_pem))

    def issue(
        self, domain: str, role: Role, party: str, hosts: Iterable[str], now_ms: int
    ) -> Tls:
        """Make key and certificate of a party; `hosts` count for servers only."""
        names, uses = _names(domain, role, party, hosts)
        return self._issue_with(party, names, uses, now_ms)

    def renew(self, certificate_pem: bytes, public: bytes, now_ms: int) -> bytes:
        """Certify a key that its party drew, DER, for what an earlier one was for.

        Raises `KeystoreInvalid` for a certificate of another CA, and for a key that
        is none.
        """
        try:
            before = x509.load_pem_x509_certificate(certificate_pem)
            before.verify_directly_issued_by(self.certificate)
            key = serialization.load_der_public_key(public)
        except (ValueError, TypeError, InvalidSignature):
            raise KeystoreInvalid(
                "expected a certificate of this CA, and the new key for it"
            ) from None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(
            key.curve, ec.SECP256R1
        ):
            raise KeystoreInvalid("the new TLS key is not a P-256 key")
        found = before.extensions
        names = found.get_extension_for_class(x509.SubjectAlternativeName).value
        uses = found.get_extension_for_class(x509.ExtendedKeyUsage).value
        (name,) = before.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        made = self._certificate(str(name.value), list(names), list(uses), key, now_ms)
        return made.public_bytes(serialization.Encoding.PEM)

    def _issue_with(
        self,
        party: str,
        names: list[x509.GeneralName],
        uses: list[x509.ObjectIdentifier],
        now_ms: int,
    ) -> Tls:
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._certificate(party, names, uses, key.public_key(), now_ms)
        return _tls(key, made)

    def _certificate(
        self,
        party: str,
        names: list[x509.GeneralName],
        uses: list[x509.ObjectIdentifier],
        public: ec.EllipticCurvePublicKey,
        now_ms: int,
    ) -> x509.Certificate:
        issuer = self.certificate.subject
        builder = _builder(_name(party), public, issuer, now_ms, LEAF_LIFE)
        builder = (
            builder.add_extension(x509.BasicConstraints(False, None), critical=True)  # noqa: FBT003
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self.key.public_key()
                ),
                critical=False,
            )
        )
        return builder.sign(self.key, hashes.SHA256())


def server_name(domain: TrustDomain, role: Role) -> str:
    """Name the server that a client must find, whatever address it dials.

    Goes into the channel option `grpc.ssl_target_name_override`.
    """
    return f"{role}.{domain.name}"


def peer_from(
    auth_context: Mapping[str, Iterable[bytes]], domain: TrustDomain, now_ms: int
) -> Party:
    """Name the caller, with the keys it may sign with now; raises `PeerRefused`.

    1. The certificate carries exactly one SPIFFE id, well-formed.
    2. It is of this trust domain.
    3. The domain file knows the party, and in this role: a certificate outlives
       a party that was removed.
    4. It has not ended: a certificate outlives a key that was stolen, too.
    """
    # 1.
    ids = list(auth_context.get(SPIFFE_KEY, ()))
    if len(ids) != 1:
        raise PeerRefused(f"expected a certificate with one SPIFFE id, got {len(ids)}")
    match = SPIFFE.fullmatch(ids[0].decode("ascii", "replace"))
    if match is None:
        raise PeerRefused(
            "the SPIFFE id is malformed", "expected spiffe://<domain>/<role>/<id>"
        )
    name, role, party_id = match.groups()
    # 2.
    if name != domain.name:
        raise PeerRefused(
            f"expected a certificate of trust domain `{domain.name}`, got `{name}`"
        )
    # 3.
    try:
        party = domain.party(party_id)
    except NotFound as error:
        raise PeerRefused(str(error)) from None
    if party.role != role:
        raise PeerRefused(f"party `{party_id}` is a {party.role}, not a {role}")
    # 4.
    if party.certificates:
        pem = next(iter(auth_context.get(PEM_KEY, ())), b"")
        if dict(party.certificates).get(fingerprint(pem).hex(), now_ms + 1) <= now_ms:
            raise PeerRefused(f"a certificate of `{party_id}` that has ended")
    return party.speaking(now_ms)


def fingerprint(certificate_pem: bytes) -> bytes:
    """Name a certificate: SHA-256 of its DER."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except ValueError:
        raise PeerRefused("a certificate that cannot be read") from None
    return certificate.fingerprint(hashes.SHA256())


def spiffe_of(certificate_pem: bytes) -> str:
    """Return the one SPIFFE id of a certificate; raises `KeystoreInvalid`."""
    try:
        found = x509.load_pem_x509_certificate(certificate_pem).extensions
        names = found.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound):
        raise KeystoreInvalid("a certificate without one SPIFFE id") from None
    return uri


def certified_key(certificate_pem: bytes) -> bytes:
    """Return the public key that a certificate is for, DER."""
    try:
        return _spki(x509.load_pem_x509_certificate(certificate_pem).public_key())
    except ValueError:
        raise KeystoreInvalid("a certificate that cannot be read") from None


def _builder(
    subject: x509.Name,
    public: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    now_ms: int,
    life: timedelta,
) -> x509.CertificateBuilder:
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _names(
    domain: str, role: Role, party: str, hosts: Iterable[str]
) -> tuple[list[x509.GeneralName], list[x509.ObjectIdentifier]]:
    """Say what a certificate names, and what it is for."""
    names: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(f"spiffe://{domain}/{role}/{party}")
    ]
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if role in SERVERS:
        wanted = dict.fromkeys((f"{role}.{domain}", "localhost", *hosts))
        names += map(_host, wanted)
        uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
    return names, uses


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _tls(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate | None) -> Tls:
    return Tls(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate.public_bytes(serialization.Encoding.PEM) if certificate else b"",
    )
