//! What the developer types: `r` and Enter sends the last event again.

use std::io::IsTerminal;

use tokio::io::{AsyncReadExt, Stdin, stdin};

/// Size of the buffer in bytes. Whether a key was pressed twice does not matter.
const BUFFER_BYTES: usize = 256;

/// Standard input, as long as it can be read.
pub(crate) struct Keyboard {
    stdin: Option<Stdin>,
    buffer: [u8; BUFFER_BYTES],
}

impl Keyboard {
    /// Opens standard input. A process in the background does not read its terminal: it would be stopped.
    pub(crate) fn open() -> Self {
        let is_readable = !std::io::stdin().is_terminal() || is_in_foreground();
        Self { stdin: is_readable.then(stdin), buffer: [0; BUFFER_BYTES] }
    }

    /// Waits until `r` was typed. Waits forever if nothing can be typed any more.
    pub(crate) async fn wait_for_repeat(&mut self) {
        loop {
            let Some(stdin) = &mut self.stdin else { return std::future::pending().await };
            match stdin.read(&mut self.buffer).await {
                Ok(0) | Err(_) => self.stdin = None,
                Ok(length) if self.buffer[..length].contains(&b'r') => return,
                Ok(_) => {}
            }
        }
    }
}

fn is_in_foreground() -> bool {
    rustix::termios::tcgetpgrp(std::io::stdin()).is_ok_and(|group| group == rustix::process::getpgrp())
}
