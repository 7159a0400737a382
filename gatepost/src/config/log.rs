//! Configuration of the log.

use super::parsers::ParseSettingError;
use super::reader::Section;

const LOG_FORMATS: [(&str, LogFormatSetting); 3] =
    [("auto", LogFormatSetting::Auto), ("text", LogFormatSetting::Text), ("json", LogFormatSetting::Json)];

#[derive(Debug, Clone)]
pub(crate) struct LogConfig {
    pub(crate) filter: String,
    pub(crate) format: LogFormatSetting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormatSetting {
    /// Text at a terminal, else JSON.
    Auto,
    Text,
    Json,
}

pub(super) fn read(mut section: Section<'_>) -> LogConfig {
    let config = LogConfig {
        filter: section.parsed("filter", "info".to_owned(), parse_filter),
        format: section.word("format", LogFormatSetting::Auto, &LOG_FORMATS),
    };
    section.reject_unknown_keys();
    config
}

fn parse_filter(text: &str) -> Result<String, ParseSettingError> {
    match text.parse::<tracing_subscriber::EnvFilter>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(ParseSettingError::from(error)),
    }
}
