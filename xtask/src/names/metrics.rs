//! The list of metrics for users, held against those of the sources.

use std::collections::BTreeSet;

use super::Names;

/// How the name of each metric starts, and the name of nothing else.
const PREFIX: &str = "gatepost_";

/// Returns a line for each metric that the page lacks or lists without need.
pub(super) fn find_differences(names: &Names, page: &str) -> Vec<String> {
    let texts = names.0.iter().filter_map(|name| name.strip_prefix("text "));
    let defined: BTreeSet<&str> = texts.filter(|name| name.starts_with(PREFIX)).collect();
    let listed: BTreeSet<&str> = page.lines().filter_map(listed_metric).collect();
    let missing = defined.difference(&listed).map(|name| format!("{name} has no row"));
    let gone = listed.difference(&defined).map(|name| format!("{name} has a row and is no metric"));
    missing.chain(gone).collect()
}

/// Returns the metric of a row of a table, whose first cell is the name and the labels.
fn listed_metric(line: &str) -> Option<&str> {
    let cell = line.strip_prefix("| `")?;
    let name = cell.split(['`', '{']).next()?;
    name.starts_with(PREFIX).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_and_their_rows_correspond() {
        let mut names = Names::default();
        for name in ["gatepost_a", "gatepost_b_total", "route"] {
            names.add("text", name);
        }
        let page = "`gatepost_c`\n| `gatepost_a` | gauge | … |\n| `gatepost_d{of}` | counter | … |\n";
        let differences = ["gatepost_b_total has no row", "gatepost_d has a row and is no metric"];
        assert_eq!(find_differences(&names, page), differences);
    }
}
