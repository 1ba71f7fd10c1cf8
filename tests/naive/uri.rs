//! URIs in normal form (RFC 3986, 6.2.2 and 6.2.3): that of a proof, and those that a request may
//! be for.

use std::net::Ipv6Addr;

use super::NaiveRequest;
use super::json::require;
use super::world::{NaiveDpop, World};

const MAX_URI_OCTETS: usize = 8_192;

/// What `htu` may be, in normal form. Nothing where the target has no path.
pub(super) fn of_request(world: &World, dpop: &NaiveDpop, request: &NaiveRequest) -> Vec<String> {
    let Some(path) = path_of(request) else {
        return Vec::new();
    };
    // routers know no dots, so that a path with some is for another route than its normal form
    let is_dots =
        |segment: &str| matches!(percent_normal(segment, "").as_deref(), Some("." | ".."));
    if path.split('/').any(is_dots) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for origin in &dpop.origins {
        // what the proxy added is taken away, at the end of a segment; what it removed is put back
        let Some(rest) = path.strip_prefix(origin.proxy_adds.as_str()) else {
            continue;
        };
        if rest.is_empty() || rest.starts_with('/') {
            let whole = format!("{}{}{rest}", origin.origin, origin.proxy_removes);
            found.extend(normal(&whole));
        }
    }
    if dpop.origins.is_empty() {
        // of the resource identifier nothing counts but where its path begins
        let authority = world.resource.find("://").map_or(0, |at| at + "://".len());
        let end = world.resource[authority..].find(['/', '?']).map(|at| authority + at);
        let origin = &world.resource[..end.unwrap_or(world.resource.len())];
        found.extend(normal(&format!("{origin}{path}")));
    }
    found
}

/// The path of the target as the server received it.
fn path_of(request: &NaiveRequest) -> Option<String> {
    let target = request.original.as_ref().unwrap_or(&request.target);
    let without_query = target.split('?').next().unwrap_or_default();
    let path = match without_query.split_once("://") {
        // what begins with a slash is a path to its end
        Some((_, rest)) if !target.starts_with('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => without_query,
    };
    path.starts_with('/').then(|| path.to_owned())
}

/// An absolute `https` or `http` URI without query and fragment, if the text is one.
pub(super) fn normal(text: &str) -> Option<String> {
    require(text.len() <= MAX_URI_OCTETS)?;
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    require(scheme == "https" || scheme == "http")?;
    let (before_fragment, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (hierarchy, query) = before_fragment.split_once('?').unwrap_or((before_fragment, ""));
    let path_at = hierarchy.find('/').unwrap_or(hierarchy.len());
    let (authority, path) = hierarchy.split_at(path_at);

    let authority = normal_authority(authority, &scheme)?;
    // they do not count, and have to be what they may be
    percent_normal(query, "/?")?;
    percent_normal(fragment, "/?")?;
    let path = without_dots(&percent_normal(path, "/")?);
    let path = if path.is_empty() { "/" } else { &path };
    Some(format!("{scheme}://{authority}{path}"))
}

/// Host in small letters; port unless it is the default. No user is named.
fn normal_authority(authority: &str, scheme: &str) -> Option<String> {
    let host_end = match authority.find(']') {
        Some(at) => at + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    let host = host.to_ascii_lowercase();
    if let Some(inside) = host.strip_prefix('[') {
        inside.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?;
    } else {
        let is_of_names = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        require(host.chars().all(is_of_names))?;
        // labels are empty at the end only
        let labels: Vec<&str> = host.strip_suffix('.').unwrap_or(&host).split('.').collect();
        require(labels.iter().all(|label| !label.is_empty()))?;
    }
    let port = match port.strip_prefix(':') {
        None => {
            require(port.is_empty())?;
            ""
        }
        Some(digits) => {
            require(digits.chars().all(|c| c.is_ascii_digit()) && !digits.starts_with('0'))?;
            require(digits.is_empty() || digits.parse::<u16>().is_ok())?;
            digits
        }
    };
    let is_default = port.is_empty()
        || (scheme == "https" && port == "443")
        || (scheme == "http" && port == "80");
    Some(if is_default { host } else { format!("{host}:{port}") })
}

/// Percent-encodings in capital letters, and none of an unreserved character. Every character is one
/// of a path or one of `more`; some that no URI has, and serialisers write all the same, too.
fn percent_normal(text: &str, more: &str) -> Option<String> {
    const OF_PATHS: &str = "-._~!$&'()*+,;=:@\"[]^{|}";
    let mut out = String::new();
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        at += 1;
        if c == '%' {
            let high = chars.get(at)?.to_digit(16)?;
            let low = chars.get(at + 1)?.to_digit(16)?;
            at += 2;
            match char::from_u32(high * 16 + low)? {
                c if c.is_ascii_alphanumeric() || "-._~".contains(c) => out.push(c),
                _ => out.push_str(&format!("%{high:X}{low:X}")),
            }
        } else {
            let is_legal = c.is_ascii_alphanumeric() || OF_PATHS.contains(c) || more.contains(c);
            require(is_legal)?;
            out.push(c);
        }
    }
    Some(out)
}

/// RFC 3986, 5.2.4, letter by letter: from an input buffer to an output buffer.
fn without_dots(path: &str) -> String {
    let (mut input, mut output) = (path.to_owned(), String::new());
    while !input.is_empty() {
        if input.starts_with("../") {
            input.drain(..3);
        } else if input.starts_with("./") || input.starts_with("/./") {
            input.drain(..2);
        } else if input == "/." {
            input = "/".to_owned();
        } else if input.starts_with("/../") || input == "/.." {
            input.replace_range(..input.len().min(4), "/");
            output.truncate(output.rfind('/').unwrap_or(0));
        } else if input == "." || input == ".." {
            input.clear();
        } else {
            // the first segment, with the slash before it and without the one behind it
            let end = input[1..].find('/').map_or(input.len(), |at| at + 1);
            output.extend(input.drain(..end));
        }
    }
    output
}
