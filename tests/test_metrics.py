"""What operators watch: every call counted once, by what came of it; nobody's data.

Case 38 (the counter), 47 (a caller beyond the limit), and the promise that neither
metrics nor labels hold anything of a person.
"""

import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from contracts.compiled import Answer
from node import run
from node.domain import Role
from node.errors import ConfigInvalid, Denied, Refused
from node.identity import CertificateAuthority
from node.keys import AuthorityKeys, HouseKeys
from node.remote import channel
from node.run import Node
from node.wire.v1 import journal_pb2, journal_pb2_grpc
from protocols.entry import Entry, Kind
from tests.german import German
from tests.simulator import World


@pytest.fixture
def german(tmp_path: Path) -> Iterator[German]:
    """Make a town of its own, whose counters start at 0."""
    with World(tmp_path) as world:
        yield German(world, 6)


def shown(node: Node) -> tuple[dict[tuple[str, ...], float], str]:
    """Scrape a node: numbers by name and labels, and the text."""
    close = node.metrics.serve("127.0.0.1:19464")
    try:
        with urllib.request.urlopen("http://127.0.0.1:19464/metrics") as answer:
            text = answer.read().decode()
    finally:
        close()
    return {
        (
            sample.name,
            *(sample.labels[key] for key in sorted(sample.labels)),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }, text


def test_every_call_is_counted_by_what_came_of_it(german: German) -> None:
    """Permitted, denied by reason, another error; and the authority's own."""
    for subject in german.ids[:3]:
        german.grant(subject)
    with german.bank() as bank:
        for subject in german.ids[:2]:
            bank.score("german-card", subject, consent=f"c-{subject}")
        for _ in range(3):
            with pytest.raises(Denied):
                bank.score("german-card", german.ids[4], consent="c-unknown")
    house, _ = shown(german.world.house)
    calls = "safehouse_calls_total"
    assert house[calls, "Score", "ok"] == 2
    assert house[calls, "Score", "NO_CONSENT"] == 3
    assert house["safehouse_call_seconds_count", "Score"] == 5
    assert house[("safehouse_calls_in_progress",)] == 0
    entries = german.house.ledger.head.size
    assert house[("safehouse_journal_entries",)] == entries
    assert house[("safehouse_journal_commit_seconds_count",)] > 0
    assert house[("safehouse_jobs_open",)] == 0
    authority, _ = shown(german.world.authority)
    assert authority[calls, "Evaluate", "ok"] == 2


def test_no_person_no_bank_no_consent(german: German) -> None:
    """Identifiers, pseudonyms, consents, contracts and banks are in no label."""
    subject = german.ids[0]
    consent = german.grant(subject)
    with german.bank() as bank:
        call = bank.score("german-card", subject, consent=consent.consent_id).request
    for node in (german.world.house, german.world.authority):
        _, text = shown(node)
        for secret in (
            subject,
            consent.consent_id,
            german.refs[subject].hex(),
            call.hex(),
            "jnrcb",
            "german-card",
        ):
            assert secret not in text


def test_a_stranger_is_counted_and_leaves_no_entry(german: German) -> None:
    """Case 38: another CA's certificate, and another role's.

    The first never gets to a handler; the second is counted as refused; and the
    journal stays as it was.
    """
    world = german.world
    size = german.house.ledger.head.size
    request = journal_pb2.ReadEntriesRequest()
    tls = world.composed.keys["jnrcb"].tls
    with channel(world._addresses[Role.HOUSE], tls, world.domain, Role.HOUSE) as link:
        stub = journal_pb2_grpc.JournalServiceStub(link)
        with pytest.raises(grpc.RpcError):
            list(stub.ReadEntries(request, timeout=5))
    other = CertificateAuthority.create("other", 1_700_000_000_000)
    forged = other.issue(
        world.domain.name, Role.BANK, "jnrcb", ["localhost"], 1_700_000_000_000
    )
    with channel(
        world._addresses[Role.HOUSE], forged, world.domain, Role.HOUSE
    ) as link:
        stub = journal_pb2_grpc.JournalServiceStub(link)
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.ReadEntries(request, timeout=5))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    numbers, _ = shown(world.house)
    assert numbers["safehouse_calls_total", "ReadEntries", "RoleRefused"] == 1
    assert german.house.ledger.head.size == size


