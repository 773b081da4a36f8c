"""Connecting to Kafka: plainly, by TLS, with a password; and why that did not work, in words.

kafka-python tells why a broker could not be spoken to in its own log only: its part that knows is used here.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

from kafka import KafkaConsumer
from kafka.cluster import collect_hosts
from kafka.errors import (
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket

from daemon.config.settings import Kafka, Ssl
from daemon.stream.errors import KafkaUnreachable

_PROBE_SECONDS = 2.0
_CLOSE_MS = 1_000
_TLS = "[SSL: "
_REFUSALS = 2
"""Before it is connected a client gives up after so many of them a server."""


class _Direct(KafkaNetSocket):  # type: ignore[misc]
    """kafka-python's own way to connect, which forgets to close the socket of a connection that was refused.

    While a broker is away that happens every second. Its way to name another one is a proxy's address.
    """

    SCHEMES = ("direct",)

    async def sock_connect(self, net: Any, sock: socket.socket, sockaddr: Any, timeout_at: float | None = None) -> Any:
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise


class _TlsContext(ssl.SSLContext):
    """One client's TLS, which knows its sockets."""

    def __init__(self, _: int) -> None:
        self.sslsocket_class = _TlsSocket
        self.sockets: WeakSet[_TlsSocket] = WeakSet()

    def close(self) -> None:
        """Close what is left of a client that is closed: a connection that it was just making."""
        for one in list(self.sockets):
            one.close()


class _TlsSocket(ssl.SSLSocket):
    """A socket that closes itself when the handshake fails: kafka-python forgets it, every second while it tries."""

    def do_handshake(self, block: bool = False) -> None:
        assert isinstance(self.context, _TlsContext)
        self.context.sockets.add(self)
        try:
            super().do_handshake(block)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except BaseException:
            self.close()
            raise


def _tls(settings: Ssl) -> _TlsContext:
    context = _TlsContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = settings.check_hostname
    try:
        if settings.ca_file is not None:
            context.load_verify_locations(settings.ca_file)
        else:
            context.load_default_certs()
        if settings.certificate_file is not None:
            context.load_cert_chain(settings.certificate_file, settings.key_file)
    except OSError as error:  # of which ssl.SSLError is one
        files = (settings.ca_file, settings.certificate_file, settings.key_file)
        named = ", ".join(str(file) for file in files if file is not None)
        raise KafkaUnreachable(f"The certificates for Kafka cannot be used ({named}): {error}") from error
    return context


def connection(kafka: Kafka) -> dict[str, Any]:
    """The settings of a connection, as kafka-python's clients take them.

    Raises:
        KafkaUnreachable: the files of certificates cannot be used.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": list(kafka.bootstrap_servers),
        "security_protocol": kafka.security_protocol,
        "proxy_url": "direct://",
    }
    if kafka.sasl is not None:
        options |= {
            "sasl_mechanism": kafka.sasl.mechanism,
            "sasl_plain_username": kafka.sasl.username,
            "sasl_plain_password": kafka.sasl.password.get_secret_value(),
        }
    if kafka.security_protocol in ("SSL", "SASL_SSL"):
        options["ssl_context"] = _tls(kafka.ssl or Ssl())
    return options


class Failures:
    """Why a connection of a client could not be used, as far as somebody can do something about it."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._last: Exception | None = None
        self._refused = 0
        self._is_connected = False
        self._known: WeakSet[Any] = WeakSet()

    def watch(self, network: KafkaNetClient) -> None:
        """Look at every connection that this network makes."""
        connect = network._manager.get_connection

        def watched(*arguments: Any, **options: Any) -> Any:
            if self._last is not None and self._refused > _REFUSALS * len(self._kafka.bootstrap_servers):
                raise self._last  # it would be the same until the time is up
            connection = connect(*arguments, **options)
            if connection not in self._known:
                self._known.add(connection)
                connection.init_future.add_errback(self._keep)
                _read_to_the_end(connection)
            return connection

        network._manager.get_connection = watched

    def _keep(self, failure: Exception) -> None:
        # The last attempt before the time is up fails for the lack of time alone.
        if self._last is None or _is_telling(failure) or not _is_telling(self._last):
            self._last = failure
        if _is_telling(failure) and not self._is_connected:
            self._refused += 1

    def connected(self) -> None:
        """All is well."""
        self._last, self._refused, self._is_connected = None, 0, True

    def sentence(self, error: Exception) -> str:
        """Why Kafka cannot be used: the last failure of a connection, or where there was none this error."""
        return _reason(self._kafka, self._last or error)


