"""The outbox's sender: claims, renders, sends, records, and never gives up silently."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from daemon import crashpoints
from daemon.config.settings import Settings
from daemon.deliver.limiter import Limiter
from daemon.deliver.receiver import Delivery, DeliveryError, Receiver, Refused, make
from daemon.deliver.receivers.slack import SlackChannel, client
from daemon.deliver.view import IncidentView
from daemon.incidents.incident import Incident
from daemon.incidents.routing import SLACK_CHANNEL, addresses
from daemon.store import incidents, outbox, status
from daemon.store.errors import LeaseLost, StoreError
from daemon.store.outbox import Claimed, Receipt
from daemon.store.store import Store
from detectors.instants import MINUTE, SECOND, Micros

log = logging.getLogger(__name__)

LEASE: Micros = 2 * MINUTE
"""More than twice what one row can take: a look-up and three calls of ten seconds each, with a second between them."""
FIRST_PAUSE: Micros = SECOND
LONGEST_PAUSE: Micros = MINUTE
REFUSED_PAUSE: Micros = MINUTE
LONGEST_REFUSED_PAUSE: Micros = 5 * MINUTE
PER_SERVICE = 4
"""Rows of one service that are on their way at once, each to another address."""
MAX_SERVICES = 8
IDLE_SECONDS = 5.0
"""How long an idle sender sleeps at most: a row that another process queued wakes nobody."""


def wall_clock() -> Micros:
    """Microseconds since the epoch. Delivery is always by wall clock, also when verdicts go by event time."""
    return time.time_ns() // 1_000


class Sender:
    """Delivers what the outbox holds. `run` is the loop of a thread of its own; `wake` says that there is news."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        clock: Callable[[], Micros] = wall_clock,
        sleep: Callable[[float], None] = time.sleep,
        receivers: Mapping[str, Receiver] | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._receivers = dict(configured(settings) if receivers is None else receivers)
        self._limiter = Limiter()
        self._lock = threading.Lock()
        self._claiming = threading.Lock()
        """Held while a row is claimed and marked as flying: in between it looks like one that waits for its lease."""
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._flying: dict[str, str] = {}
        """Address to service of every row that is on its way."""
        self._held: dict[str, Micros] = {}
        """Until when an address or a service is left alone."""
        self._refused: dict[str, str] = {}
        """Why an address or a service refused what it was last given: a person has to act."""
        self._counts: Counter[tuple[str, str]] = Counter()
        self._pool: ThreadPoolExecutor | None = None
        self.last_turn: Micros = clock()

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._news.set()

    def counts(self) -> dict[tuple[str, str], int]:
        """Deliveries by (type of receiver, result): delivered, unanswered, busy, refused, superseded, error."""
        with self._lock:
            return dict(self._counts)

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set; rows that are on their way are brought to their end."""
        self._stopping = stop
        self._forget_leases()
        with ThreadPoolExecutor(PER_SERVICE * MAX_SERVICES, thread_name_prefix="deliver") as pool:
            self._pool = pool
            while not stop.is_set():
                wait = self._turn()
                self._news.wait(min(wait, IDLE_SECONDS))
                self._news.clear()
        self._pool = None

    def pump(self) -> int:
        """Deliver everything that may go now, in this thread; for a caller without a running loop. Returns how many."""
        done = 0
        while (claimed := self._claim()) is not None:
            self._attempt(claimed)
            done += 1
        return done

    def waiting(self) -> bool:
        """Whether anything is undelivered."""
        with self._store.read() as conn:
            return bool(outbox.heads(conn)) or bool(self._flying)

    def refusals(self) -> list[str]:
        """What a person has to put right before what waits can be delivered."""
        with self._lock:
            return sorted(set(self._refused.values()))

    def wait_idle(self, seconds: float) -> bool:
        """Wait until everything is delivered; False when it is not within the time, or cannot be.

        What was refused until a person acts is not waited for.
        """
        deadline = time.monotonic() + seconds
        while self.waiting():
            left = deadline - time.monotonic()
            if left <= 0 or self._hopeless(int(left * SECOND)):
                # The last row may have been delivered between the two questions; then nothing is left to hope for.
                return not self.waiting()
            self.wake()
            # Woken by the end of a delivery too, but that event belongs to the loop: look again soon.
            self._stopping.wait(min(0.05, left))
            if self._stopping.is_set():
                return not self.waiting()
        return True

    def drain(self, seconds: float) -> bool:
        """Deliver what is left, for at most so long, with or without a running loop; True when nothing is left."""
        if self._pool is not None:
            return self.wait_idle(seconds)
        deadline = time.monotonic() + seconds
        while self.waiting() and time.monotonic() < deadline:
            if self.pump() == 0:
                wait = self._soonest() - self._clock()
                if wait > (deadline - time.monotonic()) * SECOND:
                    break
                self._sleep(max(0.01, min(wait / SECOND, 0.25)))
        return not self.waiting()

    def _hopeless(self, within: Micros) -> bool:
        with self._claiming:
            return not self._flying and (self._all_refused() or self._soonest() > self._clock() + within)

    def _all_refused(self) -> bool:
        """Whether everything that waits goes to where the last message was refused."""
        with self._store.read() as conn:
            heads = outbox.heads(conn)
        with self._lock:
            return bool(heads) and all(
                head.receiver in self._refused or self._service(head.receiver) in self._refused for head in heads
            )

    def _forget_leases(self) -> None:
        """The embedded store has one process, so a lease that is left was a dead one's."""
        try:
            with self._store.write() as conn:
                outbox.release_leases(conn)
        except StoreError as error:
            log.warning("Leases of before wait to run out: %s", error)

    def _turn(self) -> float:
        """Start everything that may go now; how many seconds to sleep afterwards."""
        self.last_turn = self._clock()
        try:
            while (claimed := self._claim()) is not None:
                assert self._pool is not None
                self._pool.submit(self._attempt, claimed)
            return max(0.0, (self._soonest() - self._clock()) / SECOND)
        except StoreError as error:
            log.warning("The outbox cannot be read: %s", error)
            return 1.0

    def _soonest(self) -> Micros:
        """The instant at which the next row may go; far away when there is none."""
        with self._store.read() as conn:
            heads = outbox.heads(conn)
        return min(
            (max(head.ready_at, self._free_at(head.receiver)) for head in heads if head.receiver not in self._flying),
            default=self._clock() + 3_600 * SECOND,
        )

    def _free_at(self, address: str) -> Micros:
        receiver = self._receivers.get(address)
        held = max(self._held.get(address, 0), self._held.get(self._service(address), 0))
        return held if receiver is None else max(held, self._limiter.free_at(receiver.place))

    def _service(self, address: str) -> str:
        receiver = self._receivers.get(address)
        return address if receiver is None else receiver.service

    def _claim(self) -> Claimed | None:
        """The oldest row whose address is free, with its address marked as busy."""
        now = self._clock()
        with self._store.read() as conn:
            heads = outbox.heads(conn)
        with self._lock:
            busy = Counter(self._flying.values())
            closed = {
                address
                for address in {head.receiver for head in heads}
                if address in self._flying
                or self._free_at(address) > now
                or busy[self._service(address)] >= PER_SERVICE
            }
        # Reading is free, claiming writes: only when there is something to claim.
        if not any(head.ready_at <= now and head.receiver not in closed for head in heads):
            return None
        with self._claiming:
            with self._store.write() as conn:
                claimed = outbox.claim(conn, now, LEASE, exclude=sorted(closed))
            if claimed is not None:
                with self._lock:
                    self._flying[claimed.receiver] = self._service(claimed.receiver)
        return claimed

    def _attempt(self, claimed: Claimed) -> None:
        """Deliver one row and record how it went."""
        try:
            result = self._deliver(claimed)
        except LeaseLost:
            result = "superseded"
        except StoreError as error:
            # The lease runs out by itself; what arrived is then looked up before it is repeated.
            log.warning("Row %d of the outbox could not be recorded: %s", claimed.id, error)
            result = "error"
        finally:
            with self._lock:
                self._flying.pop(claimed.receiver, None)
        with self._lock:
            self._counts[self._service(claimed.receiver).partition(":")[0], result] += 1
        self.wake()

    def _deliver(self, claimed: Claimed) -> str:
        with self._store.read() as conn:
            stored = incidents.incident(conn, claimed.incident) if claimed.incident is not None else None
            receipts = outbox.receipts(conn, claimed.receiver, claimed.subject)
        receiver = self._receivers.get(claimed.receiver)
        if stored is None:
            return self._give_up(claimed, "the incident that it tells of is no longer kept")
        try:
            if receiver is None:
                raise Refused(f"{claimed.receiver} is no longer configured; its messages wait.")
            incident = Incident.from_bytes(stored.summary)
            view = IncidentView.of(incident, self._settings, receiver.mention())
            receiver.deliver(Delivery(claimed, view, receipts, self._saver(claimed), self._pacer(receiver)))
        except DeliveryError as error:
            return self._put_off(claimed, error)
        except StoreError:
            raise
        except Exception as error:
            # A mistake of ours must not spin, must not be silent, and must not stop the other lanes.
            log.exception("Row %d of the outbox cannot be delivered", claimed.id)
            return self._put_off(claimed, Refused(f"{claimed.receiver}: a fault of driftd's own: {error!r}."))
        with self._store.write() as conn:
            outbox.delivered(conn, claimed, self._clock())
            status.clear_note(conn, _note(claimed.receiver))
            status.clear_note(conn, _note(receiver.service))
        with self._lock:
            self._refused.pop(claimed.receiver, None)
            self._refused.pop(receiver.service, None)
        crashpoints.reach("outbox.after_delivered")
        return "delivered"

    def _saver(self, claimed: Claimed) -> Callable[[str, str, str, int], Receipt]:
        def save(part: str, channel: str, ts: str, revision: int) -> Receipt:
            receipt = Receipt(claimed.receiver, claimed.subject, part, channel, ts, revision, self._clock())
            with self._store.write() as conn:
                outbox.save_receipt(conn, receipt)
            return receipt

        return save

    def _pacer(self, receiver: Receiver) -> Callable[[], None]:
        def pace() -> None:
            wait = self._limiter.take(receiver.place, receiver.interval, self._clock())
            if wait > 0:
                self._sleep(wait / SECOND)

        return pace

    def _put_off(self, claimed: Claimed, error: DeliveryError) -> str:
        """Leave the row where it is, say why, and come again."""
        receiver = self._receivers.get(claimed.receiver)
        now = self._clock()
        pause = error.after if error.after is not None else _pause(claimed.attempts, isinstance(error, Refused))
        scope = receiver.service if receiver is not None and error.service else claimed.receiver
        with self._store.write() as conn:
            status.set_note(conn, _note(scope), error.reason, now)
            outbox.retry(conn, claimed, now + pause, error.reason)
            if error.after is not None:
                outbox.hold(conn, claimed.receiver, now + pause)
        # A service that fails is asked again by one address at a time; others would only add to its trouble.
        with self._lock:
            self._held[scope] = now + min(pause, MINUTE)
            if isinstance(error, Refused):
                self._refused[scope] = error.reason
            else:
                self._refused.pop(scope, None)
        log.warning("Not delivered to %s, again in %.0f s: %s", claimed.receiver, pause / SECOND, error.reason)
        return type(error).__name__.lower()

    def _give_up(self, claimed: Claimed, reason: str) -> str:
        with self._store.write() as conn:
            outbox.give_up(conn, claimed, self._clock(), reason)
        log.error("Row %d for %s is given up: %s", claimed.id, claimed.receiver, reason)
        return "given_up"


def configured(settings: Settings) -> dict[str, Receiver]:
    """Every address that the settings name: the models' own channels and the named receivers."""
    found: dict[str, Receiver] = {name: make(name, own, settings) for name, own in settings.receivers.items()}
    for model in settings.models.values():
        for address in addresses(settings, model):
            if address.startswith(SLACK_CHANNEL) and address not in found:
                channel = address.removeprefix(SLACK_CHANNEL)
                found[address] = SlackChannel(client(settings), channel, settings.installation)
    return found


def _pause(attempts: int, refused: bool) -> Micros:
    """How long to wait before the next attempt: doubling, up to a minute, or to five where a person has to act."""
    doubled = 1 << min(attempts - 1, 16)
    if refused:
        return min(REFUSED_PAUSE * doubled, LONGEST_REFUSED_PAUSE)
    return min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


def _note(scope: str) -> str:
    return f"deliver.{scope}"
