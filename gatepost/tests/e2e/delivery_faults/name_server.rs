//! DNS server that answers real queries over UDP as a test tells it to.

use std::collections::HashMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex};

/// Maximum length of a query, which fits into a datagram without EDNS.
const MAX_QUERY_BYTES: usize = 512;
/// Length of the header in bytes (RFC 1035, section 4.1.1).
const HEADER_BYTES: usize = 12;
/// Type of queries for IPv4 addresses.
const TYPE_A: [u8; 2] = [0, 1];
/// Response codes.
const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;

/// Answer to queries for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Each query gets the next of these lists, from the first again after the last.
    Addresses(Vec<Vec<Ipv4Addr>>),
    NoSuchName,
    ServerFailure,
    /// The query is dropped.
    Silence,
}

/// Answers by name, each with the number of its queries for an address.
type Names = HashMap<String, (Answer, usize)>;

/// Running server, which ends with the test process.
#[derive(Clone, Default)]
pub(crate) struct NameServer(Arc<Mutex<Names>>);

impl NameServer {
    /// Starts a server on port 53 of the loopback interface.
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).unwrap();
        let server = Self::default();
        let names = server.clone();
        std::thread::spawn(move || {
            let mut query = [0; MAX_QUERY_BYTES];
            while let Ok((length, client)) = socket.recv_from(&mut query) {
                if let Some(response) = names.respond(&query[..length]) {
                    socket.send_to(&response, client).unwrap();
                }
            }
        });
        server
    }

    /// Changes the answer to queries for a name.
    pub(crate) fn set(&self, name: &str, answer: Answer) {
        self.0.lock().unwrap().insert(name.to_owned(), (answer, 0));
    }

    /// Returns how often the address of a name was queried since its answer was set.
    pub(super) fn query_count(&self, name: &str) -> usize {
        self.0.lock().unwrap()[name].1
    }

    /// Returns the response to a query, which has one question. Names have IPv4 addresses only.
    fn respond(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (name, question) = read_question(query)?;
        let is_address = question[question.len() - 4..].starts_with(&TYPE_A);
        let (code, addresses) = self.answer(&name, is_address)?;
        // The id; response, recursion desired and available; one question, the answers, no more sections.
        let mut response = query[..2].to_vec();
        response.extend_from_slice(&[0x81, 0x80 | code, 0, 1, 0, u8::try_from(addresses.len()).ok()?, 0, 0, 0, 0]);
        response.extend_from_slice(question);
        for address in addresses {
            // The name of the question, type A, class IN, a lifetime of 0 s, 4 bytes.
            response.extend_from_slice(&[0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
            response.extend_from_slice(&address.octets());
        }
        Some(response)
    }

    /// Returns response code and addresses for the next query for a name. `None` if it gets no response.
    fn answer(&self, name: &str, is_address: bool) -> Option<(u8, Vec<Ipv4Addr>)> {
        let mut names = self.0.lock().unwrap();
        let Some((answer, count)) = names.get_mut(name) else { return Some((NO_SUCH_NAME, Vec::new())) };
        let number = *count;
        *count += usize::from(is_address);
        match answer {
            Answer::Addresses(lists) if is_address => Some((NO_ERROR, lists[number % lists.len()].clone())),
            Answer::Addresses(_) => Some((NO_ERROR, Vec::new())),
            Answer::NoSuchName => Some((NO_SUCH_NAME, Vec::new())),
            Answer::ServerFailure => Some((SERVER_FAILURE, Vec::new())),
            Answer::Silence => None,
        }
    }
}

/// Returns the name of the only question, and its bytes: labels, type and class.
fn read_question(query: &[u8]) -> Option<(String, &[u8])> {
    let (mut labels, mut position) = (Vec::new(), HEADER_BYTES);
    loop {
        let length = usize::from(*query.get(position)?);
        position += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(position..position + length)?).to_ascii_lowercase());
        position += length;
    }
    Some((labels.join("."), query.get(HEADER_BYTES..position + 4)?))
}
