"""Listeners of the local Kafka that let nobody in without a password or a certificate; the certificates are its own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

HOST = "127.0.0.1"
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_EXPIRY_DAYS = "30"
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_LOGIN = "org.apache.kafka.common.security"


class OpensslFailed(Exception):
    """The certificates could not be made; the message is openssl's own."""


class Secured:
    """A listener for users with passwords over TLS, `sasl_ssl`, and one for certificates of clients, `ssl`.

    Args:
        directory: where the certificates go.
        users: password by name, for PLAIN and both kinds of SCRAM.
        sasl_ssl, ssl: the ports.
    """

    def __init__(self, directory: Path, users: Mapping[str, str], *, sasl_ssl: int, ssl: int) -> None:
        self._directory = directory
        self._users = dict(users)
        self.sasl_ssl = f"{HOST}:{sasl_ssl}"
        self.ssl = f"{HOST}:{ssl}"

    @property
    def ca_file(self) -> Path:
        """The authority that has signed the broker's certificate, which bears the name 127.0.0.1 alone."""
        return self._directory / "authority.pem"

    @property
    def certificate_file(self) -> Path:
        """A client's certificate by the same authority."""
        return self._directory / "client.pem"

    @property
    def key_file(self) -> Path:
        """The key of that certificate."""
        return self._directory / "client.key"

    @property
    def listeners(self) -> str:
        """Both, as the broker's settings name them."""
        return f"SASL_SSL://{self.sasl_ssl},SSL://{self.ssl}"

    @property
    def properties(self) -> dict[str, str]:
        """The broker's settings for both."""
        users = " ".join(f'user_{name}="{password}"' for name, password in self._users.items())
        scram = {
            f"listener.name.sasl_ssl.{mechanism.lower()}.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;"
            for mechanism in SCRAM
        }
        return {
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL",
            "sasl.enabled.mechanisms": ",".join(("PLAIN", *SCRAM)),
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f"{_LOGIN}.plain.PlainLoginModule required {users};",
            **scram,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._directory / "broker.both.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca_file),
            "listener.name.ssl.ssl.client.auth": "required",
        }

    @property
    def format_options(self) -> list[str]:
        """What writes the users of SCRAM into the storage when that is formatted."""
        return [
            option
            for mechanism in SCRAM
            for name, password in self._users.items()
            for option in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
        ]

    def make_certificates(self) -> None:
        """Make what is not there yet.

        Raises:
            OpensslFailed: it is missing, or refuses.
        """
        if self.key_file.exists():
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        make_authority(self.ca_file)
        for name in ("broker", "client"):
            (self._directory / f"{name}.ext").write_text(f"subjectAltName=IP:{HOST}\n")
            self._openssl("req", *_CURVE, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
            signer = ("-CA", self.ca_file.name, "-CAkey", self.ca_file.with_suffix(".key").name, "-CAcreateserial")
            signed = ("-out", f"{name}.pem", "-days", _EXPIRY_DAYS, "-extfile", f"{name}.ext")
            self._openssl("x509", "-req", "-in", f"{name}.csr", *signer, *signed)
        parts = [(self._directory / f"broker{suffix}").read_text() for suffix in (".key", ".pem")]
        (self._directory / "broker.both.pem").write_text("".join(parts))

    def _openssl(self, *arguments: str) -> None:
        _openssl(self._directory, *arguments)


def make_authority(path: Path) -> None:
    """Make a certificate authority of one's own: its certificate at `path`, its key beside it.

    Raises:
        OpensslFailed: it is missing, or refuses.
    """
    files = ("-keyout", path.with_suffix(".key").name, "-out", path.name)
    _openssl(path.parent, "req", "-x509", *_CURVE, *files, "-subj", f"/CN={path.stem}", "-days", _EXPIRY_DAYS)


def _openssl(directory: Path, *arguments: str) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise OpensslFailed("openssl is missing: install the package of that name")
    done = subprocess.run([program, *arguments], cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OpensslFailed(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
