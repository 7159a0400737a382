//! Fuzz target of request headers and the framing of the body, by their bytes: what is accepted has one reading.
//! The input is a request as it comes on a connection.
#![no_main]

#[path = "../../gateway/src/raw_header.rs"]
mod raw_header;
#[path = "../../gateway/src/request_framing.rs"]
#[expect(dead_code, reason = "the gateway uses all of it")]
mod request_framing;
#[path = "../../gateway/src/request_line.rs"]
#[expect(dead_code, reason = "the gateway uses all of it")]
mod request_line;

use gatepost_domain::host::parse_host;
use gatepost_domain::path::{CanonicalPath, PathRules};
use gatepost_edge::request_validation::{Destination, MAX_HEADER_FIELDS, MAX_TARGET_BYTES, ValidatedRequest, validate};
use gatepost_edge::{BodyLength, RequestView};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use libfuzzer_sys::fuzz_target;
use request_framing::{BodyFraming, HeaderEndScanner};
use request_line::RequestLineState;

/// Fields that the parser has room for, as in Pingora.
const MAX_PARSED_FIELDS: usize = 256;

fuzz_target!(|input: &[u8]| {
    let Some((line, end)) = read_header(input) else { return };
    for piece in [1, 2, 3, 7] {
        assert_eq!(read_in_pieces(input, piece), (line, end), "in pieces of {piece}");
    }
    if line == RequestLineState::Valid {
        check_header(&input[..end], &input[end..]);
    }
});

/// Returns the state of the request line, and the end of the header. As the guard of a connection does.
fn read_header(input: &[u8]) -> Option<(RequestLineState, usize)> {
    let mut line = RequestLineState::NEW;
    let before = line.consume_line_ends(input);
    let length = HeaderEndScanner::default().find(&input[before..])?;
    line.consume(&input[before..before + length]);
    Some((line, before + length))
}

fn read_in_pieces(input: &[u8], piece: usize) -> (RequestLineState, usize) {
    let (mut line, mut scanner, mut read) = (RequestLineState::NEW, HeaderEndScanner::default(), 0);
    for bytes in input.chunks(piece) {
        let before = line.consume_line_ends(bytes);
        read += before;
        let bytes = &bytes[before..];
        if bytes.is_empty() {
            continue;
        }
        let end = scanner.find(bytes);
        let header = &bytes[..end.unwrap_or(bytes.len())];
        line.consume(header);
        read += header.len();
        if end.is_some() {
            break;
        }
    }
    (line, read)
}

fn check_header(header: &[u8], rest: &[u8]) {
    let header = header.strip_prefix(b"\r\n").unwrap_or(header);
    let mut fields = [httparse::EMPTY_HEADER; MAX_PARSED_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    if !parsed.parse(header).is_ok_and(|status| status.is_complete()) {
        return;
    }
    let Some((method, target, version, headers)) = convert(&parsed) else { return };
    let body = raw_header::check_lines(header).and_then(|()| raw_header::body_length(version, header));
    let request = RequestView {
        method: &method,
        version,
        target: target.as_bytes(),
        authority: None,
        headers: &headers,
        header_bytes: header.len(),
        body,
        peer: None,
    };
    if let Ok(Destination::Upstream(valid)) = validate(&request) {
        check_lines(header, &headers);
        check_fields(header, &request, &valid);
        check_body(valid.body, rest);
        check_target(&request, valid);
    }
}

fn convert<'a>(parsed: &httparse::Request<'_, 'a>) -> Option<(Method, &'a str, Version, HeaderMap)> {
    let method = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
    let version = if parsed.version? == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut headers = HeaderMap::new();
    for field in parsed.headers.iter() {
        headers.append(HeaderName::from_bytes(field.name.as_bytes()).ok()?, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some((method, parsed.path?, version, headers))
}

/// Every reader finds the same lines and the same fields.
fn check_lines(header: &[u8], headers: &HeaderMap) {
    let text = String::from_utf8_lossy(header);
    assert_eq!(text.matches('\r').count(), text.matches("\r\n").count(), "a CR by itself");
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "an LF by itself");
    assert!(!text.contains('\0'));
    let lines: Vec<&str> = text.trim_end_matches("\r\n").split("\r\n").skip(1).collect();
    assert_eq!(lines.len(), headers.len(), "the parser has joined or dropped lines");
    for line in lines {
        let (name, _) = line.split_once(':').expect("every line is a field");
        assert!(headers.contains_key(name), "{line:?} is no field of its own");
    }
}

fn check_fields(header: &[u8], request: &RequestView<'_>, valid: &ValidatedRequest<'_>) {
    assert!(!matches!(*request.method, Method::TRACE | Method::CONNECT));
    assert!(request.headers.len() <= MAX_HEADER_FIELDS && request.target.len() <= MAX_TARGET_BYTES);
    let hosts = request.headers.get_all("host").iter().count();
    assert!(hosts == 1 || hosts == 0 && request.version == Version::HTTP_10, "{hosts} hosts");
    assert!(valid.host.is_empty() && hosts == 0 || parse_host(valid.host) == Some(valid.host));
    // Not by the parser, which drops a length next to an encoding.
    let count = |name: &str| {
        let text = String::from_utf8_lossy(header).to_ascii_lowercase();
        text.lines().filter(|line| line.split(':').next().is_some_and(|field| field.trim() == name)).count()
    };
    match (count("transfer-encoding"), count("content-length"), valid.body) {
        (0, 0, BodyLength::Known(0)) => {}
        (0, 1, BodyLength::Known(_)) => {}
        (1, 0, BodyLength::Unknown) => assert_eq!(request.version, Version::HTTP_11),
        framing => panic!("accepted with {framing:?}"),
    }
}

fn check_target(request: &RequestView<'_>, valid: ValidatedRequest<'_>) {
    assert!(request.target.iter().all(u8::is_ascii_graphic) && !request.target.contains(&b'#'));
    let path = valid.resource.path.as_str().to_owned();
    assert_eq!(CanonicalPath::parse(&path).as_ref().map(CanonicalPath::as_str), Ok(path.as_str()));
    assert_eq!(valid.resource.into_target(&PathRules::default()).path(request.target), path);
}

/// The end of a body does not depend on how it comes, and is where the parser's decoder finds it.
fn check_body(length: BodyLength, bytes: &[u8]) {
    let mut whole = BodyFraming::from(length);
    let end = whole.consume(bytes);
    for piece in [1, 2, 3, 7] {
        let (mut body, mut read) = (BodyFraming::from(length), 0);
        for bytes in bytes.chunks(piece) {
            read += body.consume(bytes);
        }
        assert_eq!((body, read), (whole, end), "in pieces of {piece}");
    }
    if let (BodyLength::Unknown, Some(decoded)) = (length, end_of_chunks(bytes)) {
        assert_eq!((end, whole.is_complete()), (decoded, true));
    }
}

/// Returns the end of a chunked body without trailers, if it is complete and in strict form.
fn end_of_chunks(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(&bytes[at..]) else {
            return None;
        };
        let data = at.checked_add(line)?;
        let end = data.checked_add(usize::try_from(size).ok()?)?;
        if bytes.get(end..end.checked_add(2)?)? != b"\r\n" {
            return None;
        }
        at = end + 2;
        if size == 0 {
            return Some(at);
        }
    }
}
