//! What the policy wants of a token whose claims are known: times, sender, authentication.

use std::net::IpAddr;

use super::json::{Json, Members, NANOS_PER_SECOND, absent_or, text};
use super::reasons::Why;
use super::token::Claims;
use super::world::{NaiveActor, NaiveClass, NaiveDetail, NaiveException, NaiveRevocation, World};

/// Whether the token is for this resource.
pub(super) fn audience_fits(world: &World, claims: &Claims) -> bool {
    let ours = |name: &String| *name == world.resource || world.other_names.contains(name);
    if claims.is_unaddressed {
        true
    } else if world.no_other_audience {
        claims.audiences.iter().all(ours)
    } else {
        claims.audiences.iter().any(ours)
    }
}

/// What is wrong with the token's times.
pub(super) fn wrong_time(world: &World, claims: &Claims) -> Option<Why> {
    let leeway = nanos(world.leeway_secs);
    let now = world.now_nanos;
    let latest = now.saturating_add(leeway);
    if now >= claims.exp + leeway {
        return Some("expired");
    }
    if claims.nbf.is_some_and(|nbf| nbf > latest) {
        return Some("not valid yet");
    }
    if claims.iat.is_some_and(|iat| iat > latest) {
        return Some("issued in the future");
    }
    if claims.iat.is_some_and(|iat| iat >= claims.exp) {
        return Some("no lifetime");
    }

    // of all classes that describe it the shortest time; what none says, the default says
    let mut lifetimes = Vec::new();
    let mut ages = Vec::new();
    for class in classes_of(world, claims) {
        lifetimes.extend(class.max_lifetime_secs);
        ages.extend(class.max_age_secs);
    }
    if lifetimes.is_empty() {
        lifetimes.push(world.max_lifetime_secs);
    }
    if ages.is_empty() {
        ages.extend(world.max_age_secs);
    }
    if lifetimes.iter().any(|most| lifetime(world, claims) > nanos(*most)) {
        return Some("lives too long");
    }
    for most in ages {
        let Some(iat) = claims.iat else {
            return Some("of unknown age");
        };
        if now > iat + nanos(most) + leeway {
            return Some("too old");
        }
    }
    None
}

/// The longest that a token may live of which this is true: of all its classes the shortest time.
pub(super) fn longest_life(world: &World, claims: &Claims) -> u128 {
    let classes = classes_of(world, claims);
    let shortest = classes.iter().filter_map(|class| class.max_lifetime_secs).min();
    nanos(shortest.unwrap_or(world.max_lifetime_secs))
}

/// From `iat` on, or from now on where nobody says since when.
fn lifetime(world: &World, claims: &Claims) -> u128 {
    claims.exp.saturating_sub(claims.iat.unwrap_or(world.now_nanos))
}

/// The bindings that the classes of the token want; what none says, the default says.
pub(super) fn bindings_of_classes<'a>(world: &'a World, claims: &Claims) -> Vec<&'a str> {
    let mut of_classes = Vec::new();
    for class in classes_of(world, claims) {
        of_classes.extend(class.binding.as_deref());
    }
    if of_classes.is_empty() {
        of_classes.extend(world.default_binding.as_deref());
    }
    of_classes
}

/// How old what is known of the token may be, in the eyes of its classes: the shortest; what none says,
/// the default says.
pub(super) fn freshness(
    world: &World,
    revocation: Option<&NaiveRevocation>,
    claims: &Claims,
) -> Option<u64> {
    let of_classes = classes_of(world, claims);
    let shortest = of_classes.iter().filter_map(|class| class.freshness_secs).min();
    shortest.or(revocation.and_then(|known| known.default_freshness_secs))
}

/// How old it may be on this route.
pub(super) fn freshness_of_route(
    world: &World,
    revocation: Option<&NaiveRevocation>,
) -> Option<u64> {
    revocation.and_then(|known| known.route_freshness_secs).or(world.route_freshness_secs)
}

/// Whether the token may do without the binding that the server wants.
pub(super) fn is_excepted(world: &World, claims: &Claims, peer: Option<IpAddr>) -> bool {
    world.exceptions.iter().any(|one| covers(one, world, claims, peer))
}

fn covers(
    exception: &NaiveException,
    world: &World,
    claims: &Claims,
    peer: Option<IpAddr>,
) -> bool {
    let Some(client) = &claims.client_id else {
        return false;
    };
    let from_there = exception.networks.is_empty()
        || peer.is_some_and(|peer| exception.networks.iter().any(|one| is_in(peer, one)));
    exception.clients.contains(client)
        && exception.issuer.as_ref().is_none_or(|issuer| *issuer == claims.iss)
        && world.now_nanos < end_of_day(&exception.until)
        && exception.max_lifetime_secs.is_none_or(|most| lifetime(world, claims) <= nanos(most))
        && from_there
}

fn classes_of<'a>(world: &'a World, claims: &Claims) -> Vec<&'a NaiveClass> {
    world.classes.iter().filter(|class| describes(class, claims)).collect()
}

fn describes(class: &NaiveClass, claims: &Claims) -> bool {
    let fits = |list: &[String], values: &[String]| {
        list.is_empty() || values.iter().any(|value| list.contains(value))
    };
    fits(&class.issuers, std::slice::from_ref(&claims.iss))
        && fits(&class.clients, &Vec::from_iter(claims.client_id.clone()))
        && fits(&class.scopes, &claims.scopes)
        && fits(&class.kinds, &[claims.kind.to_owned()])
        && fits(&class.audiences, &claims.audiences)
}

