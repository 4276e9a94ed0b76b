"""Certificates for one measurement or scan, made by openssl: an authority, a node, a client."""

import shlex
import subprocess
from pathlib import Path

# Clients that dial a new name each time resume no session: any name of this domain will do. And
# testssl.sh 3.0 takes a certificate that names no place for its revocation for a finding.
NODE = """
subjectAltName = DNS:localhost, DNS:*.bench.test, IP:127.0.0.1
extendedKeyUsage = serverAuth
keyUsage = critical, digitalSignature
crlDistributionPoints = URI:http://authority.test/revoked.crl
"""
CLIENT = """
subjectAltName = URI:spiffe://bench.test/client
extendedKeyUsage = clientAuth
keyUsage = critical, digitalSignature
"""


def openssl(folder: Path, words: str) -> None:
    subprocess.run(["openssl", *shlex.split(words)], cwd=folder, check=True, capture_output=True)


def make_certificates(folder: Path) -> None:
    """The files ca.crt, node.crt, node.key, client.crt and client.key."""
    curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    openssl(folder, f"req -x509 {curve} -keyout ca.key -out ca.crt -subj /CN=authority -days 365")
    for name, extensions in (("node", NODE), ("client", CLIENT)):
        (folder / f"{name}.cnf").write_text(extensions)
        openssl(folder, f"req {curve} -keyout {name}.key -out {name}.csr -subj /CN={name}")
        sign = f"x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365"
        openssl(folder, f"{sign} -extfile {name}.cnf -out {name}.crt")
    for key in folder.glob("*.key"):
        key.chmod(0o600)
