//! Tasks and threads of a process, all spawned here, so that a panic ends only one task; a log writer that never
//! blocks; errors as text; changes of files; and the registration of metrics.

#![warn(clippy::missing_errors_doc)]

mod error_chain;
mod fail_point;
mod file_stamp;
mod health;
mod log_writer;
mod panics;
mod plain_words;
mod process_metrics;
mod registered;
mod spawn;
mod supervise;
mod task;

pub use error_chain::error_chain;
pub use fail_point::reached as fail_point;
pub use file_stamp::FileStamp;
pub use health::{TaskHealth, health, wait_for_crash_loop};
pub use log_writer::{LogWriter, write_to_stderr, write_to_stdout};
pub use panics::{Panicked, catch, catch_sync, install_hook, register_panic_metric};
pub use plain_words::plain_words;
pub use process_metrics::register_process_metrics;
pub use registered::registered;
pub use spawn::{run_blocking, spawn, spawn_on, spawn_with_fallback};
pub use supervise::{supervise, supervise_on, supervise_thread};
pub use task::{Lifetime, Task};
