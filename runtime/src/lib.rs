//! Tasks and threads of a process: started here and nowhere else, so that a panic ends one thing only. And the writer of
//! log lines, which waits for nobody.

mod fail_point;
mod health;
mod log_writer;
mod panics;
mod start;
mod supervise;
mod task;

pub use fail_point::reached as fail_point;
pub use health::{TaskHealth, gave_up, health};
pub use log_writer::{LogWriter, write_to_stderr};
pub use panics::{Panicked, catch, catch_sync, install_hook, register_metrics};
pub use start::{blocking, spawn, spawn_on, spawn_or};
pub use supervise::{supervise, supervise_on, supervise_thread};
pub use task::{Lifetime, Task};
