//! `claim(...)`: exact values of claims, by name or by path.

use portcullis::check::{Check as _, claim, scope};
use serde_json::{Value, json};

use crate::support::World;
use crate::{Case, case, check_cases, check_faulty, rules};

/// AT-14: authorization claims are used in the decision.
#[tokio::test]
async fn a_claim_is_compared_exactly() {
    let world = World::new().await;
    let token = || {
        world
            .token()
            .claim("roles", ["admin", "user"])
            .claim("role", "admin")
            .claim("spaced", "admin user")
            .claim("one", 1)
            .claim("yes", true)
            .claim("nothing", Value::Null)
            .claim("empty", "")
            .claim("none", json!([]))
            .claim("mixed", json!([1, true, null, "1", { "a": 1 }, ["x"]]))
            .claim("address", json!({ "country": "DE", "lines": ["a", "b"] }))
            .raw_claim("escaped", r#"["\u0061dmin"]"#)
            .raw_claim("half", "1.50")
            .raw_claim("large", "9007199254740993")
            .raw_claim("huge", "123456789012345678901234567890")
    };
    let row = |name, check, passes| case("AT-14", name, check, token(), passes);
    let rows = [
        row("equals", claim("role").equals("admin"), true),
        row("equals, other case", claim("role").equals("Admin"), false),
        row("equals, prefix", claim("role").equals("adm"), false),
        row("equals, longer", claim("role").equals("admin "), false),
        row("equals, absent", claim("absent").equals("admin"), false),
        row("equals, other case of the name", claim("Role").equals("admin"), false),
        row("equals the empty text", claim("empty").equals(""), true),
        row("equals the empty text, null", claim("nothing").equals(""), false),
        row("equals, array", claim("roles").equals(json!(["admin", "user"])), true),
        row(
            "equals, array in another order",
            claim("roles").equals(json!(["user", "admin"])),
            false,
        ),
        row("equals, shorter array", claim("roles").equals(json!(["admin"])), false),
        row("equals, array for its member", claim("roles").equals("admin"), false),
        row("equals, number", claim("one").equals(1), true),
        row("equals, number as text", claim("one").equals("1"), false),
        row("equals, number as fraction", claim("one").equals(1.0), false),
        row("equals, number as truth", claim("one").equals(true), false),
        row("equals, fraction written otherwise", claim("half").equals(1.5), false),
        row("equals, large number", claim("large").equals(9_007_199_254_740_993_u64), true),
        row("equals, neighbour", claim("large").equals(9_007_199_254_740_992_u64), false),
        row(
            "equals, its rounding",
            claim("huge").equals(123_456_789_012_345_678_901_234_567_890_f64),
            false,
        ),
        row("equals, truth", claim("yes").equals(true), true),
        row("equals, untruth", claim("yes").equals(false), false),
        row("equals, truth as text", claim("yes").equals("true"), false),
        row(
            "equals, object in another order",
            claim("address").equals(json!({ "lines": ["a", "b"], "country": "DE" })),
            true,
        ),
        row("equals, object with less", claim("address").equals(json!({ "country": "DE" })), false),
        row(
            "equals, object with more",
            claim("address").equals(json!({ "lines": ["a", "b"], "country": "DE", "x": 1 })),
            false,
        ),
        row("one of", claim("role").one_of(["user", "admin"]), true),
        row("one of, none", claim("role").one_of(["user", "root"]), false),
        row("one of, for a member", claim("roles").one_of(["admin"]), false),
        row("contains", claim("roles").contains("user"), true),
        row("contains, other case", claim("roles").contains("User"), false),
        row("contains, part", claim("roles").contains("use"), false),
        row("contains, escaped", claim("escaped").contains("admin"), true),
        row("contains, of one text", claim("role").contains("admin"), true),
        row("contains, of one text, part", claim("role").contains("dmi"), false),
        row("contains, not split at spaces", claim("spaced").contains("admin"), false),
        row(
            "contains, the whole text with its space",
            claim("spaced").contains("admin user"),
            true,
        ),
        row("contains, of one number", claim("one").contains(1), false),
        row("contains, of an object", claim("address").contains("country"), false),
        row("contains, of nothing", claim("none").contains(""), false),
        row("contains, null", claim("nothing").contains(""), false),
        row("contains, absent", claim("absent").contains("admin"), false),
        row("contains, number among others", claim("mixed").contains(1), true),
        row("contains, text of a number", claim("mixed").contains("1"), true),
        row("contains, number that is not there", claim("mixed").contains(2), false),
        row("contains, object", claim("mixed").contains(json!({ "a": 1 })), true),
        row("contains, not of a member", claim("mixed").contains("x"), false),
        row(
            "equals, null among others",
            claim("mixed").equals(json!([1, true, null, "1", { "a": 1 }, ["x"]])),
            true,
        ),
        row(
            "equals, null for a truth",
            claim("mixed").equals(json!([1, null, null, "1", { "a": 1 }, ["x"]])),
            false,
        ),
        row("contains any", claim("roles").contains_any(["root", "user"]), true),
        row("contains any, none", claim("roles").contains_any(["root", "guest"]), false),
        row("contains any, of one text", claim("role").contains_any(["root", "admin"]), true),
        row("contains any, none of one text", claim("role").contains_any(["root"]), false),
        row("contains all", claim("roles").contains_all(["user", "admin"]), true),
        row("contains all, one missing", claim("roles").contains_all(["user", "root"]), false),
        row("contains all, of one text", claim("role").contains_all(["admin"]), true),
        row("contains all, of one text, two", claim("role").contains_all(["admin", "user"]), false),
        row("contains all, of nothing", claim("none").contains_all(["admin"]), false),
        row("present", claim("role").present(), true),
        row("present, empty", claim("empty").present(), true),
        row("present, null", claim("nothing").present(), false),
        row("present, absent", claim("absent").present(), false),
    ];
    check_cases(&world, rows).await;
}

/// AT-14: a name is never split, a path never joined.
#[tokio::test]
async fn a_name_is_one_name_and_a_list_is_a_path() {
    let world = World::new().await;
    let nested = || world.token().claim("realm_access", json!({ "roles": ["admin"] }));
    let flat = |name: &str| world.token().claim(name, ["admin"]);
    let url = "https://example.com/v1.0/roles";
    let path = ["realm_access", "roles"];
    let rows: Vec<Case> = vec![
        case("AT-14", "path", claim(path).contains("admin"), nested(), true),
        case("AT-14", "path as list", claim(path.to_vec()).contains("admin"), nested(), true),
        case(
            "AT-14",
            "path of texts",
            claim(vec!["realm_access".to_owned(), "roles".to_owned()]).contains("admin"),
            nested(),
            true,
        ),
        case("AT-14", "path, other value", claim(path).contains("user"), nested(), false),
        case("AT-14", "dots are no path", claim("realm_access.roles").present(), nested(), false),
        case("AT-14", "slashes are none", claim("realm_access/roles").present(), nested(), false),
        case(
            "AT-14",
            "a name with dots",
            claim("realm_access.roles").contains("admin"),
            flat("realm_access.roles"),
            true,
        ),
        case(
            "AT-14",
            "is no path",
            claim(path).contains("admin"),
            flat("realm_access.roles"),
            false,
        ),
        case("AT-14", "URL", claim(url).contains("admin"), flat(url), true),
        case("AT-14", "another URL", claim(format!("{url}/")).contains("admin"), flat(url), false),
        case("AT-14", "a path of one", claim([url]).contains("admin"), flat(url), true),
        case("AT-14", "into an array", claim(["roles", "0"]).present(), flat("roles"), false),
        case("AT-14", "into a text", claim(["sub", "alice"]).present(), flat("roles"), false),
        case(
            "AT-14",
            "an object where a list is",
            claim("realm_access").contains("roles"),
            nested(),
            false,
        ),
    ];
    check_cases(&world, rows).await;
}

#[tokio::test]
async fn an_impossible_claim_is_a_fault() {
    let world = World::new().await;
    let none = [""; 0];
    for (check, words) in [
        (claim("role").one_of(none), "claim `role`: no value is wanted"),
        (claim("role").contains_any(none), "claim `role`: no value is wanted"),
        (claim("role").contains_all(none), "claim `role`: no value is wanted"),
        (claim("role").equals(Value::Null), "claim `role`: `null` is not a value"),
        (claim("role").equals(f64::NAN), "`null` is not a value"),
        (claim("").present(), "a claim without a name"),
        (claim(none).present(), "a claim without a name"),
        (claim(["a", ""]).present(), "a claim without a name"),
    ] {
        check_faulty(&world, check, words).await;
    }
}

#[tokio::test]
async fn a_claim_stands_in_the_effective_policy() {
    let world = World::new().await;
    let check = scope("a")
        .and(claim("role").equals("admin"))
        .and(claim(["a", "b"]).one_of(["x", "y"]))
        .and(claim("c").contains(1))
        .and(claim("d").contains_any([true]))
        .and(claim("e").present());
    assert_eq!(
        rules(&world, "claims", check),
        json!({
            "all_scopes": ["a"],
            "claims": [
                { "path": "role", "equals": "admin" },
                { "path": ["a", "b"], "one_of": ["x", "y"] },
                { "path": "c", "contains": 1 },
                { "path": "d", "contains_any": [true] },
                { "path": "e", "present": true },
            ],
        }),
    );
}
