//! Times as options of the command line.

use std::time::Duration;

/// The text is not a time.
#[derive(Debug, thiserror::Error)]
#[error("must be a number of seconds, minutes, hours or days, such as 30s, 15m, 1h or 2d")]
pub(super) struct ParseAgeError;

pub(super) fn parse_age(text: &str) -> Result<Duration, ParseAgeError> {
    let unit_s = match text.chars().next_back() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 24 * 3600,
        Some(_) | None => return Err(ParseAgeError),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| ParseAgeError)?;
    Ok(Duration::from_secs(u64::from(number) * unit_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_with_a_unit() {
        for (text, seconds) in [("0s", 0), ("30s", 30), ("15m", 900), ("1h", 3600), ("2d", 172_800)] {
            assert_eq!(parse_age(text).unwrap(), Duration::from_secs(seconds));
        }
        for text in ["", "s", "1", "1 h", "-1h", "1.5h", "1w", "1ä"] {
            assert!(parse_age(text).is_err(), "{text}");
        }
    }
}
