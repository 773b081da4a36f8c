"""What can happen to the broker and its topics: restarts, topics made anew, retention, broken batches, transactions."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from kafka import KafkaAdminClient, TopicPartition

from daemon.incidents.incident import Incident
from daemon.store import gaps, incidents
from deploy.kafka.local import LocalKafka
from tests.conftest import BREAKS_A_BROKER, Broker
from tests.faults import workload
from tests.faults.model import HOUR
from tests.faults.scenario import Scenario, scenario
from tests.faults.segments import batches, break_checksum
from tests.faults.workload import FIRST, LABELS
from tests.support.daemon import wait_until


@BREAKS_A_BROKER
def test_the_broker_is_killed_and_restarted_while_the_daemon_runs(own_broker: LocalKafka, tmp_path: Path) -> None:
    with scenario(small(21), tmp_path, own_broker.bootstrap) as run:
        first, second, third, *rest = run.workload.slices(4)
        run.feed(iter([first, second]))
        own_broker.kill()
        own_broker.start()
        run.produce(third)
        wait_until(run.is_read, "the daemon goes on after the broker's death", run.daemon)
        own_broker.restart()
        run.kill("with a broker that was restarted")
        run.finish(rest)


@BREAKS_A_BROKER
def test_a_batch_with_a_broken_checksum_is_a_dead_letter_and_the_rest_counts(
    own_broker: LocalKafka, tmp_path: Path
) -> None:
    with scenario(small(22), tmp_path, own_broker.bootstrap) as run:
        topic = run.topics[FIRST]
        slices = run.workload.slices(12)
        for drafts in slices[:8]:
            run.produce(drafts)
        own_broker.stop()
        broken = list(batches(own_broker.directory, topic, 0))[2]
        break_checksum(broken)
        own_broker.start()
        run.sent = [
            replace(message, broken=True)
            if (message.topic, message.partition) == (topic, 0) and broken.first <= message.offset <= broken.last
            else message
            for message in run.sent
        ]
        assert sum(message.broken for message in run.sent) == broken.last - broken.first + 1 > 0
        run.finish(slices[8:])


def test_a_topic_that_is_deleted_and_created_again(kafka: Broker, tmp_path: Path) -> None:
    with scenario(small(23), tmp_path, kafka.bootstrap) as run:
        before, after = _split(run, 37)
        run.feed(iter([before]))
        run.make_anew(FIRST)
        run.produce(after)
        wait_until(run.is_read, "the new topic is read from its beginning", run.daemon)
        run.kill("after a topic was made anew")
        run.run_to_the_end()
        run.compare_counts(run.expected())
        with run.reading() as conn:
            found = gaps.gaps(conn, "gamma")
            assert {gap.partition for gap in found} == {0, 1}
            assert {gap.reason for gap in found} == {"the topic was deleted and created again"}
        _assert_told_of_lost_offsets(run, "gamma")


def test_retention_that_has_passed_the_stored_offset(kafka: Broker, tmp_path: Path) -> None:
    with scenario(small(24), tmp_path, kafka.bootstrap) as run:
        before, after = _split(run, 37)
        run.feed(iter([before]))
        run.kill("before retention")
        run.produce(after)
        place = (run.topics[FIRST], 0)
        stored = run.next_offsets()[place]
        begin = stored + 4
        partition = TopicPartition(*place)
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
            admin.delete_records({partition: begin})
        run.sent = [
            replace(message, lost=True)
            if (message.topic, message.partition) == place and stored <= message.offset < begin
            else message
            for message in run.sent
        ]
        assert sum(message.lost for message in run.sent) == begin - stored
        run.run_to_the_end()
        run.compare_counts(run.expected())
        with run.reading() as conn:
            found = [(gap.partition, gap.from_offset, gap.to_offset) for gap in gaps.gaps(conn, "gamma")]
        assert found == [(0, stored, begin)]
        _assert_told_of_lost_offsets(run, "gamma")


def test_labels_before_their_predictions_and_aborted_transactions(kafka: Broker, tmp_path: Path) -> None:
    with scenario(small(25), tmp_path, kafka.bootstrap) as run:
        run.feed(iter([[draft for draft in run.workload.drafts if draft.topic == LABELS]]))
        run.kill("with labels only")
        # What a transaction aborts is nobody's, before and between what counts.
        others = [draft for draft in run.workload.drafts if draft.topic != LABELS]
        half = len(others) // 2
        run.produce([replace(draft, aborted=True) for draft in others[:half:5]])
        run.feed(iter([others[:half]]))
        run.produce([replace(draft, aborted=True) for draft in others[half::5]])
        run.kill("between transactions")
        run.finish([others[half:]])


def small(seed: int) -> workload.Workload:
    """The workload without its busy hour."""
    return workload.make(seed, burst=40)


def _split(run: Scenario, hour: int) -> tuple[list[workload.Draft], list[workload.Draft]]:
    """The drafts that arrive before an hour of the story, and those after it."""
    border = run.workload.start + hour * HOUR
    drafts = run.workload.drafts
    return [draft for draft in drafts if draft.arrival < border], [d for d in drafts if d.arrival >= border]


def _assert_told_of_lost_offsets(run: Scenario, model: str) -> None:
    with run.reading() as conn:
        stored = [Incident.from_bytes(found.summary) for found in incidents.all_incidents(conn, model=model)]
    metrics = {line.key.metric for incident in stored for line in incident.lines}
    assert "lost_offsets" in metrics, metrics
