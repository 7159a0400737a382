//! Fuzz target of server-sent events: the events are the same however the bytes are split, and a change is read or
//! refused.
#![no_main]

// The program is no library.
#[path = "../../gatepost/src/relay/server_sent_events.rs"]
mod server_sent_events;

use libfuzzer_sys::fuzz_target;
use server_sent_events::{Frame, FrameParser, ParseFrameError};

fuzz_target!(|input: &[u8]| {
    let whole = parse(&[input]);
    assert_eq!(parse(&input.chunks(1).collect::<Vec<_>>()), whole);
    let (start, end) = input.split_at(input.len() / 2);
    assert_eq!(parse(&[start, end]), whole);
    let (frames, _) = whole;
    let bytes: usize = frames.iter().map(size).sum();
    assert!(bytes <= input.len(), "no text is read twice");
});

/// Returns the events, and why there are no more.
fn parse(pieces: &[&[u8]]) -> (Vec<Frame>, Option<ParseFrameError>) {
    let mut parser = FrameParser::default();
    let mut frames = Vec::new();
    for piece in pieces {
        parser.push(piece);
        loop {
            match parser.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fn size(frame: &Frame) -> usize {
    assert_ne!(*frame, Frame::default());
    [&frame.id, &frame.event, &frame.data].into_iter().flatten().map(String::len).sum()
}