def test_a_bank_that_floods_does_not_starve_another(tmp_path: Path) -> None:
    """Case 47: what is beyond one bank's rate is turned away, and not journalled."""
    with World(tmp_path) as world:
        german = German(world, 6)
        subject = german.ids[0]
        german.grant(subject)
        world.stop(Role.HOUSE)
        config = world.config("house")
        slow = replace(config, limits=replace(config.limits, calls_per_second=10))
        node = run.open_house(slow, world.domain, world.keys("house", HouseKeys))
        node.server.start(slow.listen)
        before, refused = node.ledger.head.size, 0
        turned: list[str] = []
        with german.bank("lsbank") as flood, german.bank() as other:
            for _ in range(60):
                try:
                    flood.score("german-card", german.ids[4], consent="c-unknown")
                except Denied:
                    refused += 1
                except Refused as error:
                    turned.append(error.reason)
            told = other.score("german-card", subject, consent=f"c-{subject}")
            assert told.kind in set(Answer)
        assert set(turned) == {"RATE_LIMITED"}
        assert refused == 60 - len(turned) < 30
        entries = node.ledger.entries(before, node.ledger.head.size)
        kinds = [Entry.parse(data).kind for data in entries]
        assert kinds.count(Kind.CALL_DENY) == refused
        node.close()


def test_calls_beyond_the_limit_are_turned_away(tmp_path: Path) -> None:
    """Case 47: a flood is RESOURCE_EXHAUSTED at once; the others get their answers."""
    with World(tmp_path) as world:
        world.stop(Role.HOUSE)
        config = world.config("house")
        few = replace(config, limits=replace(config.limits, concurrency=2))
        node = run.open_house(few, world.domain, world.keys("house", HouseKeys))
        port = node.server.start(few.listen)
        assert few.listen.endswith(f":{port}")
        tls = world.composed.keys["jnrcb"].tls
        request = journal_pb2.GetCheckpointRequest()

        def ask(link: Any) -> str:  # noqa: ANN401  a channel
            stub = journal_pb2_grpc.JournalServiceStub(link)
            codes = []
            for _ in range(30):
                try:
                    stub.GetCheckpoint(request, timeout=10)
                    codes.append("OK")
                except grpc.RpcError as error:
                    codes.append(error.code().name)
            return " ".join(codes)

        with channel(few.listen, tls, world.domain, Role.HOUSE) as link:
            with ThreadPoolExecutor(16) as pool:
                codes = " ".join(pool.map(ask, [link] * 16)).split()
            assert set(codes) <= {"OK", "RESOURCE_EXHAUSTED"}
            assert {"OK", "RESOURCE_EXHAUSTED"} <= set(codes)
            stub = journal_pb2_grpc.JournalServiceStub(link)
            assert stub.GetCheckpoint(request, timeout=5).note  # and it still serves
        node.close()


def test_metrics_listen_only_where_they_are_asked_for(german: German) -> None:
    """Nothing listens by default, and a port that is taken is named."""
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen("http://127.0.0.1:19464/metrics", timeout=1)
    close = german.world.house.metrics.serve("127.0.0.1:19464")
    with pytest.raises(
        ConfigInvalid, match=r"cannot serve metrics on `127\.0\.0\.1:19464`"
    ):
        german.world.authority.metrics.serve("127.0.0.1:19464")
    close()


@pytest.mark.parametrize("on", [False, True])
def test_reflection_is_off_unless_it_is_switched_on(
    tmp_path: Path,
    on: bool,  # noqa: FBT001
) -> None:
    """On, a node names exactly the services that it serves."""
    with World(tmp_path) as world:
        world.stop(Role.AUTHORITY)
        config = replace(world.config("authority"), reflection=on)
        keys = world.keys("authority", AuthorityKeys)
        node = run.open_authority(config, world.domain, keys)
        node.server.start(config.listen)
        tls = world.composed.keys["jnrcb"].tls
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        with channel(config.listen, tls, world.domain, Role.AUTHORITY) as link:
            stub = reflection_pb2_grpc.ServerReflectionStub(link)
            try:
                (answer,) = stub.ServerReflectionInfo(iter([asked]), timeout=5)
                names = {item.name for item in answer.list_services_response.service}
            except grpc.RpcError as error:
                names = {error.code().name}
        node.close()
        if not on:
            assert names == {"UNIMPLEMENTED"}
            return
        assert "safehouse.v1.EvaluationService" in names
        assert "safehouse.v1.ScoringService" not in names
        world.start(Role.AUTHORITY)
