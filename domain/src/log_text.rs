//! Log lines for people at a terminal: time, what happened, and its details, in colours.

use anstyle::{AnsiColor, Style};

use crate::time::Timestamp;

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
/// `10:00:00.042Z` within `2026-11-23T10:00:00.042Z`.
const TIME_OF_DAY: usize = "2026-11-23T".len();

/// Format of all log lines of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// An object for each line.
    Json,
    /// For people.
    Text(Colours),
}

/// Whether parts of a line are coloured by escape sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// For terminals that show colours.
    On,
    /// For people who want none, and for files.
    Off,
}

/// How bad an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Somebody must act.
    Error,
    /// Somebody may have to act.
    Warning,
    /// Nobody has to act.
    Info,
    /// For those who look for a fault.
    Debug,
}

/// One line. It stays one line whatever its parts contain, and only its own control characters reach the terminal.
#[derive(Debug)]
pub struct LogText {
    text: String,
    colours: Colours,
}

/// A request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct LoggedRequest<'a> {
    /// 0 if there was no response.
    pub status: u16,
    /// Method of HTTP.
    pub method: &'a str,
    /// Path, or the route that it matched.
    pub path: &'a str,
    /// Time until the response ended, in microseconds.
    pub duration_us: u64,
    /// Who sent it, or why it failed.
    pub note: &'a str,
}

impl LogText {
    /// Begins a line with a time of day, in UTC as in all other places.
    pub fn new(at: Timestamp, colours: Colours) -> Self {
        let mut line = Self { text: String::with_capacity(128), colours };
        line.push_styled(DIM, at.to_string().get(TIME_OF_DAY..).unwrap_or_default());
        line
    }

    /// Returns the line of an event. The names of details are dimmed.
    pub fn event<'a>(
        mut self,
        severity: Severity,
        message: &str,
        details: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> String {
        let (label, style) = severity.label();
        self.push_styled(style, label);
        self.push_styled(Style::new(), message);
        for (name, value) in details {
            self.push_styled(DIM, name);
            self.text.push('=');
            self.push_escaped(value);
        }
        self.finish()
    }

    /// Returns the line of a request.
    pub fn request(mut self, request: &LoggedRequest<'_>) -> String {
        let status = if request.status == 0 { "---".to_owned() } else { request.status.to_string() };
        self.push_styled(status_style(request.status), &status);
        self.push_styled(BOLD, request.method);
        self.push_styled(Style::new(), request.path);
        self.push_styled(DIM, &duration(request.duration_us));
        self.push_styled(DIM, request.note);
        self.finish()
    }

    /// Appends a part, unless it is empty, after a space if there is one before it.
    fn push_styled(&mut self, style: Style, part: &str) {
        if part.is_empty() {
            return;
        }
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        let style = match self.colours {
            Colours::On => style,
            Colours::Off => Style::new(),
        };
        self.text.push_str(&style.render().to_string());
        self.push_escaped(part);
        self.text.push_str(&style.render_reset().to_string());
    }

    /// Escapes all that is not visible: a client must neither forge a line nor move the cursor.
    fn push_escaped(&mut self, part: &str) {
        for character in part.chars() {
            match character {
                ' '..='~' => self.text.push(character),
                _ => self.text.extend(character.escape_debug()),
            }
        }
    }

    fn finish(mut self) -> String {
        self.text.push('\n');
        self.text
    }
}

impl Severity {
    fn label(self) -> (&'static str, Style) {
        match self {
            Severity::Error => ("ERROR", AnsiColor::Red.on_default().bold()),
            Severity::Warning => ("WARN ", AnsiColor::Yellow.on_default().bold()),
            Severity::Info => ("INFO ", AnsiColor::Green.on_default()),
            Severity::Debug => ("DEBUG", DIM),
        }
    }
}

fn status_style(status: u16) -> Style {
    match status {
        200..=299 => AnsiColor::Green.on_default(),
        100..=199 | 300..=399 => AnsiColor::Cyan.on_default(),
        400..=499 => AnsiColor::Yellow.on_default(),
        _ => AnsiColor::Red.on_default(),
    }
}

/// Returns microseconds as people read them.
fn duration(us: u64) -> String {
    match us {
        0..1000 => format!("{us}µs"),
        1000..1_000_000 => format!("{}.{}ms", us / 1000, us % 1000 / 100),
        _ => format!("{}.{}s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(colours: Colours) -> LogText {
        LogText::new(Timestamp::parse("2026-11-23T10:00:00.042Z").unwrap(), colours)
    }

    #[test]
    fn an_event_is_a_line_with_its_details() {
        let details = [("address", "127.0.0.1:8080"), ("error", "a: b")];
        assert_eq!(
            line(Colours::Off).event(Severity::Info, "the gateway listens", details),
            "10:00:00.042Z INFO  the gateway listens address=127.0.0.1:8080 error=a: b\n"
        );
        assert_eq!(
            line(Colours::On).event(Severity::Warning, "slow", [("by", "1 s")]),
            "\x1b[2m10:00:00.042Z\x1b[0m \x1b[1m\x1b[33mWARN \x1b[0m slow \x1b[2mby\x1b[0m=1 s\n"
        );
    }

    #[test]
    fn a_request_is_a_short_line() {
        let request = LoggedRequest { status: 200, method: "GET", path: "/v1/items", duration_us: 1234, note: "key_1" };
        assert_eq!(line(Colours::Off).request(&request), "10:00:00.042Z 200 GET /v1/items 1.2ms key_1\n");
        let failed = LoggedRequest { status: 0, duration_us: 999, note: "", ..request };
        assert_eq!(line(Colours::Off).request(&failed), "10:00:00.042Z --- GET /v1/items 999µs\n");
        for (status, colour) in [(204, 32), (304, 36), (401, 33), (502, 31), (0, 31)] {
            let text = line(Colours::On).request(&LoggedRequest { status, ..request });
            assert!(text.contains(&format!("\x1b[{colour}m")), "{status}: {text:?}");
        }
    }

    #[test]
    fn no_part_ends_the_line_or_controls_the_terminal() {
        let hostile = "a\nb\r\x1b[2J\u{9b}31m\u{7}\u{202e}é";
        let request = LoggedRequest { status: 200, method: hostile, path: hostile, duration_us: 1, note: hostile };
        for text in [
            line(Colours::Off).request(&request),
            line(Colours::Off).event(Severity::Error, hostile, [(hostile, hostile)]),
        ] {
            let (text, end) = text.split_at(text.len() - 1);
            assert_eq!(end, "\n");
            assert!(!text.chars().any(|character| character.is_control() || character == '\u{202e}'), "{text:?}");
            assert_eq!(text.matches("a\\nb\\r\\u{1b}[2J\\u{9b}31m\\u{7}\\u{202e}é").count(), 3, "{text:?}");
        }
    }
}
