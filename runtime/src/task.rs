//! The closed list of tasks that a process spawns.

/// Lifetime of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the process. After a panic the task is restarted.
    Process,
    /// One connection, request, delivery or operation, which a panic ends.
    Temporary,
}

macro_rules! tasks {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $lifetime:ident;)*) => {
        /// A task of the process, with its label in `gatepost_panics_total{task}`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Task {
            $($(#[$doc])* $name,)*
        }

        impl Task {
            /// All tasks.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the label in metrics, in the log and in `/readyz`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }

            /// Returns the lifetime of the task.
            pub fn lifetime(self) -> Lifetime {
                match self {
                    $(Self::$name => Lifetime::$lifetime,)*
                }
            }
        }
    };
}

tasks! {
    /// Accepts client connections of the gateway.
    GatewayListener = "gateway-listener", Process;
    /// Serves a client connection of the gateway.
    GatewayConnection = "gateway-connection", Temporary;
    /// Takes over certificates of the gateway when their files change.
    CertificateRefresh = "certificate-refresh", Process;
    /// Resolves the names of an upstream's servers again.
    UpstreamResolver = "upstream-resolver", Process;
    /// Reports the state of the upstreams.
    UpstreamProbe = "upstream-probe", Process;
    /// Looks whether the configuration's file has changed.
    ConfigWatch = "config-watch", Process;
    /// Takes over a changed configuration.
    Reload = "reload", Temporary;
    /// Accepts connections of the admin API.
    AdminListener = "admin-listener", Process;
    /// Serves a connection of the admin API.
    AdminConnection = "admin-connection", Temporary;
    /// Accepts connections of `/metrics`, `/livez` and `/readyz`.
    OpsListener = "ops-listener", Process;
    /// Serves a connection of `/metrics`, `/livez` and `/readyz`.
    OpsConnection = "ops-connection", Temporary;
    /// Reports the state of the process to the service manager.
    ServiceManager = "service-manager", Process;
    /// Accepts commands on the control socket (Unix).
    ControlSocket = "control-socket", Process;
    /// Executes a command from the control socket.
    ControlSocketConnection = "control-socket-connection", Temporary;
    /// Follows the stream and keeps a gateway's cache up to date.
    Sync = "sync", Process;
    /// Sends a gateway's heartbeats.
    Heartbeat = "heartbeat", Process;
    /// Retries pending first-use claims.
    FirstUseSweep = "first-use-sweep", Process;
    /// Returns idle tokens of limits to the store.
    LeaseSweep = "lease-sweep", Process;
    /// Flushes usage to the store.
    UsageSweep = "usage-sweep", Process;
    /// Fetches a key from the store.
    Fetch = "fetch", Temporary;
    /// Leases tokens of a limit.
    LimitLease = "limit-lease", Temporary;
    /// Returns tokens of a limit.
    LimitReturn = "limit-return", Temporary;
    /// Flushes the usage of a project.
    UsageFlush = "usage-flush", Temporary;
    /// Turns events into deliveries.
    FanOut = "fan-out", Process;
    /// Leases due deliveries and starts them.
    Dispatcher = "dispatcher", Process;
    /// Sends a delivery.
    Delivery = "delivery", Temporary;
    /// Advances the recoveries of webhooks.
    WebhookRecovery = "webhook-recovery", Process;
    /// Batches settlements of deliveries.
    Settler = "settler", Process;
    /// Settles a batch of deliveries.
    Settlement = "settlement", Temporary;
    /// Trims the stream and the queues.
    Housekeeping = "housekeeping", Process;
    /// Rolls up old usage.
    UsageRollUp = "usage-roll-up", Process;
    /// Probes the store for `/readyz`.
    StoreProbe = "store-probe", Process;
    /// Probes the gateway's cache for `/readyz`.
    CacheProbe = "cache-probe", Process;
    /// Replays writes that a new Redis master has lost.
    FailoverReplay = "failover-replay", Process;
    /// Writes to the embedded store.
    StoreWriter = "store-writer", Process;
    /// Performs a write to the embedded store.
    StoreWrite = "store-write", Temporary;
    /// Performs a long read of the embedded store, or opens it.
    StoreRead = "store-read", Temporary;
    /// Imports the keys of an uploaded file.
    Import = "import", Temporary;
    /// Reads the file of an import.
    ImportFile = "import-file", Temporary;
    /// Writes the log.
    LogWriter = "log-writer", Process;
    /// Writes the access log.
    AccessLogWriter = "access-log-writer", Process;
    /// Accepts connections of a demo server.
    DemoServer = "demo-server", Process;
    /// Serves a connection of a demo server.
    DemoConnection = "demo-connection", Temporary;
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn labels_are_distinct() {
        let labels: HashSet<&str> = Task::ALL.iter().map(|task| task.as_str()).collect();
        assert_eq!(labels.len(), Task::ALL.len());
    }
}
