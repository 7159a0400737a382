//! Times: relative, with the exact one on hover.

use gatepost_domain::time::Timestamp;
use maud::{Markup, html};

use super::number;

/// Shows a time relative to now, such as `3 min ago` or `in 2 h`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(at) title=(exact(at)) { (relative_text(at, now)) } }
}

/// Writes a time in UTC to the second.
pub(crate) fn exact(at: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text.split_once('.').map_or(text.as_str(), |(seconds, _)| seconds);
    format!("{} UTC", seconds.replace('T', " "))
}

pub(crate) fn relative_text(at: Timestamp, now: Timestamp) -> String {
    let (past, future) = (now.since(at), at.since(now));
    match (past.as_secs(), future.as_secs()) {
        (0, 0) => "now".to_owned(),
        (0, _) => format!("in {}", number::duration(future)),
        _ => format!("{} ago", number::duration(past)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_relative_in_both_directions() {
        let now = Timestamp::from_ms(1_700_000_000_000);
        let (hour, instant) = (Duration::from_secs(3600), Duration::from_millis(300));
        assert_eq!(relative_text(now.minus(hour), now), "1 h ago");
        assert_eq!(relative_text(now.plus(hour), now), "in 1 h");
        assert_eq!(relative_text(now.plus(instant), now), "now");
        assert_eq!(exact(now), "2023-11-14 22:13:20 UTC");
    }
}
