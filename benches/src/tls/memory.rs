//! Memory of an idle connection with TLS: growth of a proxy that was just started, while clients open connections and
//! send one request on each.

use serde_json::json;

use super::{PATH, TlsBench};
use crate::findings::Findings;
use crate::generator::{self, Requests};
use crate::peers::{self, Peer};
use crate::report::Table;

/// Connections that are opened and closed first, so that what a proxy needs once does not count.
const FIRST_CONNECTIONS: usize = 10;

pub(super) fn run(bench: &TlsBench) -> anyhow::Result<Findings> {
    let mut measured = Vec::new();
    for peer in bench.start_peers("memory")? {
        measured.push((peer.name, bytes_a_connection(bench, &peer)?));
    }
    let gatepost = measured.iter().find(|(name, _)| *name == peers::GATEPOST).map(|(_, bytes)| *bytes);
    let mut table = Table::with_columns(&["proxy", "KiB an idle connection", "Gatepost in parts of it"]);
    for (name, bytes) in &measured {
        let ratio = gatepost.map_or_else(|| "-".to_owned(), |gatepost| format!("{:.2}", gatepost / bytes));
        table.add_row(vec![(*name).to_owned(), format!("{:.1}", bytes / 1024.0), ratio]);
    }
    let title = format!("Memory of an idle connection with TLS, of {}", bench.idle_connections);
    let json = measured.into_iter().map(|(name, bytes)| (name.to_owned(), json!({"bytes_a_connection": bytes})));
    Ok(Findings::of_table(&title, table, serde_json::Value::Object(json.collect())))
}

fn bytes_a_connection(bench: &TlsBench, peer: &Peer) -> anyhow::Result<f64> {
    let mut requests = Requests::get(PATH, bench.keys());
    let mut resident_with = |connections: usize| {
        generator::with_idle_connections(&peer.target(), &mut requests, connections, || peer.resident_bytes())
    };
    let before = resident_with(FIRST_CONNECTIONS)?;
    let grown = resident_with(bench.idle_connections)?.saturating_sub(before);
    peer.truncate_log()?;
    Ok(grown as f64 / bench.idle_connections as f64)
}
