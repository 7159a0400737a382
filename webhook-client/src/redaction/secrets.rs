//! The secrets that the request of a message contains, in plaintext.

use percent_encoding::percent_decode_str;
use url::{Position, Url};
use zeroize::Zeroizing;

use crate::bounds::{MIN_SECRET_BYTES, MIN_SECRET_PART_BYTES, MIN_SECRET_WORD_BYTES};
use crate::message::Message;
use crate::sign;

/// Schemes of credentials, which stand before them in header values and hide nothing.
const CREDENTIAL_SCHEMES: [&str; 4] = ["basic", "bearer", "digest", "token"];

/// Returns every secret once. Those shorter than [`MIN_SECRET_BYTES`] are left out.
pub(super) fn of_message(message: &Message<'_>) -> Vec<Zeroizing<Vec<u8>>> {
    let mut secrets = Secrets::default();
    for value in message.confidential.iter().copied().chain(message.static_token) {
        secrets.add(value.expose());
    }
    for (_, value) in message.headers {
        secrets.add(value.expose().trim());
        secrets.add_words(value.expose());
    }
    for secret in message.secrets {
        let text = Zeroizing::new(sign::secret_text(secret.as_bytes()));
        secrets.add(&*text);
        secrets.add(text.trim_start_matches(sign::SECRET_PREFIX));
        secrets.add(secret.as_bytes());
    }
    secrets.add_url(message.url);
    secrets.0.sort_unstable_by(|one, other| one.as_slice().cmp(other.as_slice()));
    secrets.0.dedup();
    secrets.0
}

#[derive(Default)]
struct Secrets(Vec<Zeroizing<Vec<u8>>>);

impl Secrets {
    fn add(&mut self, secret: impl AsRef<[u8]>) {
        if secret.as_ref().len() >= MIN_SECRET_BYTES {
            self.0.push(Zeroizing::new(secret.as_ref().to_vec()));
        }
    }

    /// Adds the words of a header value that could be tokens, without their scheme.
    fn add_words(&mut self, value: &str) {
        let is_scheme = |word: &str| CREDENTIAL_SCHEMES.iter().any(|scheme| scheme.eq_ignore_ascii_case(word));
        let words = value.split_ascii_whitespace().filter(|word| may_be_secret(word) && !is_scheme(word));
        words.for_each(|word| self.add(word));
    }

    /// Adds what a webhook's masked URL hides: everything but scheme, host and port.
    fn add_url(&mut self, url: &Url) {
        self.add_encoded(&url[Position::BeforePath..Position::AfterQuery]);
        self.add_encoded(url.path());
        self.add_encoded(url.path().trim_matches('/'));
        let segments = url.path_segments().into_iter().flatten();
        segments.filter(|segment| may_be_secret(segment)).for_each(|segment| self.add_encoded(segment));
        self.add_encoded(url.query().unwrap_or_default());
        for parameter in url.query().unwrap_or_default().split('&') {
            // A parameter without a value is a value itself.
            self.add_encoded(parameter.split_once('=').map_or(parameter, |(_, value)| value));
        }
        self.add_encoded(url.username());
        self.add_encoded(url.password().unwrap_or_default());
    }

    /// Adds a part of a URL as it is written, and decoded.
    fn add_encoded(&mut self, part: &str) {
        self.add(part);
        self.add(&*Zeroizing::new(percent_decode_str(part).collect::<Vec<u8>>()));
        let spaced = Zeroizing::new(part.replace('+', " "));
        self.add(&*Zeroizing::new(percent_decode_str(&spaced).collect::<Vec<u8>>()));
    }
}

/// Returns whether a part of a path or of a header value may be secret by itself: if it is long, or no plain word.
fn may_be_secret(part: &str) -> bool {
    let is_plain = part.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'_'));
    part.len() >= if is_plain { MIN_SECRET_WORD_BYTES } else { MIN_SECRET_PART_BYTES }
}

#[cfg(test)]
mod tests {
    use gatepost_domain::id::EventId;
    use gatepost_domain::key::Secret;

    use super::*;
    use crate::sign::SigningSecret;

    fn check(url: &str, headers: &[&str], expected: &[&str]) {
        let headers: Vec<_> =
            headers.iter().map(|value| ("x-a".to_owned(), Secret::new((*value).to_owned()))).collect();
        let message = Message {
            url: &Url::parse(url).unwrap(),
            method: "POST",
            headers: &headers,
            id: &EventId::parse("evt_test").unwrap(),
            body: Vec::new(),
            secrets: &[],
            static_token: None,
            confidential: &[],
        };
        let found: Vec<_> =
            of_message(&message).iter().map(|secret| String::from_utf8_lossy(secret).into_owned()).collect();
        assert_eq!(found, expected, "{url} {headers:?}");
    }

    #[test]
    fn the_secret_parts_of_a_url_are_found() {
        check("https://example.com:8443/", &[], &[]);
        check("https://user:pass@example.com/", &[], &["pass", "user"]);
        check("https://example.com/in?k=1&abcd", &[], &["/in", "/in?k=1&abcd", "abcd", "k=1&abcd"]);
        let segment = "0123456789abcdef";
        let expected = [&format!("/a/{segment}/"), segment, &format!("a/{segment}")];
        check(&format!("https://example.com/a/{segment}/"), &[], &expected);
        let expected = ["/?k=%2Bb+c", "/?k=+b c", "/?k=+b+c", "%2Bb+c", "+b c", "+b+c", "k=%2Bb+c", "k=+b c", "k=+b+c"];
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        check("https://example.com/?k=%2Bb+c", &[], &expected);
    }

    #[test]
    fn header_values_and_their_long_words_are_found() {
        check("https://example.com/", &["1", "ab", "abc"], &["abc"]);
        check("https://example.com/", &[" Bearer 1234 "], &["1234", "Bearer 1234"]);
        check("https://example.com/", &["token abcdefgh word"], &["abcdefgh", "token abcdefgh word"]);
    }

    #[test]
    fn segments_that_may_be_secret_are_found() {
        for (segment, is_found) in [
            ("hooks", false),
            ("web-hook", true),
            ("in_2", true),
            ("v12", false),
            ("a1B2", true),
            ("Tabcd", true),
            ("incoming", true),
            ("T00000000", true),
        ] {
            assert_eq!(may_be_secret(segment), is_found, "{segment}");
            let whole = format!("/a/{segment}/b");
            let mut expected = vec![whole.as_str(), whole.trim_matches('/')];
            expected.extend(is_found.then_some(segment));
            expected.sort_unstable();
            check(&format!("https://example.com{whole}"), &[], &expected);
        }
    }

    #[test]
    fn every_form_of_a_signing_secret_is_found() {
        let message = Message {
            url: &Url::parse("https://example.com/").unwrap(),
            method: "POST",
            headers: &[],
            id: &EventId::parse("evt_test").unwrap(),
            body: Vec::new(),
            secrets: &[SigningSecret::Hmac(Zeroizing::new(b"\xff\xfe\xfd\xfc".to_vec()))],
            static_token: Some(&Secret::new("token".to_owned())),
            confidential: &[&Secret::new("value".to_owned())],
        };
        let expected: [&[u8]; 5] = [b"//79/A==", b"token", b"value", b"whsec_//79/A==", b"\xff\xfe\xfd\xfc"];
        let found = of_message(&message);
        assert_eq!(found.iter().map(|secret| secret.as_slice()).collect::<Vec<_>>(), expected);
    }
}
