//! Bars in SVG, with the same numbers as a table.

use maud::{Markup, html};

use super::table::Column::{Number, Text};
use super::{number, table};

/// Width of a bar and of the gap after it, and height of the chart, in units of the SVG.
const BAR_WIDTH: usize = 8;
const BAR_GAP: usize = 2;
const HEIGHT: u64 = 80;
/// Height of the smallest bar that is not zero.
const MIN_BAR: u64 = 2;

/// A bar: its label and its value.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: u64,
}

/// Draws bars, oldest first. `unit` names what is counted, such as `requests`.
pub(crate) fn bars(title: &str, unit: &str, bars: &[Bar]) -> Markup {
    let max = bars.iter().map(|bar| bar.value).max().unwrap_or_default();
    let sum: u64 = bars.iter().map(|bar| bar.value).sum();
    let width = bars.len() * (BAR_WIDTH + BAR_GAP);
    html! {
        figure.chart {
            figcaption { span { (title) } strong { (number::grouped(sum)) " " (unit) } }
            svg viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                aria-label={ (title) ": " (sum) " " (unit) } {
                line x1="0" x2=(width) y1=(HEIGHT) y2=(HEIGHT) class="axis" {}
                @for (index, bar) in bars.iter().enumerate() {
                    @let height = bar_height(bar.value, max);
                    rect x=(index * (BAR_WIDTH + BAR_GAP)) y=(HEIGHT - height) width=(BAR_WIDTH) height=(height) rx="1" {
                        title { (bar.label) ": " (number::grouped(bar.value)) " " (unit) }
                    }
                }
            }
            @if let (Some(first), Some(last)) = (bars.first(), bars.last()) {
                div.axis-labels aria-hidden="true" { span { (first.label) } span { (last.label) } }
            }
            details.chart-numbers {
                summary { "Numbers" }
                (table::of(&format!("{title} as a table"), &[Text("Time"), Number(unit)], html! {
                    @for bar in bars.iter().rev().filter(|bar| bar.value > 0) {
                        tr { td { (bar.label) } td.number { (number::grouped(bar.value)) } }
                    }
                }))
            }
        }
    }
}

/// Draws the bars without their numbers, for a row of a table. One path is shorter than a rectangle for each bar.
pub(crate) fn small(title: &str, unit: &str, bars: &[Bar]) -> Markup {
    let max = bars.iter().map(|bar| bar.value).max().unwrap_or_default();
    let sum: u64 = bars.iter().map(|bar| bar.value).sum();
    let path: String =
        bars.iter().enumerate().filter(|(_, bar)| bar.value > 0).fold(String::new(), |path, (index, bar)| {
            let (left, height) = (index * (BAR_WIDTH + BAR_GAP), bar_height(bar.value, max));
            path + &format!("M{left} {HEIGHT}v-{height}h{BAR_WIDTH}v{height}z")
        });
    html! {
        svg.small-chart viewBox={ "0 0 " (bars.len() * (BAR_WIDTH + BAR_GAP)) " " (HEIGHT) } preserveAspectRatio="none"
            role="img" aria-label={ (title) ": " (sum) " " (unit) } {
            path d=(path) {}
        }
        " " (number::grouped(sum))
    }
}

fn bar_height(value: u64, max: u64) -> u64 {
    match value {
        0 => 0,
        _ => (u128::from(value) * u128::from(HEIGHT) / u128::from(max.max(1))).max(u128::from(MIN_BAR)) as u64,
    }
}
