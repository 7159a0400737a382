//! Result of a benchmark: tables, sentences, and JSON for a file.

use serde_json::{Value, json};

use crate::report::{self, NoiseMonitor, Table, print_line};
use crate::rounds::Case;

#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Tables with their titles.
    pub(crate) tables: Vec<(String, Table)>,
    /// Sentences below the tables.
    pub(crate) notes: Vec<String>,
    pub(crate) json: Value,
}

impl Findings {
    /// Returns one table with the figures of its cases.
    pub(crate) fn of_cases(title: &str, table: Table, cases: &[Case]) -> Self {
        let figures = cases.iter().map(|case| (case.name.clone(), json!(case.figures)));
        Self::of_table(title, table, Value::Object(figures.collect()))
    }

    /// Returns one table.
    pub(crate) fn of_table(title: &str, table: Table, json: Value) -> Self {
        Self { tables: vec![(title.to_owned(), table)], notes: Vec::new(), json }
    }

    /// Prints the tables and the noise of the machine, and writes a file with the seed of the order, if it has one.
    pub(crate) fn report(&self, file: &str, seed: Option<u64>, monitor: &NoiseMonitor) -> anyhow::Result<()> {
        for (title, table) in &self.tables {
            print_line(&format!("### {title}\n\n{}", table.to_markdown()));
        }
        for note in &self.notes {
            print_line(note);
        }
        let noise = monitor.noise();
        print_line(&noise.summary());
        let json = json!({"seed": seed, "noise": noise, "found": self.json});
        print_line(&format!("{}\n", report::write_json(file, &json)?.display()));
        Ok(())
    }
}
