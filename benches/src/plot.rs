//! Bar charts with ranges as SVG, for light and dark pages.

use svg::Document;
use svg::node::element::{Line, Rectangle, Style, Text};

/// Sizes in px.
const WIDTH: f64 = 760.0;
const LABELS: f64 = 230.0;
const VALUES: f64 = 90.0;
const ROW: f64 = 30.0;
const TITLE: f64 = 44.0;

const STYLE: &str = "text { font: 13px sans-serif; fill: #57606a } .title { font-size: 15px; font-weight: bold } \
                     .bar { fill: #8ea8c3 } .own { fill: #d4652f } line { stroke: #57606a; stroke-width: 1.5 } \
                     @media (prefers-color-scheme: dark) { text { fill: #c9d1d9 } line { stroke: #c9d1d9 } }";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BarOwner {
    Gatepost,
    Peer,
}

#[derive(Debug, Clone)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    /// Minimum and maximum of the measurements.
    pub(crate) range: Option<(f64, f64)>,
    pub(crate) owner: BarOwner,
}

/// Draws bars below each other.
pub(crate) fn bars(title: &str, bars: &[Bar]) -> String {
    let greatest = bars.iter().map(|bar| bar.range.map_or(bar.value, |(_, max)| max.max(bar.value)));
    let scale = (WIDTH - LABELS - VALUES) / greatest.fold(f64::MIN_POSITIVE, f64::max);
    let height = TITLE + ROW * bars.len() as f64 + 10.0;
    let mut document = Document::new()
        .set("viewBox", (0, 0, WIDTH, height))
        .set("role", "img")
        .set("aria-label", title)
        .add(Style::new(STYLE))
        .add(text(title, 10.0, 26.0, "start").set("class", "title"));
    for (number, bar) in bars.iter().enumerate() {
        let top = TITLE + ROW * number as f64;
        let class = if bar.owner == BarOwner::Gatepost { "own" } else { "bar" };
        let rectangle = Rectangle::new().set("class", class).set("x", LABELS).set("y", round(top + 4.0));
        document = document
            .add(text(&bar.label, LABELS - 10.0, top + 20.0, "end"))
            .add(rectangle.set("width", round(bar.value * scale)).set("height", ROW - 8.0))
            .add(text(&format_value(bar.value), LABELS + bar_end(bar) * scale + 8.0, top + 20.0, "start"));
        if let Some((min, max)) = bar.range {
            document = document.add(whisker(min * scale, max * scale, top + ROW / 2.0));
        }
    }
    document.to_string()
}

fn bar_end(bar: &Bar) -> f64 {
    bar.range.map_or(bar.value, |(_, max)| max.max(bar.value))
}

fn whisker(from: f64, to: f64, y: f64) -> Line {
    Line::new().set("x1", round(LABELS + from)).set("x2", round(LABELS + to)).set("y1", round(y)).set("y2", round(y))
}

fn text(content: &str, x: f64, y: f64, anchor: &str) -> Text {
    Text::new(content).set("x", round(x)).set("y", round(y)).set("text-anchor", anchor)
}

fn round(px: f64) -> f64 {
    (px * 10.0).round() / 10.0
}

fn format_value(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") }
}
