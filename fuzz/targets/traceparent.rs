//! Fuzz target of `traceparent`: what is accepted has the form of W3C Trace Context, and what is passed on names the
//! same trace.
#![no_main]

use std::num::NonZeroU64;

use libfuzzer_sys::fuzz_target;
use traceparent::{Sampling, Traceparent};

#[path = "../../gateway/src/traceparent.rs"]
#[expect(dead_code, reason = "the gateway uses all of it")]
mod traceparent;

fuzz_target!(|input: &[u8]| {
    let Some(parsed) = Traceparent::parse(input) else { return };
    let text = std::str::from_utf8(&input[..55]).expect("the fields are ASCII");
    let fields: Vec<&str> = text.split('-').collect();
    assert_eq!(fields.iter().map(|field| field.len()).collect::<Vec<_>>(), [2, 32, 16, 2]);
    assert!(fields.iter().all(|field| *field == field.to_ascii_lowercase()));
    let number = |field: &str| u128::from_str_radix(field, 16).expect("a field is a number");
    let [version, trace_id, parent_id, flags] = [0, 1, 2, 3].map(|index| number(fields[index]));
    assert!(version < 255 && trace_id != 0 && parent_id != 0);
    assert!(input.len() == 55 || version > 0 && input[55] == b'-');
    assert_eq!(parsed.sampling == Sampling::Sampled, flags & 1 == 1);
    let span_id = NonZeroU64::new(parent_id as u64).expect("it is not 0");
    let passed_on = parsed.with_parent(span_id);
    assert_eq!(passed_on.as_bytes(), format!("00-{trace_id:032x}-{parent_id:016x}-{:02x}", flags & 1).as_bytes());
    assert_eq!(Traceparent::parse(passed_on.as_bytes()), Some(parsed));
});
