//! Full and resumed handshakes: each connection is closed after its handshake, without a request.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::time::Instant;

use super::{TlsBench, comparison};
use crate::findings::Findings;
use crate::generator::HandshakeClients;
use crate::peers::Peer;
use crate::rounds::{self, Figures, Measurable, Plan, WARM_UP};

/// Each measurement is half as long as the others: a handshake takes many times as long as a request.
const PARTS_OF_DURATION: u32 = 2;

struct HandshakeCase {
    peer: Arc<Peer>,
    clients: HandshakeClients,
    figures: Figures,
}

impl Measurable for HandshakeCase {
    fn name(&self) -> &str {
        self.peer.name
    }

    fn measure(&mut self, duration: Duration) -> anyhow::Result<()> {
        self.clients.warm_up(WARM_UP).context(self.peer.name)?;
        let (started_at, before) = (Instant::now(), self.peer.cpu_time());
        let count = self.clients.run(duration).context(self.peer.name)?;
        let (elapsed, cpu_time) = (started_at.elapsed(), self.peer.cpu_time().saturating_sub(before));
        self.peer.truncate_log()?;
        self.figures.record(cpu_time, count, count as f64 / elapsed.as_secs_f64());
        Ok(())
    }
}

pub(super) fn run(bench: &TlsBench) -> anyhow::Result<Findings> {
    let peers = bench.start_peers("handshakes")?;
    let case = |peer: &Arc<Peer>, clients| {
        let figures = Figures::default();
        HandshakeCase { peer: Arc::clone(peer), clients, figures }
    };
    let tls = bench.tls.client.as_ref();
    let full = peers.iter().map(|peer| case(peer, HandshakeClients::full(peer.address, tls)));
    let resuming = peers.iter().map(|peer| case(peer, HandshakeClients::resuming(peer.address, tls)));
    let mut cases: Vec<HandshakeCase> = full.chain(resuming).collect();
    rounds::measure(&mut cases, Plan { duration: bench.plan.duration / PARTS_OF_DURATION, ..bench.plan })?;

    let mut findings = Findings::default();
    let (full, resumed) = cases.split_at(peers.len());
    for (title, cases) in [("Full handshakes", full), ("Resumed handshakes", resumed)] {
        let proxies: Vec<_> = cases.iter().map(|case| (case.peer.name, &case.figures)).collect();
        findings.tables.push((title.to_owned(), comparison("handshake", &proxies)));
        findings.json[title] =
            proxies.iter().map(|(name, figures)| json!({"proxy": name, "figures": figures})).collect();
    }
    Ok(findings)
}