/// Whether the user authenticated as the route wants it.
pub(super) fn authenticated_well(world: &World, claims: &Claims) -> bool {
    let Some(wanted) = &world.step_up else {
        return true;
    };
    let class_is_right = wanted.acr_values.is_empty()
        || claims.acr.as_ref().is_some_and(|acr| wanted.acr_values.contains(acr));
    let is_recent = match (wanted.max_age_secs, claims.auth_time) {
        (None, _) => true,
        (Some(_), None) => false,
        // An authentication further ahead than any clock shows nothing.
        (Some(_), Some(auth_time)) if auth_time > world.now_nanos + nanos(300) => false,
        (Some(most), Some(auth_time)) => world.now_nanos <= auth_time + nanos(most),
    };
    class_is_right && is_recent
}

/// Why the route is not for this token, whatever its scopes are.
pub(super) fn not_for_route(world: &World, claims: &Claims) -> Option<Why> {
    if let Some(wanted) = &world.clients {
        let is_listed =
            claims.client_id.as_ref().is_some_and(|client| wanted.names.contains(client));
        if !is_listed || wanted.issuer.as_ref().is_some_and(|issuer| *issuer != claims.iss) {
            return Some("a client that may not");
        }
    }
    if let Some(wanted) = &world.subjects {
        let is_listed = wanted.names.contains(&claims.sub);
        if !is_listed || wanted.issuer.as_ref().is_some_and(|issuer| *issuer != claims.iss) {
            return Some("a subject that may not");
        }
    }
    let actor_may = match (&world.actor, &claims.actor) {
        (None, _) | (Some(NaiveActor::Some), Some(_)) | (Some(NaiveActor::None), None) => true,
        (Some(NaiveActor::OneOf(wanted)), Some((issuer, subject))) => {
            let wanted_issuer = wanted.issuer.as_ref().unwrap_or(&claims.iss);
            issuer == wanted_issuer && wanted.names.contains(subject)
        }
        (Some(_), _) => false,
    };
    if !actor_may {
        return Some("an actor that may not");
    }
    let Some(wanted) = &world.detail else {
        return None;
    };
    let granted = claims.details.iter().any(|detail| grants(detail, wanted, world) == Some(true));
    (!granted).then_some("no authorization detail")
}

/// `None`: it has a common field of another type, so that nobody knows what it grants.
fn grants(detail: &Members, wanted: &NaiveDetail, world: &World) -> Option<bool> {
    let texts = |value: &Json| match value {
        Json::Array(items) => items.iter().map(a_text).collect::<Option<Vec<String>>>(),
        _ => None,
    };
    let actions = absent_or(detail, "actions", texts)?.unwrap_or_default();
    let datatypes = absent_or(detail, "datatypes", texts)?.unwrap_or_default();
    let privileges = absent_or(detail, "privileges", texts)?.unwrap_or_default();
    let locations = absent_or(detail, "locations", texts)?;
    let identifier = absent_or(detail, "identifier", a_text)?;

    let has_all =
        |found: &[String], wanted: &[String]| wanted.iter().all(|one| found.contains(one));
    let is_here = match (locations, wanted.locations.as_slice()) {
        (None, []) => true,
        (None, _) => false,
        (Some(named), []) => {
            named.iter().any(|name| *name == world.resource || world.other_names.contains(name))
        }
        (Some(named), wanted) => wanted.iter().any(|name| named.contains(name)),
    };
    Some(
        text(detail, "type").as_ref() == Some(&wanted.detail_type)
            && has_all(&actions, &wanted.actions)
            && has_all(&datatypes, &wanted.datatypes)
            && has_all(&privileges, &wanted.privileges)
            && (wanted.identifier.is_none() || wanted.identifier == identifier)
            && is_here,
    )
}

fn a_text(value: &Json) -> Option<String> {
    match value {
        Json::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn nanos(seconds: u64) -> u128 {
    u128::from(seconds) * NANOS_PER_SECOND
}

/// Midnight after this day, in nanoseconds: every day since 1970 is counted.
fn end_of_day(day: &str) -> u128 {
    let number = |text: &str| text.parse::<u32>().unwrap_or(0);
    let (year, month, day) = (number(&day[..4]), number(&day[5..7]), number(&day[8..]));
    let is_leap = |year: u32| {
        year.is_multiple_of(400) || (year.is_multiple_of(4) && !year.is_multiple_of(100))
    };
    let mut days = u128::from(day);
    for past in 1970..year {
        days += if is_leap(past) { 366 } else { 365 };
    }
    for past in 1..month {
        days += match past {
            2 if is_leap(year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
    }
    days * 24 * 60 * 60 * NANOS_PER_SECOND
}

/// Whether an address is in a network: as many bits are the same as its length says.
fn is_in(address: IpAddr, network: &str) -> bool {
    let (start, length) = network.split_once('/').unwrap_or((network, "all"));
    let Ok(start) = start.parse::<IpAddr>() else {
        return false;
    };
    let (address, start) = (bits(address), bits(start));
    let length = length.parse().unwrap_or(start.len());
    address.len() == start.len() && address[..length] == start[..length]
}

/// 32 bits or 128. What came as `::ffff:a.b.c.d` is the address `a.b.c.d`.
fn bits(address: IpAddr) -> Vec<bool> {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => match address.octets() {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => vec![a, b, c, d],
            octets => octets.to_vec(),
        },
    };
    octets.iter().flat_map(|octet| (0..8).rev().map(move |at| (octet >> at) & 1 == 1)).collect()
}
