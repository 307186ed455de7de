"""A mail server: STARTTLS or TLS, AUTH, a certificate of its own authority. Prints its port, then a line of JSON per mail.

Arguments: MODE (starttls, starttls-plain, tls, plain), DIRECTORY for ca.pem.
"""
import datetime
import email
import email.policy
import ipaddress
import json
import ssl
import sys
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

mode, directory = sys.argv[1:3]


def certificate(name, key, issuer, issuer_key, authority):
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def pem(path, *parts):
    with open(path, "wb") as file:
        for part in parts:
            file.write(part)
    return path


def named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
ca = certificate(named("test authority"), ca_key, named("test authority"), ca_key, True)
leaf = certificate(named("localhost"), key, named("test authority"), ca_key, False)
encoding = serialization.Encoding.PEM
pem(directory + "/ca.pem", ca.public_bytes(encoding))
chain = pem(
    directory + "/server.pem",
    leaf.public_bytes(encoding),
    key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
)
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(chain)


def authenticate(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and data == LoginPassword(b"robot", b"pa55-of-the-robot")
    return AuthResult(success=right, handled=False)


class Handler:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.strict)
        plain = mail.get_body(("plain",)).get_content()
        html = mail.get_body(("html",)).get_content()
        headers = {name.lower(): str(value) for name, value in mail.items()}
        print(
            json.dumps(
                {
                    "from": envelope.mail_from,
                    "to": envelope.rcpt_tos,
                    "tls": session.ssl is not None or mode == "tls",
                    "authenticated": bool(session.authenticated),
                    "headers": headers,
                    "plain": plain,
                    "html": html,
                }
            ),
            flush=True,
        )
        return "250 kept as number 42"


options = {"hostname": "127.0.0.1", "port": 0, "authenticator": authenticate}
if mode.startswith("starttls"):
    options |= {"tls_context": context, "require_starttls": True, "auth_required": True}
    if mode == "starttls-plain":
        # Whose LOGIN asks in words that the client there does not know.
        options |= {"auth_exclude_mechanism": ["LOGIN"]}
elif mode == "tls":
    options |= {"ssl_context": context, "auth_required": True, "auth_require_tls": False}


class OnAnyPort(Controller):
    def _trigger_server(self):
        # The port is known only now.
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


controller = OnAnyPort(Handler(), **options)
controller.start()
print(controller.port, flush=True)
while True:
    time.sleep(60)
