//! The closed list of what a process starts.

/// How long a task lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the process: after a panic it is started again.
    Process,
    /// One connection, request, delivery or operation: a panic ends that one.
    Temporary,
}

macro_rules! tasks {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $lifetime:ident;)*) => {
        /// What a process starts, each with its label in `gatepost_panics_total{task}`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Task {
            $($(#[$doc])* $name,)*
        }

        impl Task {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its label in metrics, in the log and in `/readyz`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }

            /// How long it lives.
            pub fn lifetime(self) -> Lifetime {
                match self {
                    $(Self::$name => Lifetime::$lifetime,)*
                }
            }
        }
    };
}

tasks! {
    /// Accepts connections of clients.
    GatewayListener = "gateway-listener", Process;
    /// A client's connection.
    GatewayConnection = "gateway-connection", Temporary;
    /// Accepts connections of the admin API.
    AdminListener = "admin-listener", Process;
    /// A connection of the admin API.
    AdminConnection = "admin-connection", Temporary;
    /// Accepts connections of `/metrics`, `/livez` and `/readyz`.
    OpsListener = "ops-listener", Process;
    /// A connection of these.
    OpsConnection = "ops-connection", Temporary;
    /// Accepts commands on the Unix socket.
    ControlSocket = "control-socket", Process;
    /// A command on it.
    ControlSocketConnection = "control-socket-connection", Temporary;
    /// Reads the stream for a gateway's cache.
    Sync = "sync", Process;
    /// Sends a gateway's heartbeats.
    Heartbeat = "heartbeat", Process;
    /// Repeats claims of first use that the store has not answered.
    FirstUseSweep = "first-use-sweep", Process;
    /// Gives back what is leased of limits and not used.
    LeaseSweep = "lease-sweep", Process;
    /// Adds counted uses to the store's.
    UsageSweep = "usage-sweep", Process;
    /// A fetch of a key from the store.
    Fetch = "fetch", Temporary;
    /// A lease of a limit.
    LimitLease = "limit-lease", Temporary;
    /// The return of a lease.
    LimitReturn = "limit-return", Temporary;
    /// An addition of uses.
    UsageFlush = "usage-flush", Temporary;
    /// Makes deliveries of events.
    FanOut = "fan-out", Process;
    /// Leases due deliveries and starts them.
    Dispatcher = "dispatcher", Process;
    /// A delivery.
    Delivery = "delivery", Temporary;
    /// Gathers results of deliveries.
    Settler = "settler", Process;
    /// Writes results of deliveries.
    Settlement = "settlement", Temporary;
    /// Trims the stream and the queues.
    Housekeeping = "housekeeping", Process;
    /// Asks the store how it is, for `/readyz`.
    StoreProbe = "store-probe", Process;
    /// Asks the gateway's cache how it is, for `/readyz`.
    CacheProbe = "cache-probe", Process;
    /// Writes again what a new master of Redis has lost.
    FailoverReplay = "failover-replay", Process;
    /// Writes the embedded store.
    StoreWriter = "store-writer", Process;
    /// A write of it.
    StoreWrite = "store-write", Temporary;
    /// A long read of it, or its opening.
    StoreRead = "store-read", Temporary;
    /// Reads the file of an import.
    ImportFile = "import-file", Temporary;
    /// Writes the log.
    LogWriter = "log-writer", Process;
    /// Writes the access log.
    AccessLogWriter = "access-log-writer", Process;
    /// A server of the demo.
    DemoServer = "demo-server", Process;
    /// A connection of it.
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
