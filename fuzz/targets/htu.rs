//! The `htu` claim, and a second reading of RFC 3986 to compare it with.

use portcullis::sender::TargetUri;

/// A URI has the normal form of the second reading, which is its own normal form; two of them are the
/// same exactly where theirs are.
pub fn htu(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (one, other) = text.split_once('\n').unwrap_or((text, text));
    let (left, right) = (TargetUri::parse(one), TargetUri::parse(other));
    for (text, parsed) in [(one, &left), (other, &right)] {
        let parsed = parsed.as_ref().ok().map(TargetUri::as_str);
        assert_eq!(parsed, reference(text).as_deref(), "{text:?}");
        let Some(normal) = parsed else {
            continue;
        };
        assert_eq!(TargetUri::parse(normal).unwrap().as_str(), normal, "{text:?}");
        assert!(normal.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'), "{text:?}");
    }
    if let (Ok(left), Ok(right)) = (left, right) {
        assert_eq!(left == right, reference(one) == reference(other), "{one:?} {other:?}");
        assert_eq!(format!("{}{}", left.origin(), left.path()), left.as_str());
        assert!(left.path().starts_with('/'));
        assert!(!left.origin()["https://".len()..].contains(['/', '?', '#', '@']));
    }
}

/// The normal form of a URI without query and fragment, by the letter of RFC 3986: split as Appendix B
/// says, dot segments removed as §5.2.4 says. Slow, and without a thought for what is normal already.
pub fn reference(text: &str) -> Option<String> {
    const UNRESERVED: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    const IN_PATHS: &str = "!$&'()*+,;=:@\"[]^{|}/";
    const IN_QUERIES: &str = "?";

    if text.len() > 8192 {
        return None;
    }
    // ^(([^:/?#]+):)?(//([^/?#]*))?([^?#]*)(\?([^#]*))?(#(.*))?
    let (text, fragment) = halves(text, '#');
    let (text, query) = halves(text, '?');
    let (scheme, text) = text.split_once("://")?;
    let slash = text.find('/').unwrap_or(text.len());
    let (authority, path) = (&text[..slash], &text[slash..]);

    let scheme = scheme.to_ascii_lowercase();
    let default = match scheme.as_str() {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };

    let authority = authority.to_ascii_lowercase();
    let colon = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    let (host, port) = match colon {
        Some(at) => (&authority[..at], &authority[at + 1..]),
        None => (authority.as_str(), ""),
    };
    match host.strip_prefix('[') {
        Some(literal) => {
            literal.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok()?;
        }
        None => {
            let labels: Vec<_> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
            let letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if !labels.iter().all(|label| !label.is_empty() && label.chars().all(letter)) {
                return None;
            }
        }
    }
    let port = match port {
        "" => String::new(),
        _ => {
            let number: u32 = port.parse().ok()?;
            if number.to_string() != port || !(1..=65_535).contains(&number) {
                return None;
            }
            if number == default { String::new() } else { format!(":{number}") }
        }
    };

    let mut decoded = String::new();
    for (part, extra, kept) in
        [(path, "", true), (query, IN_QUERIES, false), (fragment, IN_QUERIES, false)]
    {
        let mut pieces = part.split('%');
        let mut read = pieces.next()?.to_owned();
        let legal = |c: char| UNRESERVED.contains(c) || IN_PATHS.contains(c) || extra.contains(c);
        if !read.chars().all(legal) {
            return None;
        }
        for piece in pieces {
            let (digits, rest) = (piece.get(..2)?, piece.get(2..)?);
            if !digits.chars().all(|c| c.is_ascii_hexdigit()) || !rest.chars().all(legal) {
                return None;
            }
            let character = char::from(u8::from_str_radix(digits, 16).ok()?);
            if UNRESERVED.contains(character) {
                read.push(character);
            } else {
                read.push_str(&format!("%{}", digits.to_uppercase()));
            }
            read.push_str(rest);
        }
        if kept {
            decoded = read;
        }
    }
    let path = remove_dot_segments(&decoded);
    let path = if path.is_empty() { "/" } else { &path };
    Some(format!("{scheme}://{host}{port}{path}"))
}

/// A text before a mark and after it.
fn halves(text: &str, mark: char) -> (&str, &str) {
    text.split_once(mark).unwrap_or((text, ""))
}

/// RFC 3986 §5.2.4, step by step; its letters are those of the steps.
fn remove_dot_segments(path: &str) -> String {
    let (mut input, mut output) = (path.to_owned(), String::new());
    while !input.is_empty() {
        if let Some(rest) = input.strip_prefix("../").or(input.strip_prefix("./")) {
            input = rest.to_owned(); // A
        } else if input.starts_with("/./") || input == "/." {
            input = format!("/{}", input.get(3..).unwrap_or("")); // B
        } else if input.starts_with("/../") || input == "/.." {
            input = format!("/{}", input.get(4..).unwrap_or("")); // C
            output.truncate(output.rfind('/').unwrap_or(0));
        } else if input == "." || input == ".." {
            input.clear(); // D
        } else {
            let end = input[1..].find('/').map_or(input.len(), |at| at + 1); // E
            output.extend(input.drain(..end));
        }
    }
    output
}