def _read_to_the_end(connection: Any) -> None:
    """Let a connection read what came together with its end: kafka-python drops it.

    Over TLS that is just the answer that tells of a wrong password.
    """
    begin = connection.connection_made

    def connection_made(transport: Any) -> None:
        receive = transport._sock_recv

        def all_first() -> tuple[bytes, Exception | None]:
            data, error = receive()
            return data, None if data else error  # there is no more, so the next call gives the error

        transport._sock_recv = all_first
        begin(transport)

    connection.connection_made = connection_made


def open_consumer(kafka: Kafka, timeout_ms: int, failures: Failures | None = None, **options: Any) -> KafkaConsumer:
    """A connected client; `failures` goes on watching it.

    Raises:
        KafkaUnreachable: no broker answers, or none lets this client in; the message says which.
    """
    where = ", ".join(kafka.bootstrap_servers)
    # A client that cannot connect leaves a thread and its sockets behind, and this is tried again every second: so a
    # plain connection comes first, and the client's own network is kept at hand to be closed.
    if not any(_listens(host, port) for host, port, _ in collect_hosts(list(kafka.bootstrap_servers))):
        raise KafkaUnreachable(f"Kafka at {where} does not answer.")
    settings = connection(kafka) | {"bootstrap_timeout_ms": timeout_ms}
    failures = failures or Failures(kafka)
    networks: list[KafkaNetClient] = []

    def client(**made_with: Any) -> KafkaNetClient:
        networks.append(KafkaNetClient(**made_with))
        failures.watch(networks[-1])
        return networks[-1]

    try:
        opened = KafkaConsumer(**settings, kafka_client=client, **options)
    except KafkaError as error:
        for network in networks:
            network.close()
        _close_sockets(settings)
        raise KafkaUnreachable(failures.sentence(error)) from error
    failures.connected()
    return opened


def close_consumer(opened: KafkaConsumer) -> None:
    """Close a client and its connections."""
    opened.close(autocommit=False, timeout_ms=_CLOSE_MS)
    _close_sockets(opened.config)


def _close_sockets(settings: Mapping[str, Any]) -> None:
    context = settings.get("ssl_context")
    if isinstance(context, _TlsContext):
        context.close()


def _is_telling(failure: Exception) -> bool:
    refusals = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError)
    return isinstance(failure, refusals) or _TLS in str(failure)


def _reason(kafka: Kafka, failure: Exception) -> str:
    where = ", ".join(kafka.bootstrap_servers)
    match failure:
        case SaslAuthenticationFailedError() if kafka.sasl is not None:
            return (
                f"Kafka at {where} refuses the user {kafka.sasl.username!r}: check kafka.sasl. A password file is read "
                f"when driftd starts, and at SIGHUP. ({str(failure).rpartition('Error: ')[2]})"
            )
        case UnsupportedSaslMechanismError() if kafka.sasl is not None:
            return (
                f"Kafka at {where} does not offer {kafka.sasl.mechanism}: set kafka.sasl.mechanism to one that it "
                f"does. ({str(failure).rpartition('Error: ')[2]})"
            )
        case KafkaConnectionError() if _TLS in str(failure):
            return (
                f"Kafka at {where} and driftd cannot agree on TLS: check kafka.ssl, and kafka.security_protocol. "
                f"({_TLS}{str(failure).partition(_TLS)[2]})"
            )
        case _:
            return f"Kafka at {where} does not answer, or not by {kafka.security_protocol}: {failure}"


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_PROBE_SECONDS).close()
    except OSError:
        return False
    return True
