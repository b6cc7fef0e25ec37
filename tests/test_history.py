"""A subject's own history: all of it, nobody else's, free, and journalled (case 19)."""

from collections import Counter
from collections.abc import Iterator

import pytest

from contracts.errors import SubjectInvalid
from contracts.subject import SubjectType
from node.domain import Role
from node.errors import Denied, Refused
from node.historian import Historian, Line
from node.history import Histories
from node.keys import RegistrarKeys
from node.remote import channel, listen
from node.wire.v1 import history_pb2, history_pb2_grpc
from protocols.entry import Entry, Kind
from tests.crowds import Crowd, crowded
from tests.german import German

KIND = SubjectType.OPAQUE


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Run a town that scores people one by one and by lists."""
    with crowded(tmp_path_factory.mktemp("history"), 40) as made:
        yield made


def historian(german: German) -> Historian:
    """Open the registrar's side."""
    world = german.world
    config, keys = world.config("registrar"), world.keys("registrar", RegistrarKeys)
    return Historian(config, keys, world.domain)


def read(german: German, subject: str) -> list[Line]:
    """Read a subject's history."""
    with historian(german) as counter:
        return counter.read(KIND, subject)


def told(lines: list[Line]) -> Counter[tuple[str, str, str, str, str]]:
    """Leave out times and numbers."""
    return Counter((x.node, x.kind, x.party, x.decision, x.reason) for x in lines)


def test_calls_consents_denials_and_jobs(crowd: Crowd) -> None:
    """Each entry that names the subject, in words, from both journals."""
    german = crowd.german
    (subject, other) = crowd.people(2)
    ((_, consent), _) = crowd.pairs([subject, other])
    before = told(read(german, subject))
    with german.bank() as bank:
        call = bank.score("german-card", subject, consent=consent).request
        with pytest.raises(Denied):
            bank.score("german-card", subject, consent=consent, purpose="post-loan")
        assert bank.flush() == 0
    with crowd.bank("lsbank") as bank:
        job = bank.submit("german-card", crowd.pairs([subject, other]))
        bank.fetch(job)
    lines = read(german, subject)
    found = told(lines) - before
    assert found == Counter(
        {
            ("house", "call", "jnrcb", "permitted", ""): 1,
            ("house", "call", "", "answered", ""): 1,
            ("authority", "call", "jnrcb", "permitted", ""): 1,
            ("house", "call", "jnrcb", "denied", "PURPOSE_MISMATCH"): 1,
            ("house", "job", "lsbank", "permitted", ""): 1,
            ("authority", "job", "lsbank", "permitted", ""): 1,
        }
    )
    of_call = [line for line in lines if line.call == call.hex()]
    assert {line.decision for line in of_call} == {"permitted", "answered"}
    assert {line.contract for line in lines if line.party} <= {"german-card", ""}
    assert {line.consent for line in lines if line.kind == "job"} == {consent}
    assert sum(line.kind == "consent" for line in lines) == 2  # at both nodes
    assert [line.time_ms for line in lines] == sorted(line.time_ms for line in lines)


def test_nobody_elses(crowd: Crowd) -> None:
    """Whoever was not asked about has a consent, and nothing more."""
    (subject,) = crowd.people(1)
    assert {line.kind for line in read(crowd.german, subject)} == {"consent"}


def test_it_costs_nothing_and_is_journalled(crowd: Crowd) -> None:
    """No use, no bit; an entry of its own at both nodes, by the registrar."""
    german = crowd.german
    (subject,) = crowd.people(1)

    def entries(role: Role) -> list[Entry]:
        ledger = getattr(german, role.value).ledger
        return [Entry.parse(d) for d in ledger.entries(0, ledger.head.size)]

    sizes = {role: len(entries(role)) for role in (Role.HOUSE, Role.AUTHORITY)}
    read(german, subject)
    for role, size in sizes.items():
        (new,) = entries(role)[size:]
        assert (new.kind, new.actor) == (Kind.LOG_READ, "registrar")
        assert new.body["what"] == "history"


@pytest.mark.parametrize("party", ["jnrcb", "credit-bureau", "auditor-a", "house"])
def test_registrars_only(crowd: Crowd, party: str) -> None:
    """No bank learns from it who else asked, nor a custodian, nor the other node."""
    german = crowd.german
    world = german.world
    ref = german.refs[german.ids[0]]
    for role in (Role.HOUSE, Role.AUTHORITY):
        tls = world.composed.keys[party].tls
        with channel(world._addresses[role], tls, world.domain, role) as link:
            stub = history_pb2_grpc.HistoryServiceStub(link)
            request = history_pb2.ReadHistoryRequest(subject_ref=ref)
            with pytest.raises(Refused, match="may not call this method"):
                list(listen(stub.ReadHistory, request, 5))


def test_an_identifier_that_is_none(crowd: Crowd) -> None:
    """Is refused before anybody is asked."""
    with historian(crowd.german) as counter, pytest.raises(SubjectInvalid):
        counter.read(SubjectType.CN_USCC, "91370811MA3ABCDE1X")


def test_somebody_unknown(crowd: Crowd) -> None:
    """Has no history; that he has none is journalled too."""
    histories = Histories(crowd.german.house.ledger, crowd.german.house.registry)
    found, index = histories.read(bytes(32), "registrar")
    assert found == []
    assert index == crowd.german.house.ledger.head.size - 1
