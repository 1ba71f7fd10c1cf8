"""An authorization server by Authlib: tokens of RFC 9068, introspection (RFC 7662), revocation (RFC 7009),
metadata (RFC 8414). Beside it tokens that joserfc, PyJWT and Authlib sign by a recipe (tokens.py).

It prints one line of JSON when it is ready: `{"issuer":URL,"control":URL}`. Control, each a POST with an
object: `/control/sign` (a recipe), `/control/clients` (their secrets), `/control/id_token`.
"""

import json
import os
import secrets
import time

from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request, TokenMixin, grants
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator, JWTIntrospectionEndpoint
from authlib.oidc.core.grants.util import generate_id_token
from joserfc.jwk import KeySet
from werkzeug.wrappers import Request, Response

import tokens
from serving import bound, serve

# It has no TLS, on loopback.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

RESOURCE = "https://notes.example"
OTHER = "https://other.example"
SCOPES = "notes:read notes:write"
LIFETIME_S = 5 * 60


class Client(ClientMixin):
    def __init__(self, client_id, *, audience=RESOURCE, alg="RS256", opaque=False, lifetime=LIFETIME_S):
        self.client_id = client_id
        self.secret = secrets.token_urlsafe(32)
        self.audience = audience
        self.alg = alg
        self.opaque = opaque
        self.lifetime = lifetime

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return " ".join(one for one in (scope or "").split() if one in SCOPES.split())

    def check_client_secret(self, client_secret):
        return secrets.compare_digest(self.secret, client_secret)

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type):
        return grant_type == "client_credentials"


CLIENTS = {
    client.client_id: client
    for client in [
        # Authlib signs with what joserfc recommends.
        *(Client(f"worker-{alg}", alg=alg) for alg in ("RS256", "ES256")),
        Client("other-worker", audience=OTHER),
        Client("both-worker", audience=[OTHER, RESOURCE]),
        Client("opaque-worker", opaque=True),
        Client("opaque-other", opaque=True, audience=OTHER),
        Client("late-worker", lifetime=-1),
        Client("late-opaque", opaque=True, lifetime=-1),
        Client("long-worker", lifetime=LIFETIME_S + 1),
        Client("notes-api"),
    ]
}


class Token(TokenMixin):
    def __init__(self, client, token):
        self.client = client
        self.scope = token["scope"]
        self.issued_at = int(time.time())
        self.expires_at = self.issued_at + token["expires_in"]
        self.revoked = False

    def check_client(self, client):
        return client is self.client

    def get_scope(self):
        return self.scope

    def get_expires_in(self):
        return self.expires_at - self.issued_at

    def is_revoked(self):
        return self.revoked

    def is_expired(self):
        return self.expires_at <= time.time()


STORED = {}


class JwtGenerator(JWTBearerTokenGenerator):
    def get_jwks(self):
        return tokens.key_for(self.alg)

    def get_audiences(self, client, user, scope):
        return client.audience

    def access_token_generator(self, client, grant_type, user, scope):
        self.alg = client.alg
        return super().access_token_generator(client, grant_type, user, scope)


class Grant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]


class Server(AuthorizationServer):
    """Authlib without a web framework."""

    def query_client(self, client_id):
        return CLIENTS.get(client_id)

    def save_token(self, token, request):
        STORED[token["access_token"]] = Token(request.client, token)

    def send_signal(self, name, *args, **kwargs):
        pass

    def create_oauth2_request(self, request):
        # Where several endpoints have one name, each is given what the first one was made of.
        return request if isinstance(request, FormRequest) else FormRequest(request)

    def handle_response(self, status, payload, headers):
        body = json.dumps(payload) if isinstance(payload, dict) else payload
        return Response(body, status=status, headers=headers)


class FormRequest(OAuth2Request):
    def __init__(self, request):
        super().__init__(request.method, request.url, headers=request.headers)
        self.fields = request.form.to_dict()
        self.payload = BasicOAuth2Payload(self.fields)

    @property
    def form(self):
        return self.fields


class Introspection(IntrospectionEndpoint):
    def query_token(self, token_string, token_type_hint):
        return STORED.get(token_string)

    def check_permission(self, token, client, request):
        return client.client_id == "notes-api"

    def introspect_token(self, token):
        client = token.client
        return {
            "active": True,
            "client_id": client.client_id,
            "token_type": "Bearer",
            "scope": token.scope,
            "sub": client.client_id,
            "aud": client.audience,
            "iss": issuer,
            "exp": token.expires_at,
            "iat": token.issued_at,
        }


class JwtIntrospection(JWTIntrospectionEndpoint):
    def get_jwks(self):
        return KeySet(list(tokens.KEYS.values()))

    def check_permission(self, token, client, request):
        return client.client_id == "notes-api"


class Revocation(RevocationEndpoint):
    def query_token(self, token_string, token_type_hint):
        return STORED.get(token_string)

    def revoke_token(self, token, request):
        token.revoked = True


def metadata():
    document = AuthorizationServerMetadata(
        issuer=issuer,
        token_endpoint=f"{issuer}/token",
        jwks_uri=f"{issuer}/jwks",
        introspection_endpoint=f"{issuer}/introspect",
        revocation_endpoint=f"{issuer}/revoke",
        grant_types_supported=["client_credentials"],
        response_types_supported=["none"],
        scopes_supported=SCOPES.split(),
        token_endpoint_auth_methods_supported=["client_secret_basic"],
    )
    for name in ("issuer", "jwks_uri", "introspection_endpoint", "revocation_endpoint", "scopes_supported"):
        getattr(document, f"validate_{name}")()
    return document


def id_token():
    """Of a client that is named like the resource."""
    return generate_id_token(
        {}, {"sub": "alice"}, tokens.key_for("RS256"), iss=issuer, aud=RESOURCE, alg="RS256", exp=LIFETIME_S, kid="rsa"
    )


def control(path, what):
    if path == "sign":
        return {"token": tokens.sign(issuer, what)}
    if path == "clients":
        return {name: client.secret for name, client in CLIENTS.items()}
    if path == "id_token":
        return {"token": id_token()}
    return None


@Request.application
def app(request):
    path = request.path
    if path == "/.well-known/oauth-authorization-server":
        return Response(json.dumps(metadata()), mimetype="application/json")
    if path == "/jwks":
        return Response(json.dumps(tokens.published()), mimetype="application/json")
    if path == "/token":
        return server.create_token_response(request)
    if path == "/introspect":
        return server.create_endpoint_response("introspection", request)
    if path == "/revoke":
        return server.create_endpoint_response("revocation", request)
    if path.startswith("/control/"):
        answer = control(path.removeprefix("/control/"), request.get_json())
        if answer is not None:
            return Response(json.dumps(answer), mimetype="application/json")
    return Response(status=404)


listener, issuer = bound(app)
server = Server(scopes_supported=SCOPES.split())
jwts = JwtGenerator(issuer, expires_generator=lambda client, grant_type: client.lifetime)
opaque = BearerTokenGenerator(
    lambda **_: secrets.token_urlsafe(32), expires_generator=lambda client, grant_type: client.lifetime
)
server.register_token_generator(
    "default", lambda client, **rest: (opaque if client.opaque else jwts)(client=client, **rest)
)
server.register_grant(Grant)
server.register_endpoint(JwtIntrospection(issuer=issuer))
server.register_endpoint(Introspection)
server.register_endpoint(Revocation)
serve(listener, {"issuer": issuer, "control": f"{issuer}/control"})
