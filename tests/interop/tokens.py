"""JWTs as joserfc, PyJWT and Authlib make them: good ones, and each of the oddities that a recipe asks for.

A recipe is an object:
- `by`: `joserfc`, `pyjwt`, `authlib`, or `hand` (a header or claims that none of them writes, signed by
  cryptography); `alg`, and `key` where it is another one (`stranger`);
- `header`, `claims`: members beside those of a good token, or instead of them; null leaves one out;
- `text`: all of the claims, `$claims` for what would stand there; `encoding`: that of the text, if it is not
  UTF-8; `form`: `compact`, or `flattened` or `general` JSON;
- `encrypt`: `{alg, enc, key, header}`, for a signed token in an envelope that joserfc makes.
"""

import base64
import json
import time
import uuid
import warnings

import jwt as pyjwt
from joserfc import jwe, jws
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey, import_key

RESOURCE = "https://notes.example"
LIFETIME_S = 5 * 60

KEYS = {
    "rsa": RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "ES256", "use": "sig"}),
    "ES384": ECKey.generate_key("P-384", {"kid": "ES384", "use": "sig"}),
    "ES512": ECKey.generate_key("P-521", {"kid": "ES512", "use": "sig"}),
    "ed": OKPKey.generate_key("Ed25519", {"kid": "ed", "use": "sig"}),
}
STRANGER = ECKey.generate_key("P-256", {"kid": "ES256"})


def key_for(alg):
    if alg[:2] in ("RS", "PS"):
        return KEYS["rsa"]
    return KEYS["ed" if alg in ("EdDSA", "Ed25519") else alg]


def published():
    return KeySet(list(KEYS.values())).as_dict(private=False)


def _merged(base, changes):
    return {name: value for name, value in {**base, **(changes or {})}.items() if value is not None}


def _base64url(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _by_joserfc(recipe, header, payload):
    alg = header["alg"]
    key = STRANGER if recipe.get("key") == "stranger" else key_for(alg)
    registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
    form = recipe.get("form", "compact")
    if form == "compact":
        return jws.serialize_compact(header, payload, key, registry=registry)
    member = {"protected": header}
    members = member if form == "flattened" else [member]
    return json.dumps(jws.serialize_json(members, payload, key, registry=registry))


def _by_pyjwt(recipe, header, claims):
    alg = recipe.get("alg", "ES256")
    if alg == "none":
        return pyjwt.encode(claims, None, algorithm="none", headers=header)
    key = STRANGER if recipe.get("key") == "stranger" else key_for(alg)
    return pyjwt.encode(claims, key.private_key, algorithm=alg, headers=header)


def _by_authlib(header, payload):
    with warnings.catch_warnings():
        # Authlib's own module; it points to joserfc.
        warnings.simplefilter("ignore")
        from authlib.jose import JsonWebSignature

        key = key_for(header["alg"]).as_dict(private=True)
        return JsonWebSignature([header["alg"]]).serialize_compact(header, payload, key).decode()


def _by_hand(recipe, header, payload):
    text = recipe.get("header_text") or json.dumps(header)
    signed = f"{_base64url(text.encode())}.{_base64url(payload)}"
    signature = pyjwt.get_algorithm_by_name("ES256").sign(signed.encode(), KEYS["ES256"].private_key)
    return f"{signed}.{_base64url(signature)}"


def _encrypted(token, encrypt):
    header = _merged({"alg": encrypt["alg"], "enc": encrypt["enc"], "cty": "JWT"}, encrypt.get("header"))
    algorithms = [encrypt["alg"], encrypt["enc"], *(["DEF"] if "zip" in header else [])]
    registry = jwe.JWERegistry(algorithms=algorithms, strict_check_header=False)
    key = import_key(encrypt["key"])
    return jwe.encrypt_compact(header, token, key, registry=registry)


def sign(issuer, recipe):
    alg = recipe.get("alg", "ES256")
    now = int(time.time())
    kid = "rsa" if alg == "none" else key_for(alg).kid
    header = _merged({"alg": alg, "typ": "at+jwt", "kid": kid}, recipe.get("header"))
    claims = _merged(
        {
            "iss": issuer,
            "sub": "alice",
            "aud": RESOURCE,
            "client_id": "app",
            "scope": "notes:read",
            "iat": now,
            "exp": now + LIFETIME_S,
            "jti": str(uuid.uuid4()),
        },
        recipe.get("claims"),
    )
    if "text" in recipe:
        body = recipe["text"].replace("$claims", json.dumps(claims)[1:-1])
        payload = body.encode(recipe.get("encoding", "utf-8"))
    else:
        payload = json.dumps(claims).encode()
    match recipe.get("by", "joserfc"):
        case "joserfc":
            token = _by_joserfc(recipe, header, payload)
        case "pyjwt":
            token = _by_pyjwt(recipe, header, claims)
        case "authlib":
            token = _by_authlib(header, payload)
        case "hand":
            token = _by_hand(recipe, header, payload)
    return _encrypted(token, recipe["encrypt"]) if "encrypt" in recipe else token
