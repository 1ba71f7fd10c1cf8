"""A client by Authlib, over httpx2: HTTP/1.1, and HTTP/2 without TLS. Challenges are read by Werkzeug.

It reads one JSON object from stdin: `issuer`, `clients` (their secrets), `origin` (of the service). It prints
one JSON line for each step.
"""

import json
import sys

import httpx2
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oauth2.rfc8414 import get_well_known_url
from werkzeug.datastructures import WWWAuthenticate

settings = json.load(sys.stdin)
issuer, origin = settings["issuer"], settings["origin"]
notes = f"{origin}/notes"


def say(walk, step, response):
    challenges = response.headers.get_list("www-authenticate")
    line = {
        "walk": walk,
        "step": step,
        "exchanges": [
            {
                "status": response.status_code,
                "challenge": ", ".join(challenges) or None,
                "kind": response.headers.get("interop-kind"),
                "version": response.headers.get("interop-version"),
            }
        ],
        "body": response.text,
    }
    if challenges:
        read = [WWWAuthenticate.from_header(challenge) for challenge in challenges]
        line["challenges"] = [{"scheme": one.type, "parameters": one.parameters} for one in read]
    print(json.dumps(line), flush=True)


def walk(name, **versions):
    metadata = httpx2.get(issuer + get_well_known_url(issuer)).json()

    def client(client_id, scope="notes:read"):
        made = OAuth2Client(client_id, settings["clients"][client_id], scope=scope, **versions)
        # The issuer speaks HTTP/1.1 only.
        with OAuth2Client(client_id, settings["clients"][client_id], scope=scope) as asking:
            made.token = asking.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
        return made

    def revoke(client_id, token):
        with OAuth2Client(client_id, settings["clients"][client_id]) as asking:
            answer = asking.revoke_token(metadata["revocation_endpoint"], token, token_type_hint="access_token")
            assert answer.status_code == 200, answer.text

    with httpx2.Client(**versions) as nobody:
        say(name, "nothing", nobody.get(notes))
        say(name, "a welcome without a token", nobody.get(f"{origin}/"))
    with client("worker-RS256") as own:
        say(name, "a token", own.get(notes))
        say(name, "the same connection", own.get(notes))
        say(name, "more than it may", own.delete(f"{notes}/1"))
        own.token["access_token"] = own.token["access_token"][:-8] + "AAAAAAAA"
        say(name, "another signature", own.get(notes))
    with client("worker-ES256", scope="notes:write") as other:
        say(name, "with another scope", other.get(notes))
        say(name, "what that may", other.delete(f"{notes}/1"))
    with client("other-worker") as other:
        say(name, "for another resource", other.get(notes))
    with client("opaque-worker") as opaque:
        say(name, "an opaque token", opaque.get(notes))
        revoke("worker-RS256", "nobody's")
        say(name, "after another was given back", opaque.get(notes))
        revoke("opaque-worker", opaque.token["access_token"])
        say(name, "after it was given back", opaque.get(notes))


walk("httpx2, HTTP/1.1", http1=True, http2=False)
walk("httpx2, HTTP/2", http1=False, http2=True)
